"""The page of a run says what the terminal says of it: both show what the records have."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pytest_arena.gate.describe import UNDECIDED
from pytest_arena.options import SETTINGS
from pytest_arena.records.run_directory import RunDirectory
from pytest_arena.records.schema import Status, Verdict
from pytest_arena.reports import terminal
from pytest_arena.reports.html.run_page import write_run_page
from pytest_arena.session.current_run import Run
from tests.unit.reports.html.table_rows import ShownTable
from tests.unit.reports.run_of_jobs import write_broken_job, write_job, write_manifest


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """A run in which every status and verdict occurs, with attempts and shards."""
    shards = {
        f"{whole}-shard{index}of2": {
            "nodeid": f"{whole}{index}",
            "config": {},
            "shard": {"index": index, "count": 2, "label": whole, "nodeid": whole},
        }
        for whole in ("cut", "lacking")
        for index in (0, 1)
    }
    names = [
        "good",
        "bad",
        "undecided",
        "broken",
        "crashed",
        "interrupted",
        "running",
        "absent",
        "unreadable",
        "again",
        "free",
    ]
    write_manifest(tmp_path, names, **shards)
    write_job(tmp_path, "good", [True] * 20)
    write_job(tmp_path, "bad", [True, False])
    gate = {"episodes_max": 10, "inconclusive": "fail"}
    write_job(tmp_path, "undecided", [True] * 8 + [False] * 2, job={"gate": gate, "rollout": {}})
    write_broken_job(tmp_path, "broken", "no GPU")
    write_broken_job(tmp_path, "crashed", "SIGSEGV", Status.CRASHED)
    write_broken_job(tmp_path, "interrupted", "SIGINT", Status.INTERRUPTED)
    write_job(tmp_path, "running", [], status=Status.RUNNING, verdict=Verdict.NONE, metrics={}, intervals={})
    (tmp_path / "unreadable").mkdir()
    (tmp_path / "unreadable" / "record.json").write_text('{"job": "unread')
    write_job(tmp_path, "again", [False, False])
    write_job(tmp_path, "again", [True, True], attempt=2)
    write_job(tmp_path, "free", [True, False], job={"thresholds": {}})
    write_job(tmp_path, "cut", [True] * 4)
    for label in ("cut-shard0of2", "cut-shard1of2", "lacking-shard0of2"):
        write_job(tmp_path, label, [True] * 2, job={"thresholds": {}})
    return tmp_path


def terminal_lines(run_dir: Path) -> list[str]:
    """Return what the terminal prints of a run."""
    lines: list[str] = []
    reporter: Any = SimpleNamespace(
        write_sep=lambda *_: None, write_line=lambda line, **_: lines.append(line)
    )
    stash = {SETTINGS: SimpleNamespace(html=False)}
    config: Any = SimpleNamespace(invocation_params=SimpleNamespace(dir=run_dir), stash=stash)
    terminal.summarize(reporter, config, Run(RunDirectory(run_dir)), 1)
    return lines


def terminal_rows(run_dir: Path) -> list[list[str]]:
    """Return the cells of the terminal's table, without its headings."""
    cells = (re.split(r"\s{2,}", line) for line in terminal_lines(run_dir))
    return [row for row in cells if len(row) >= 5 and row[0] != "job"]


def test_every_row_of_the_terminal_is_one_of_the_page(run_dir: Path) -> None:
    table = ShownTable(write_run_page(run_dir).read_text())
    shown = {row.name.split()[0]: row for row in table.rows}
    rows = terminal_rows(run_dir)
    assert len(rows) == 14
    for name, episodes, success, verdict, *_ in rows:
        cells = shown[name].cells
        assert cells[1] == verdict
        assert cells[2].startswith("" if success == "-" else success)
        assert cells[3] == episodes
    told = {name for name, *_ in rows}
    assert [name for name in shown if name not in told] == [
        *("unreadable", "absent", "lacking", "lacking-shard1of2")
    ]


@pytest.mark.parametrize("status", [Status.COMPLETED, Status.ERROR])
def test_an_asterisk_is_explained_where_a_row_has_one(tmp_path: Path, status: Status) -> None:
    write_manifest(tmp_path, ["job"])
    write_job(
        tmp_path, "job", [True] * 20, status=status, error={"type": "E", "message": "", "traceback": ""}
    )
    assert (UNDECIDED in terminal_lines(tmp_path)) == (status == Status.COMPLETED)
    assert (UNDECIDED in write_run_page(tmp_path).read_text()) == (status == Status.COMPLETED)


def test_notes_are_shared_by_jobs_not_by_attempts(tmp_path: Path) -> None:
    write_manifest(tmp_path, ["one", "two"])
    for attempt in (1, 2):
        write_job(tmp_path, "one", [True], attempt=attempt, notes=["of one", "of both"])
    write_job(tmp_path, "two", [True], notes=["of both"])
    lines = terminal_lines(tmp_path)
    assert lines.count("  of one") == 2
    assert [line for line in lines if line.startswith("in ")] == ["in 2 jobs: of both"]


def test_the_counts_are_those_of_the_last_attempts_of_whole_jobs(run_dir: Path) -> None:
    page = write_run_page(run_dir).read_text()
    counts = re.findall(r'<a class="verdict [a-z-]+" href="#=([a-z-]+)">(\d+) (.*?)</a>', page)
    assert [(verdict, int(number)) for verdict, number, _ in counts] == [
        ("pass", 3),
        ("none", 1),
        ("inconclusive", 1),
        ("fail", 1),
        ("running", 1),
        ("interrupted", 1),
        ("not-joined", 1),
        ("never-ran", 1),
        ("unreadable", 1),
        ("error", 1),
        ("crashed", 1),
    ]
    rows = ShownTable(page).rows
    whole = Counter(row.attributes["class"] for row in rows if "part" not in row.attributes["class"])
    assert whole == {verdict: int(number) for verdict, number, _ in counts}
    assert [row.name.split()[0] for row in rows if "part" in row.attributes["class"]] == [
        *("lacking-shard0of2", "lacking-shard1of2", "again", "cut-shard0of2", "cut-shard1of2")
    ]


def test_a_job_that_lacks_shards_says_how_many(run_dir: Path) -> None:
    assert "no verdict: 1 of 2 shards ran" in write_run_page(run_dir).read_text()


def test_nothing_is_judged_again(run_dir: Path) -> None:
    record = run_dir / "good" / "record.json"
    record.write_text(record.read_text().replace('"verdict": "pass"', '"verdict": "fail"'))
    rows = {row.name.split()[0]: row for row in ShownTable(write_run_page(run_dir).read_text()).rows}
    assert rows["good"].cells[1].startswith("fail")
    assert rows["good"].cells[2].startswith("100.0%")


def test_a_record_in_another_folder_is_not_believed(run_dir: Path) -> None:
    (run_dir / "absent").mkdir()
    (run_dir / "absent" / "record.json").write_bytes((run_dir / "good" / "record.json").read_bytes())
    page = write_run_page(run_dir).read_text()
    rows = {row.name.split()[0]: row for row in ShownTable(page).rows}
    assert rows["absent"].cells[1] == "unreadable"
    assert "record.json is that of another attempt" in page


def test_a_run_without_its_manifest_has_its_records(run_dir: Path) -> None:
    (run_dir / "run.json").unlink()
    page = write_run_page(run_dir).read_text()
    assert "run.json cannot be read" in page
    names = [row.name.split()[0] for row in ShownTable(page).rows]
    assert {"good", "again.2", "again"} <= {*names}
    assert names.index("again.2") < names.index("again"), "the last attempt is the job's row"
