"""The runs of a folder: read once, and again only where they changed."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from pytest_arena.records import run_index
from pytest_arena.records.files import write_json
from pytest_arena.records.run_index import INDEX, read_runs
from pytest_arena.records.run_summary import RunSummary, summarize_run
from tests.made_up_runs import made_up_job, make_up_run

NAMES = ["20260101T000000Z-aaaa", "20260102T000000Z-0000", "20260103T000000Z-5555"]


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Three runs, written in another order than they ran."""
    for name in sorted(NAMES, reverse=True):
        make_up_run(tmp_path / "results", name, [made_up_job("reach")])
    return tmp_path / "results"


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the runs whose files are read, from the test's beginning on."""
    names: list[str] = []

    def noted(path: Path) -> RunSummary:
        names.append(path.name)
        return summarize_run(path)

    monkeypatch.setattr(run_index, "summarize_run", noted)
    return names


def test_runs_are_in_the_order_of_their_start(results: Path) -> None:
    make_up_run(results, "renamed", started_at="2026-01-01T12:00:00.000Z", finished_at="2026")
    names = [run.name for run in read_runs(results).runs]
    assert names == [NAMES[0], "renamed", *NAMES[1:]]


def test_a_run_that_did_not_change_is_not_read_again(results: Path, read: list[str]) -> None:
    first = read_runs(results)
    assert sorted(read) == NAMES
    assert read_runs(results) == first
    assert sorted(read) == NAMES


def test_a_run_that_changed_is_read_again(results: Path, read: list[str]) -> None:
    read_runs(results)
    manifest = results / NAMES[1] / "run.json"
    data = json.loads(manifest.read_text())
    write_json(manifest, {**data, "exit_status": 1, "finished_at": None})  # it is being resumed
    read.clear()
    assert [run.exit_status for run in read_runs(results).runs] == [0, 1, 0]
    assert read_runs(results).runs[1].finished_at is None
    assert read == [NAMES[1]] * 2, "a run that is not over is read each time"
    write_json(manifest, data)
    read_runs(results)
    read_runs(results)
    assert read == [NAMES[1]] * 3


def test_runs_that_came_and_went(results: Path, read: list[str]) -> None:
    read_runs(results)
    read.clear()
    make_up_run(results, "20260104T000000Z-0000", [made_up_job("reach")])
    (results / NAMES[0]).rename(results.parent / "elsewhere")
    assert [run.name for run in read_runs(results).runs] == [*NAMES[1:], "20260104T000000Z-0000"]
    assert read == ["20260104T000000Z-0000"]
    assert NAMES[0] not in (results / INDEX).read_text()


@pytest.mark.parametrize(
    "content",
    [
        "",
        "\n",
        "{",
        "[]\n",
        '{"index": "pytest-arena runs", "version": 0}\n{"mtime_ns": 1}\n',
        '{"index": "pytest-arena runs", "version": 1}\n{"mtime_ns": 1}\n',
        '{"index": "pytest-arena runs", "version": 1}\n{"mtime_ns": 1, "size": 2, "run": {"name": 3}}\n',
        "\x00\xff",
    ],
)
def test_a_broken_index_is_made_again(results: Path, read: list[str], content: str) -> None:
    read_runs(results)
    whole = (results / INDEX).read_bytes()
    (results / INDEX).write_text(content, encoding="latin-1")
    read.clear()
    assert len(read_runs(results).runs) == 3
    assert sorted(read) == NAMES
    assert (results / INDEX).read_bytes() == whole


def test_an_index_that_was_cut_off_costs_what_is_missing(results: Path, read: list[str]) -> None:
    read_runs(results)
    whole = (results / INDEX).read_bytes()
    (results / INDEX).write_bytes(whole[:-100])
    read.clear()
    assert len(read_runs(results).runs) == 3
    assert read == NAMES[2:]
    assert (results / INDEX).read_bytes() == whole


def test_an_index_that_cannot_be_written_costs_nothing(results: Path) -> None:
    (results / INDEX).mkdir()
    assert len(read_runs(results).runs) == 3
    assert sorted(path.name for path in results.iterdir()) == sorted([*NAMES, INDEX])


def test_links_to_runs_beside_them_count_once(results: Path) -> None:
    (results / "latest").symlink_to(NAMES[2])
    (results / "good").symlink_to(results / NAMES[0])
    (results / "gone").symlink_to("nowhere")
    elsewhere = make_up_run(results.parent, "20260105T000000Z-0000")
    (results / "other").symlink_to(elsewhere)
    found = read_runs(results)
    assert [run.name for run in found.runs] == [*NAMES, "other"]
    assert found.notes == []


def test_what_is_no_run_is_passed_over(results: Path) -> None:
    (results / "index.html").write_text("page")
    (results / "src").mkdir()
    (results / "wandb").mkdir()
    (results / "20260105T000000Z-0000.tar").write_text("")
    found = read_runs(results)
    assert ([run.name for run in found.runs], found.notes) == (NAMES, [])


@pytest.mark.parametrize("kind", ["missing", "broken", "folder", "pipe"])
def test_a_run_that_cannot_be_read_costs_a_note(results: Path, kind: str) -> None:
    manifest = results / NAMES[1] / "run.json"
    manifest.unlink()
    if kind == "broken":
        manifest.write_text("{")
    elif kind == "folder":
        manifest.mkdir()
    elif kind == "pipe":
        os.mkfifo(manifest)
    found = read_runs(results)
    assert [run.name for run in found.runs] == [NAMES[0], NAMES[2]]
    (note,) = found.notes
    assert note.startswith(f"{NAMES[1]}/run.json: ")


def test_a_run_with_a_broken_record_is_read_until_it_is_mended(results: Path, read: list[str]) -> None:
    record = results / NAMES[1] / "reach" / "record.json"
    whole = record.read_bytes()
    record.write_text("{")
    assert len(read_runs(results).notes) == len(read_runs(results).notes) == 1
    record.write_bytes(whole)
    found = read_runs(results)
    assert found.notes == []
    assert [len(run.jobs) for run in found.runs] == [1, 1, 1]


def test_a_folder_without_runs_is_left_as_it_is(tmp_path: Path) -> None:
    assert read_runs(tmp_path).runs == []
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(FileNotFoundError):
        read_runs(tmp_path / "nowhere")
