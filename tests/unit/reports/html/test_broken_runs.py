"""Run directories in which something is broken: the page is written, and says what it could not read."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_arena.reports.html.run_page import write_run_page
from tests.proofs.mutated_run_directories import mutate
from tests.synthetic_runs import write_run

JOB, OTHER = "push-1", "reach-0"


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with films' names, a gate, a comparison, a crash, an error, and a job that never ran."""
    return write_run(tmp_path_factory.mktemp("run"), [0, 1, 2, 40, 42, 96], 3, films=False)


@pytest.fixture
def run(whole_run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole_run, tmp_path / "runs" / whole_run.name))


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def nowhere(path: Path) -> None:
    path.unlink()
    path.symlink_to("nowhere")


def cut(path: Path) -> None:
    content = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(content[:1]) + content[len(content) // 2][:20] + b"\n" + content[-1])


def content(data: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(data)


WAYS: dict[str, Callable[[Path], object]] = {
    "missing": Path.unlink,
    "a folder": folder,
    "a pipe": pipe,
    "a link to nowhere": nowhere,
    "cut": cut,
    "bytes": content(b"\xff\xfe\x00\n"),
    "null": content(b"null\n"),
    "a list": content(b"[]\n"),
    "an empty object": content(b"{}\n"),
    "of another version": content(b'{"schema_version": "7"}\n'),
    "deep": content(b"[" * 9000 + b"\n"),
    "a number out of range": content(b'{"job": ' + b"9" * 5000 + b"}\n"),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("file", ["run.json", f"{JOB}/record.json", f"{JOB}/episodes.jsonl"])
def test_a_broken_file_costs_its_own_part_a_note(run: Path, file: str, way: str) -> None:
    WAYS[way](run / file)
    page = write_run_page(run).read_text()
    assert Path(file).name in notes(page)
    assert all(f'id="{label}"' in page for label in (JOB, OTHER))
    assert "cannot be read" not in notes(section(page, OTHER))


def test_empty_files_are_not_silence(run: Path) -> None:
    for name in ("record.json", "episodes.jsonl"):
        (run / JOB / name).write_bytes(b"")
    (run / "run.json").write_bytes(b"")
    page = write_run_page(run).read_text()
    assert "run.json" in notes(page)
    assert "record.json" in notes(section(page, JOB))


def test_an_empty_folder_has_a_page(tmp_path: Path) -> None:
    assert "run.json" in notes(write_run_page(tmp_path).read_text())


def test_a_broken_line_costs_one_episode(run: Path) -> None:
    lines = (run / OTHER / "episodes.jsonl").read_text().splitlines(keepends=True)
    (run / OTHER / "episodes.jsonl").write_text(lines[0] + '{"episode": "one"}\n' + lines[2])
    part = section(write_run_page(run).read_text(), OTHER)
    assert "line 2" in notes(part)
    assert [f"{OTHER}/episode-{index}" in part for index in (0, 1, 2)] == [True, False, True]


@pytest.mark.parametrize(
    "label", ["../outside", "/etc", "", ".", "..", "x" * 300, "a\0b", "\ud800", "a/b", "é"]
)
def test_a_label_leads_nowhere_else(run: Path, label: str) -> None:
    outside = run.parent / "outside"
    shutil.copytree(run / JOB, outside)
    record = json.loads((outside / "record.json").read_text())
    (outside / "record.json").write_text(json.dumps({**record, "job": label, "notes": ["told outside"]}))
    manifest = json.loads((run / "run.json").read_text())
    manifest["jobs"][label] = manifest["jobs"][JOB]
    (run / "run.json").write_text(json.dumps(manifest))
    page = write_run_page(run).read_text()
    assert "told outside" not in page
    assert f'id="{OTHER}"' in page


@pytest.mark.parametrize("seed", range(60))
def test_whatever_is_broken_there_is_a_page(run: Path, tmp_path: Path, seed: int) -> None:
    away = tmp_path / "outside"
    shutil.copytree(run / OTHER, away / "a")
    (away / "videos").mkdir()
    (away / "secret.json").write_text('{"secret": 1}\n')
    done = mutate(random.Random(seed), run)
    assert write_run_page(run).read_text().rstrip().endswith("</main>"), done


def section(page: str, name: str) -> str:
    """Return the part of a job."""
    return re.split(r"(?=<section class=\"?job\b)", page.partition(f'id="{name}"')[2])[0]


def notes(page: str) -> str:
    """Return the notes in *page*."""
    return "\n".join(re.findall(r'(?s)class="?note\b[^>]*>(.*?)</?(?:p|li|ul)\b', page))
