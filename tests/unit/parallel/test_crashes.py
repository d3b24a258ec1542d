from __future__ import annotations

import json
import subprocess
import sys
import warnings
from collections.abc import Iterable
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import execnet
import numpy as np
import pytest

from pytest_arena import Episode, JobRecord, Outcome, RunDirectory, Status, Verdict
from pytest_arena.evaluation.dead_process import close_all_unclosed, close_unclosed
from pytest_arena.parallel.crashes import CrashReports
from pytest_arena.parallel.plain_reports import PlainReports, sendable
from pytest_arena.recorders.films.mp4 import FilmFormat, Mp4File
from pytest_arena.records.attempt import Attempt
from pytest_arena.records.episodes import JsonLinesWriter
from pytest_arena.records.files import write_json
from pytest_arena.records.interrupted_attempt import keep_measured
from pytest_arena.records.run_directory import JobDirectory
from tests.jobs import make_job

NODE = "test_it.py::test_it[reach]"


def episode(index: int, **changes: Any) -> Episode:
    keys: dict[str, Any] = {
        "job": "reach",
        "attempt": 1,
        "rebuild": 0,
        "episode": index,
        "seed": index,
        "env_idx": 0,
        "start_step": 3 * index,
        "end_step": 3 * index + 2,
        "length": 3,
        "outcome": Outcome.SUCCESS if index % 2 else Outcome.FAILURE,
        "success_once": bool(index % 2),
        "success_at_end": bool(index % 2),
        "success_at_reset": False,
        "return_": 1.0,
        "end_reason": "time_out",
        "started_at": "2026-01-01T00:00:00.000Z",
        "wall_time_seconds": 0.1,
    }
    return Episode(**{**keys, **changes})


def begun(
    path: Path, episodes: Iterable[Episode] = (), **job: Any
) -> tuple[RunDirectory, JobDirectory, JobRecord]:
    """A run in which one job has begun and left *episodes*."""
    run, made = RunDirectory(path), make_job("reach", **job)
    manifest = {"jobs": {"reach": {"nodeid": NODE, "config": made.config()}}}
    run.publish_manifest(manifest) if not run.manifest_path.exists() else None
    attempt = Attempt.begin(made, run, "reach", NODE)
    directory, record = attempt.directory, attempt.record
    writer = JsonLinesWriter(directory.episodes)
    for one in episodes:
        writer.append(one.to_json())
    writer.close()
    return run, directory, record


def read(directory: JobDirectory) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(directory.record.read_text())
    return data


def test_a_rebuilt_record_says_what_the_episodes_say(tmp_path: Path) -> None:
    thresholds = {"success_rate": ">= 0", "own": "> 0", "gone": "> 0"}
    episodes = [episode(i, metrics={"own": float(i)}) for i in (2, 0, 1)]
    run, directory, record = begun(tmp_path, episodes, thresholds=thresholds)
    record.definitions = {"own": {"reduction": "max", "skips_missing": False}}
    close_unclosed(run, record, Status.CRASHED, "it died")
    written = read(directory)
    assert (written["status"], written["verdict"]) == ("crashed", "error")
    assert written["error"]["message"] == "it died, after 3 finished episodes"
    assert written["metrics"]["success_rate"] == pytest.approx(1 / 3)
    assert written["intervals"]["success_rate"]
    assert written["metrics"]["own"] == 2.0
    assert written["metrics"]["gone"] is None
    assert "died before" in written["unmeasured"]["gone"]
    assert [b["episode"] for b in written["boundaries"]] == [0, 1, 2]
    assert [t["passed"] for t in written["thresholds"]] == [False] * 3
    assert all(t["reason"] for t in written["thresholds"])


def test_what_is_on_a_full_disk_counts_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, directory, record = begun(tmp_path, [episode(i) for i in range(2)])
    with directory.episodes.open("a") as file:
        file.write('{"job": "rea')

    def full(directory: JobDirectory) -> Any:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pytest_arena.evaluation.dead_process.keep_measured", full)
    close_unclosed(run, record, Status.CRASHED, "it died")
    assert (record.episodes["measured"], record.notes) == (2, [])


