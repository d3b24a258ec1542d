"""How far jobs are: in words, from a worker's loop to the controller's terminal."""

from __future__ import annotations

import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pytest_arena import JobRecord, Outcome, RunDirectory, Status, Verdict
from pytest_arena.parallel import worker_progress
from pytest_arena.parallel.worker_progress import (
    LiveLines,
    PlainLines,
    Watcher,
    progress_path,
    progress_updates,
    read_progress,
)
from pytest_arena.records.files import write_json
from pytest_arena.reports.progress_line import ended
from pytest_arena.rollout.progress import Snapshot, Tally, clock
from pytest_arena.session.show_progress import show_preparation, show_rollout
from tests.jobs import make_job


def snapshot(job: str = "reach", **changes: Any) -> Snapshot:
    values: dict[str, Any] = {
        "job": job,
        "episodes": 12,
        "requested": 20,
        "successes": 11,
        "judged": 12,
        "vector_steps": 1020,
        "step_limit": None,
        "steps": 4080,
        "elapsed": 12.0,
        "left": 8.4,
    }
    return Snapshot(**{**values, **changes})


def record(**changes: Any) -> JobRecord:
    values: dict[str, Any] = {
        "status": Status.COMPLETED,
        "verdict": Verdict.PASS,
        "metrics": {"success_rate": 17 / 18},
        "episodes": {"measured": 18, "requested": 20},
        "timings": {"total_seconds": 12.3},
    }
    return JobRecord("reach", 1, "", "gymnasium", "CartPole-v1", "zero", **{**values, **changes})


def loop(*lengths: int, outcome: Outcome = Outcome.SUCCESS, steps: int = 0, rows: int = 2) -> Any:
    """A loop whose episodes have had these lengths."""
    episodes = [SimpleNamespace(length=length, outcome=outcome) for length in lengths]
    env = SimpleNamespace(num_envs=rows)
    return SimpleNamespace(episodes=episodes, vector_steps=steps, env=env, activity=None)


def tally(monkeypatch: pytest.MonkeyPatch, rollout: dict[str, Any], **given: Any) -> Tally:
    """A tally that began at time 0."""
    monkeypatch.setattr("time.monotonic", lambda: 0.0)
    return Tally(make_job(rollout=rollout), "job", **given)


class TestWords:
    def test_episodes(self) -> None:
        assert snapshot().text() == "reach  episode 12/20  success 91.7%  340 steps/s  0:12  0:08 left"

    def test_a_gate_may_end_before(self) -> None:
        text = snapshot(at_most=True).text()
        assert text == "reach  episode 12/≤20  success 91.7%  340 steps/s  0:12  ≤0:08 left"
        job = make_job(
            thresholds={"success_rate": ">= 0.8"}, gate={"episodes_max": 40}, rollout={"shards": 2}
        )
        assert Tally(job, "job").snapshot(loop(3)).at_most
        assert not Tally(job.shards()[0], "job").snapshot(loop(3)).at_most

    def test_what_follows_the_last_step(self) -> None:
        text = snapshot(episodes=20, activity="filming 3 failures").text()
        assert text == "reach  episode 20/20  success 91.7%  filming 3 failures  0:12"

    def test_steps(self) -> None:
        text = snapshot(requested=None, step_limit=2000, judged=0, left=None).text()
        assert text == "reach  step 1020/2000, 12 episodes  340 steps/s  0:12"

    def test_steps_that_the_policy_decides(self) -> None:
        text = snapshot(requested=None, judged=0, left=None).text()
        assert text == "reach  step 1020, 12 episodes  340 steps/s  0:12"

    def test_clock(self) -> None:
        assert [clock(s) for s in (0, 8.9, 75, 3723)] == ["0:00", "0:08", "1:15", "1:02:03"]


