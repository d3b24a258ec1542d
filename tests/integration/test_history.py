"""The page of the runs beside each other, which each session writes at its end."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_arena.records.job_history import JobHistory, histories_of
from pytest_arena.records.run_index import INDEX, read_runs
from pytest_arena.reports.html.history_page import OURS
from tests.integration.conftest import Suite


def histories(suite: Suite, folder: str = "arena-results") -> dict[str, JobHistory]:
    found = read_runs(suite.path / folder)
    assert found.notes == []
    return {job.label: job for job in histories_of(found.runs)}


def page(suite: Suite, folder: str = "arena-results") -> str:
    return (suite.path / folder / "index.html").read_text()


def test_sessions_in_a_row(suite: Suite) -> None:
    """Alone, with workers, with a part of a job, resumed: of each the page has what it measured."""
    job = {"thresholds": {"episode_length": "> 0"}}
    suite.jobs({"reach": job, "sharded": {**job, "rollout": {"episodes": 4, "shards": 2}}})
    suite.test()
    assert suite.run().ret == 0
    first = suite.run_dir
    assert suite.run("-n", "2", "--arena-set", "rollout.episodes=6").ret == 0
    second = suite.run_dir
    assert suite.run("--arena-set", "reach:rollout.only=[1]", "-k", "reach").ret == 0
    part = suite.run_dir
    runs = [first.name, second.name]
    found = histories(suite)
    assert list(found) == ["reach", "sharded"]
    for label, history in found.items():
        assert [(m.run.name, m.outcome) for m in history.measurements] == [(name, "pass") for name in runs]
        assert [m.job.measured for m in history.measurements] == [4, 6]
        assert [m.reconfigured for m in history.measurements] == [(), ("rollout",)]
        for run in runs:
            assert f'href="{run}/index.html#{label}"' in page(suite)
    assert f'href="{part.name}/index.html#' not in page(suite)
    assert suite.run("--arena-resume", str(first)).ret == 0
    assert {path.name for path in (suite.path / "arena-results").iterdir()} == {
        *(path.name for path in (first, second, part)),
        *("latest", "index.html", INDEX),
    }


def test_a_run_that_goes_on_is_read_again(suite: Suite) -> None:
    longer, shorter = ({"thresholds": {"episode_length": text}} for text in ("> 0", "< 0"))
    suite.jobs({"push": shorter, "reach": longer})
    suite.test()
    assert suite.run("-x").ret == 1
    assert "reach" not in page(suite)
    assert suite.run("--arena-resume", str(suite.run_dir)).ret == 1
    assert [m.outcome for m in histories(suite)["reach"].measurements] == ["pass"]
    assert 'id="reach"' in page(suite)


def test_a_broken_run_beside_it_costs_a_note(suite: Suite) -> None:
    suite.jobs({"reach": {}})
    suite.test()
    assert suite.run().ret == 0
    broken = suite.run_dir
    (broken / "run.json").write_text("{")
    result = suite.run()
    assert result.ret == 0
    assert "could not be" not in result.stdout.str()
    assert f"{broken.name}/run.json: expected JSON" in page(suite)


def test_without_pages_there_is_none(suite: Suite) -> None:
    suite.jobs({"reach": {}})
    suite.test()
    assert suite.run("--arena-html", "off").ret == 0
    assert {path.name for path in (suite.path / "arena-results").iterdir()} == {"latest", suite.run_dir.name}


@pytest.mark.parametrize("kind", ["nothing", "somebody's", "folder"])
def test_a_folder_of_another_name(suite: Suite, kind: str) -> None:
    """It has the page too, unless it has one of its own; and what keeps it from being written is a line."""
    own: Path = suite.path / "public" / "index.html"
    own.parent.mkdir()
    if kind == "somebody's":
        own.write_text("my site")
    elif kind == "folder":
        own.mkdir()
    suite.jobs({"reach": {}})
    suite.test()
    result = suite.run("--arena-output", "public")
    assert result.ret == 0
    lines = [line for line in result.outlines if "could not be written" in line]
    if kind == "folder":
        assert lines == ["the history of the runs could not be written: Is a directory"]
    else:
        assert lines == []
        assert OURS in page(suite, "public") if kind == "nothing" else own.read_text() == "my site"