def test_only_films_that_play_and_whole_lines_stay(tmp_path: Path) -> None:
    films = {i: {"camera": f"reach/videos/episode-{i}.mp4"} for i in range(2)}
    run, directory, record = begun(tmp_path, [episode(i, videos=films[i]) for i in range(2)])
    (directory.path / "videos").mkdir()
    (directory.path / "videos" / "episode-0.mp4").write_bytes(b"film")
    (directory.path / "videos" / ".episode-1.mp4.part").write_bytes(b"half")
    with directory.episodes.open("a") as file:
        file.write('{"job": "rea')
    close_unclosed(run, record, Status.CRASHED, "it died")
    assert record.videos == ["reach/videos/episode-0.mp4"]
    assert record.notes == ["1 video lost: still being encoded"]
    assert [p.name for p in (directory.path / "videos").iterdir()] == ["episode-0.mp4"]
    assert len(directory.episodes.read_text().splitlines()) == record.episodes["measured"] == 2


@pytest.mark.parametrize("cut_off", [1, 2])
def test_films_that_were_cut_off_are_noted_and_are_no_episodes_films(tmp_path: Path, cut_off: int) -> None:
    """One of them is of an episode whose line was on disk already: its film was still being encoded."""
    names = [f"episode-000{i}-env0-front" for i in range(2)][:cut_off]
    promised = {"front": f"reach/videos/{names[0]}.mp4"}
    run, directory, record = begun(tmp_path, [episode(0, videos=promised)])
    for name in names:
        film = Mp4File(directory.path / "videos" / f"{name}.mp4", FilmFormat(10))
        for _ in range(80):
            film.write(np.zeros((32, 32, 3), np.uint8))
    close_unclosed(run, record, Status.CRASHED, "it died")
    on_disk = sorted(path.name for path in (directory.path / "videos").iterdir())
    assert on_disk == [f"{name}.partial.mp4" for name in names]
    note = {
        1: f"1 unfinished film, which plays as far as it goes: reach/videos/{names[0]}.partial.mp4",
        2: "2 unfinished films, which play as far as they go: reach/videos/*.partial.mp4",
    }
    assert read(directory)["notes"] == ["1 video lost: still being encoded", note[cut_off]]
    assert read(directory)["videos"] == []
    (kept,) = keep_measured(directory)  # as a resumed session does
    assert kept.videos == {}
    assert len(list((directory.path / "videos").iterdir())) == cut_off


@pytest.mark.parametrize("damage", ["episodes", "manifest"])
def test_damaged_files_make_no_exception(tmp_path: Path, damage: str) -> None:
    run, directory, record = begun(tmp_path, [episode(0)])
    if damage == "episodes":
        directory.episodes.write_text("nonsense\n" + directory.episodes.read_text())
    else:
        run.manifest_path.write_text("{")
    close_unclosed(run, record, Status.CRASHED, "it died")
    assert read(directory)["status"] == "crashed"
    if damage == "episodes":
        assert "cannot be read" in record.notes[0]


def test_settling_leaves_no_record_at_running_and_touches_no_other(tmp_path: Path) -> None:
    run, first, done = begun(tmp_path, [episode(0)])
    done.status, done.verdict = Status.COMPLETED, Verdict.NONE
    write_json(first.record, done.to_json())
    before = first.record.read_text()
    _, second, _ = begun(tmp_path, [episode(0, attempt=2)])
    close_all_unclosed(run, Status.INTERRUPTED, nullcontext)
    assert first.record.read_text() == before
    assert read(second)["status"] == "interrupted"
    assert read(second)["episodes"]["measured"] == 1


def report(when: str, outcome: str = "passed", nodeid: str = NODE) -> pytest.TestReport:
    made = pytest.TestReport(nodeid, ("test_it.py", 1, "it"), {}, outcome, None, when)  # type: ignore[arg-type]
    made.node = SimpleNamespace(gateway=SimpleNamespace(id="gw0"))
    return made


def controller() -> Any:
    """What `CrashReports` asks of pytest's configuration."""
    plugins = {
        "session": SimpleNamespace(shouldfail=False),
        "dsession": SimpleNamespace(shouldstop=False),
    }
    return SimpleNamespace(pluginmanager=SimpleNamespace(get_plugin=plugins.get), plugins=plugins)


def crash(reports: CrashReports, nodeid: str = NODE) -> pytest.TestReport:
    made = report("???", "failed", nodeid)
    reports.pytest_handlecrashitem(nodeid, made)
    return made