class TestTally:
    def test_nothing_to_estimate_from(self, monkeypatch: pytest.MonkeyPatch) -> None:
        now = tally(monkeypatch, {"episodes": 8}).snapshot(loop(steps=5), 1.0)
        assert (now.episodes, now.requested, now.judged, now.left, now.steps) == (0, 8, 0, None, 10)

    def test_time_left_counts_episodes_that_are_under_way(self, monkeypatch: pytest.MonkeyPatch) -> None:
        # 8 episodes of 10 steps; 60 of 80 steps are done in 3 s, though only 4 episodes have ended
        now = tally(monkeypatch, {"episodes": 8}).snapshot(loop(10, 10, 10, 10, steps=30), 3.0)
        assert now.left == pytest.approx(1.0)

    def test_time_left_is_never_negative(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert tally(monkeypatch, {"episodes": 2}).snapshot(loop(10, steps=90), 3.0).left == 0.0

    def test_rebuilds_add_up(self, monkeypatch: pytest.MonkeyPatch) -> None:
        counted = tally(monkeypatch, {"episodes": 4, "rebuilds": 2})
        first, second = loop(10, 10, steps=10), loop(10, outcome=Outcome.FAILURE, steps=5)
        counted.snapshot(first, 1.0)
        now = counted.snapshot(second, 2.0)
        assert (now.episodes, now.successes, now.judged, now.steps, now.vector_steps) == (3, 2, 3, 30, 15)

    def test_episodes_of_a_resumed_run_count_but_take_no_time(self, monkeypatch: pytest.MonkeyPatch) -> None:
        earlier: Any = loop(99, 99).episodes
        counted = tally(monkeypatch, {"episodes": 4}, earlier=earlier)
        now = counted.snapshot(loop(10, outcome=Outcome.UNKNOWN, steps=5), 1.0)
        assert (now.episodes, now.requested, now.judged, now.left) == (3, 4, 2, pytest.approx(1.0))

    def test_steps_of_all_rebuilds(self, monkeypatch: pytest.MonkeyPatch) -> None:
        now = tally(monkeypatch, {"steps": 100, "rebuilds": 2}).snapshot(loop(steps=50), 2.0)
        assert (now.requested, now.step_limit, now.left) == (None, 200, pytest.approx(6.0))


class TestFiles:
    def config(self, path: Path) -> Any:
        return SimpleNamespace(workerinput={"workerid": "gw1", "arena_run_dir": str(path)}, stash={})

    def test_a_worker_writes_now_and_then_and_cleans_up(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        clock = [100.0]
        monkeypatch.setattr("time.monotonic", lambda: clock[0])
        with progress_updates(self.config(tmp_path), Tally(make_job(), "job")) as update:
            seen, running = [], loop()
            for steps, seconds in ((1, 0.1), (2, 0.1), (3, 0.5)):
                clock[0] += seconds
                running.vector_steps = steps
                update(running)
                seen.append(read_progress(RunDirectory(tmp_path))["gw1"].vector_steps)
            assert seen == [1, 1, 3]
        assert list(tmp_path.iterdir()) == []

    def test_a_job_goes_on_where_nothing_can_be_written(self, tmp_path: Path) -> None:
        with progress_updates(self.config(tmp_path / "missing"), Tally(make_job(), "job")) as update:
            update(loop(steps=1))

    def test_workers_are_read_in_order_and_broken_files_are_passed_over(self, tmp_path: Path) -> None:
        directory = RunDirectory(tmp_path)
        for worker in ("gw10", "gw9"):
            write_json(progress_path(directory, worker), {**vars_of(snapshot(worker)), "new_key": 1})
        progress_path(directory, "gw1").write_text('{"job": "half')
        progress_path(directory, "gw2").write_text(json.dumps({"job": "of an older version"}))
        assert list(read_progress(directory)) == ["gw9", "gw10"]


def vars_of(one: Snapshot) -> dict[str, Any]:
    return {name: getattr(one, name) for name in one.__dataclass_fields__}


class Writer:
    """What of pytest's terminal writer is used."""

    def __init__(self) -> None:
        self._file: Any = io.StringIO()
        self.text: io.StringIO = self._file

    @property
    def width_of_current_line(self) -> int:
        return len(self.text.getvalue().rpartition("\n")[2])

    def write(self, text: str, *, flush: bool = False) -> None:
        self._file.write(text)


class TestPlainLines:
    def test_a_line_at_the_begin_and_now_and_then(self, monkeypatch: pytest.MonkeyPatch) -> None:
        clock, writer = [0.0], Writer()
        monkeypatch.setattr("time.monotonic", lambda: clock[0])
        shown = PlainLines(writer)
        first, second = snapshot(), snapshot("push", episodes=3)
        printed = []
        for seconds, state in (
            (1, {"gw0": first}),  # its job begins
            (2, {"gw0": snapshot(episodes=13), "gw1": second}),
            (worker_progress.PERIOD + 3, {"gw0": snapshot(episodes=13), "gw1": second}),
            (2 * worker_progress.PERIOD + 4, {"gw1": second}),
            (3 * worker_progress.PERIOD + 5, {"gw1": snapshot("push", episodes=4)}),
        ):
            clock[0] = seconds
            shown.show(state)
            printed.append(writer.text.getvalue().count("\n"))
        assert printed == [1, 2, 3, 3, 4]
        assert writer.text.getvalue().splitlines()[0] == f"[gw0] {first.text()}"

    def test_a_row_of_dots_is_ended_first(self) -> None:
        writer = Writer()
        writer.text.write("...")
        PlainLines(writer).show({"gw0": snapshot()})
        assert writer.text.getvalue().startswith("...\n[gw0]")

    def test_what_became_of_a_job(self) -> None:
        writer = Writer()
        PlainLines(writer).end("gw1", record())
        PlainLines(writer).end(None, record())
        line = "reach  18/20 episodes  success 94.4%  pass  0:12"
        assert writer.text.getvalue() == f"[gw1] {line}\n{line}\n"


class TestInThisProcess:
    """Lines without a terminal, where jobs run in the process that prints them."""

    @pytest.fixture
    def written(self, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        return []

    @pytest.fixture
    def config(self, written: list[str], monkeypatch: pytest.MonkeyPatch) -> Any:
        reporter = SimpleNamespace(
            isatty=False,
            no_summary=False,
            verbosity=0,
            ensure_newline=lambda: written.append("\n"),
            write_line=written.append,
            flush=lambda: None,
        )
        monkeypatch.setattr("pytest_arena.reports.pytest_reporter.terminal_reporter", lambda config: reporter)
        return SimpleNamespace(pluginmanager=SimpleNamespace(get_plugin=lambda name: None), reporter=reporter)

    def roll_out(self, config: Any, monkeypatch: pytest.MonkeyPatch, seconds: list[float]) -> None:
        clock = [0.0]
        monkeypatch.setattr("time.monotonic", lambda: clock[0])
        job = make_job()
        with show_preparation(config, job, "reach", builds=True):
            clock[0] += 5
        running = loop(10, steps=10)
        with show_rollout(config, job, record()) as watch:
            for step in seconds:
                clock[0] += step
                if watch is not None:
                    watch(running)

    def test_begin_a_line_a_minute_and_end(
        self, config: Any, written: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.roll_out(config, monkeypatch, [1, 58, 1, 1, 58, 1, 30])
        assert [line for line in written if line != "\n"] == [
            "reach  building environment",
            "reach  episode 1/4  success 100.0%  0 steps/s  1:00  1:00 left",
            "reach  episode 1/4  success 100.0%  0 steps/s  2:00  2:00 left",
            "reach  18/20 episodes  success 94.4%  pass  0:12",
        ]
        assert written[::2] == ["\n"] * 4, "a row of dots is ended first"

    def test_nothing_when_quiet(
        self, config: Any, written: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        config.reporter.verbosity = -1
        self.roll_out(config, monkeypatch, [100])
        assert written == []

    def test_an_environment_that_is_there(self, config: Any, written: list[str]) -> None:
        with show_preparation(config, make_job(), "reach", builds=False):
            assert written == ["\n", "reach  begins"]

    def test_a_job_that_did_not_complete(self) -> None:
        failed = record(status=Status.ERROR, metrics={}, timings={}, episodes={"measured": 3, "errors": 1})
        assert ended(failed) == "reach  3 episodes  error"
        assert ended(record(verdict=Verdict.NONE, metrics={})) == "reach  18/20 episodes  completed  0:12"


class TestLiveLines:
    @pytest.fixture(autouse=True)
    def size(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("shutil.get_terminal_size", lambda: (40, 5))

    def test_lines_are_below_what_pytest_writes(self) -> None:
        writer = Writer()
        live = LiveLines(writer)
        writer._file.write("..")
        live.show({"gw0": snapshot()})
        before = len(writer.text.getvalue())
        writer._file.write("F")
        added = writer.text.getvalue()[before:]
        assert added.startswith("\x1b[JF\x1bD\x1b[1A\x1b7\r\n[gw0] reach")
        assert added.endswith("\x1b8")

    def test_too_wide_and_too_many_lines_are_cut(self) -> None:
        writer = Writer()
        LiveLines(writer).show({f"gw{i}": snapshot() for i in range(9)})
        drawn = writer.text.getvalue().removesuffix("\x1b8").split("\r\n")[1:]
        assert len(drawn) == 3
        assert {len(line) for line in drawn} == {39}

    def test_nothing_is_left_at_the_end(self) -> None:
        writer = Writer()
        live = LiveLines(writer)
        live.show({"gw0": snapshot()})
        live.close()
        assert writer._file is writer.text
        assert writer.text.getvalue().endswith("\x1b8\x1b[J")

    def test_nothing_is_drawn_while_no_job_runs(self) -> None:
        writer = Writer()
        LiveLines(writer).show({})
        assert writer.text.getvalue() == ""


class Shown:
    def __init__(self, error: Exception | None = None) -> None:
        self.error, self.seen, self.closed, self.ended = error, [], 0, []

    def show(self, snapshots: Any) -> None:
        self.seen.append(dict(snapshots))
        if self.error:
            raise self.error

    def close(self) -> None:
        self.closed += 1

    def end(self, worker: str | None, record: JobRecord) -> None:
        self.ended.append((worker, record.job))


class TestWatcher:
    @pytest.fixture(autouse=True)
    def often(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(worker_progress, "INTERVAL", 0.01)

    def wait(self, shown: Shown) -> None:
        for _ in range(500):
            if shown.seen:
                return
            worker_progress.time.sleep(0.01)
        pytest.fail("nothing was shown")

    def test_it_shows_and_ends(self, tmp_path: Path) -> None:
        directory, shown = RunDirectory(tmp_path), Shown()
        write_json(progress_path(directory, "gw0"), vars_of(snapshot()))
        watcher = Watcher(directory, shown)
        self.wait(shown)
        assert shown.seen[0] == {"gw0": snapshot()}
        watcher.pytest_sessionfinish()
        watcher.pytest_unconfigure()
        assert shown.closed == 1
        assert not watcher._thread.is_alive()
        assert list(tmp_path.iterdir()) == []

    def test_the_report_of_a_job_tells_its_end(self, tmp_path: Path) -> None:
        directory, shown = RunDirectory(tmp_path), Shown()
        (tmp_path / "reach").mkdir()
        write_json(tmp_path / "reach" / "record.json", record().to_json())
        watcher = Watcher(directory, shown)
        node = SimpleNamespace(gateway=SimpleNamespace(id="gw0"))
        for when, properties in (
            ("setup", []),
            ("call", [("arena_record", "reach/record.json")]),
            ("teardown", [("arena_record", "reach/record.json")]),
            ("call", [("arena_record", "gone/record.json")]),
            ("call", [("other", 1)]),
        ):
            report: Any = SimpleNamespace(when=when, user_properties=properties, node=node)
            watcher.pytest_runtest_logreport(report)
        watcher.stop()
        assert shown.ended == [("gw0", "reach")]

    def test_a_dead_worker_is_not_shown_any_more(self, tmp_path: Path) -> None:
        directory, shown = RunDirectory(tmp_path), Shown()
        for worker in ("gw0", "gw1"):
            write_json(progress_path(directory, worker), vars_of(snapshot()))
        watcher = Watcher(directory, shown)
        watcher.pytest_testnodedown(SimpleNamespace(gateway=SimpleNamespace(id="gw0")))
        assert list(read_progress(directory)) == ["gw1"]
        watcher.pytest_testnodedown(SimpleNamespace(gateway=SimpleNamespace(id="gw0")))
        watcher.stop()

    def test_a_terminal_that_is_gone_ends_the_showing_alone(self, tmp_path: Path) -> None:
        shown = Shown(OSError("gone"))
        watcher = Watcher(RunDirectory(tmp_path), shown)
        self.wait(shown)
        watcher._thread.join(5)
        assert len(shown.seen) == 1
        watcher.stop()
