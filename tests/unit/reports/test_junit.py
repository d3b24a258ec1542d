"""The film of a failed test in JUnit's file, of tests that pytest has not finished as well."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from _pytest.junitxml import LogXML, xml_key

from pytest_arena.records.run_directory import RunDirectory
from pytest_arena.reports.junit import attach_films
from tests.unit.gate.samples import episode
from tests.unit.reports.run_of_jobs import write_job, write_manifest


@pytest.fixture(autouse=True)
def no_gitlab(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI_PROJECT_DIR", raising=False)


def test_a_test_without_a_teardown_has_its_film_and_its_properties(tmp_path: Path) -> None:
    film = {"videos": {"front": "job/0]].mp4", "top": "job/0.mp4"}}
    write_job(tmp_path / "run", "job", [], episodes=[episode(0, False, **film)])
    write_manifest(tmp_path / "run", ["job"])
    (tmp_path / "run" / "job" / "0.mp4").touch()
    config: Any = SimpleNamespace(
        getoption=lambda *_: "junit.xml",
        stash=pytest.Stash(),
        invocation_params=SimpleNamespace(dir=tmp_path),
    )
    run: Any = SimpleNamespace(directory=RunDirectory(tmp_path / "run"))
    attach_films(config, run)  # with -p no:junitxml, or in a worker, there is no report
    xml = config.stash[xml_key] = LogXML(str(tmp_path / "junit.xml"), None)
    for nodeid in ("jobs.yaml::rollout[job]", "test_it.py::test_it"):
        xml.node_reporter(nodeid)._add_simple("failure", "died")
    attach_films(config, run)
    test, other = (reporter.to_xml() for reporter in xml.node_reporters_ordered)
    assert [part.tag for part in test] == ["properties", "failure", "system-out"]
    assert test.findtext("system-out") == "[[ATTACHMENT|run/job/0.mp4]]"
    assert test.find("properties/property[@name='arena_verdict']") is not None
    assert [part.tag for part in other] == ["failure"]


def test_a_path_that_would_end_the_line_is_not_written(tmp_path: Path) -> None:
    write_job(tmp_path, "job", [], episodes=[episode(0, False, videos={"front": "job/0]].mp4"})])
    (tmp_path / "job" / "0]].mp4").touch()
    config: Any = SimpleNamespace(
        getoption=lambda *_: "junit.xml",
        stash=pytest.Stash(),
        invocation_params=SimpleNamespace(dir=tmp_path),
    )
    xml = config.stash[xml_key] = LogXML(str(tmp_path / "junit.xml"), None)
    xml.node_reporter("jobs.yaml::rollout[job]")._add_simple("failure", "no")
    attach_films(config, SimpleNamespace(directory=RunDirectory(tmp_path)))  # type: ignore[arg-type]
    (test,) = (reporter.to_xml() for reporter in xml.node_reporters_ordered)
    assert test.find("system-out") is None