def test_a_crash_report_carries_the_record(tmp_path: Path) -> None:
    run, directory, _ = begun(tmp_path, [episode(0)])
    reports = CrashReports(controller(), run, [])
    reports.pytest_runtest_logreport(report("setup"))
    made = crash(reports)
    assert made.when == "call"
    assert made._json_report_extra["metadata"]["arena"]["status"] == "crashed"
    assert ("arena_status", "crashed") in made.user_properties
    assert "after 1 finished episode\n" in str(made.longrepr)
    assert read(directory)["status"] == "crashed"


def test_a_crash_of_another_test_is_told_too(tmp_path: Path) -> None:
    run, *_ = begun(tmp_path)
    made = crash(CrashReports(controller(), run, []), "test_other.py::test_plain")
    assert made.when == "call"
    assert not hasattr(made, "_json_report_extra")
    assert str(made.longrepr) == "worker 'gw0' died while running 'test_other.py::test_plain'"


@pytest.mark.process
def test_the_cause_is_named(tmp_path: Path) -> None:
    run, *_ = begun(tmp_path)
    for code, words in (("import os; os._exit(0)", "with status 0"), ("import os; os.abort()", "by SIGABRT")):
        made = report("???", "failed")
        popen = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
        made.node.gateway._io = SimpleNamespace(popen=popen)
        CrashReports(controller(), run, []).pytest_handlecrashitem(NODE, made)
        assert words in str(made.longrepr)


def test_a_crash_after_the_rollout_is_one_of_the_teardown(tmp_path: Path) -> None:
    run, directory, record = begun(tmp_path, [episode(0)])
    record.status = Status.COMPLETED
    write_json(directory.record, record.to_json())
    reports = CrashReports(controller(), run, [])
    for when in ("setup", "call"):
        reports.pytest_runtest_logreport(report(when))
    assert crash(reports).when == "teardown"
    assert read(directory)["status"] == "completed"
    assert read(directory)["notes"] == ["worker 'gw0' died, after the rollout"]


def test_a_rerun_that_dies_at_once_gets_a_record_of_its_own(tmp_path: Path) -> None:
    run, directory, record = begun(tmp_path, [episode(0)])
    record.status = Status.ERROR
    write_json(directory.record, record.to_json())
    reports = CrashReports(controller(), run, [])
    reports.pytest_runtest_logreport(report("setup"))
    reports.pytest_runtest_logreport(report("call", "rerun"))
    made = crash(reports)
    assert made.when == "call"
    assert made._json_report_extra["metadata"]["arena"]["attempt"] == 2
    assert read(directory)["status"] == "error"
    assert json.loads((tmp_path / "reach.2" / "record.json").read_text())["status"] == "crashed"


def test_a_stop_of_pytest_is_one_of_xdist(tmp_path: Path) -> None:
    config = controller()
    reports = CrashReports(config, RunDirectory(tmp_path), [])
    reports.pytest_runtest_logreport(report("call", "failed"))
    assert not config.plugins["dsession"].shouldstop
    config.plugins["session"].shouldfail = "stopping after 1 failures"
    reports.pytest_runtest_logreport(report("call", "failed"))
    assert config.plugins["dsession"].shouldstop == "stopping after 1 failures"


@pytest.mark.parametrize(
    "value", [object(), "\udcff", Path("a"), {1: object()}, [["\udcff"]], 1 + 2j, (1, "a")]
)
def test_everything_can_be_sent(value: Any) -> None:
    execnet.dumps(sendable(value))


def test_what_can_be_sent_stays_as_it_is() -> None:
    for value in ((1, "a"), [("out", "text")], {1: (2,)}, {"a", "b"}, b"raw", None):
        assert sendable(value) is value


def recorded(message: Warning | str, category: type[Warning] = UserWarning) -> warnings.WarningMessage:
    made = warnings.WarningMessage(message, category, "file.py", 1)
    PlainReports().pytest_warning_recorded(made)
    return made


def test_warnings_that_every_controller_can_build_stay() -> None:
    message = FutureWarning("soon", 3)
    made = recorded(message, FutureWarning)
    assert made.message is message
    assert recorded(pytest.PytestWarning("x"), pytest.PytestWarning).category is pytest.PytestWarning


def test_warnings_of_other_classes_become_their_builtin_base() -> None:
    class Local(DeprecationWarning):
        pass

    made = recorded(Local("old"), Local)
    assert made.category is type(made.message) is DeprecationWarning
    assert str(made.message) == "Local: old"
    assert str(recorded(UserWarning("a\udcff")).message) == "a\\udcff"
