"""Everything that can go wrong, in every mode, in the first, a middle and the last test.

Each case asks the same: is the outcome of the faulty test right, and the exit status; is every episode on
disk that ended before the fault; did the other tests run, once. All pairs of fault, mode and place are tried,
and with ``PYTEST_ARENA_WHOLE_MATRIX`` set, as at night, all combinations.
"""

from __future__ import annotations

import itertools
import os
import signal
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.integration.conftest import Suite, launch
from tests.pairwise import pairwise

MODES = {"alone": [], "n1": ["-n", "1"], "n3": ["-n", "3"]}
PLACES = {"first": 0, "middle": 1, "last": 2}
EPISODES, FAULT_AT = 4, 2

BODY = """
import logging, pathlib
import numpy as np
import pytest
from pytest_arena import Recorder

FAULTS = {faults!r}

@pytest.fixture
def fragile(arena_job):
    yield
    if FAULTS.get(arena_job.name) == "teardown":
        raise RuntimeError("the teardown broke")

class Unclosable(Recorder):
    def close(self):
        raise OSError("the disk is gone")

@pytest.fixture
def arena_recorders(arena_job, arena_recorders):
    broken = FAULTS.get(arena_job.name) == "recorder-close"
    return [*arena_recorders, Unclosable()] if broken else arena_recorders

@pytest.mark.arena("jobs.yaml")
def test_it(arena_job, arena_rollout, fragile, json_metadata, record_property):
    result = arena_rollout()
    fault = FAULTS.get(arena_job.name)
    if fault == "log-extra":
        logging.getLogger().warning("odd", extra={{"thing": object()}})
    if fault == "numpy":
        json_metadata["odd"] = {{np.int8(3): np.float32(0.5)}}
        record_property("odd", np.int64(3))
    if fault == "nan-and-path":
        json_metadata["odd"] = [float("nan"), pathlib.Path("a/b")]
        record_property("odd", pathlib.Path("a/b"))
    result.assert_thresholds()
"""

AFTER_ITS_SETUP = """
import os
import pytest

@pytest.hookimpl(trylast=True)
def pytest_runtest_logreport(report):
    if report.nodeid.endswith("[faulty]") and report.when == "setup" and "PYTEST_XDIST_WORKER" not in os.environ:
        os.write(os.open("setup-reported", os.O_RDWR), b"!")
"""
"""Tells the trap that the process which reports knows of the faulty test: it is interrupted at the same moment,
and what a worker has sent but it has not read is in no report."""


@dataclass(frozen=True)
class Fault:
    """What happens, and what is to be seen of it."""

    trap: str | None = None
    """What the environment of the faulty job does; None: the test does something odd."""
    outcome: str = "failed"
    status: str = "error"
    exit_alone: int = 1
    exit_xdist: int = 1
    args: tuple[str, ...] = ()
    job: dict[str, Any] = field(default_factory=dict)
    others: str = "run"
    """``run``; ``may-run`` where the session is stopped."""
    kills: bool = False
    """Ends its process: without workers, pytest itself."""
    metadata: Any = None
    user_property: Any = None
    ended: int | None = None
    """Episodes that ended, where it is another number than that before the trap."""

    @property
    def measured(self) -> int:
        if self.ended is not None:
            return self.ended
        return EPISODES if self.trap is None else FAULT_AT


def killing(trap: str, exit_alone: int) -> Fault:
    return Fault(trap, status="crashed", exit_alone=exit_alone, kills=True)


def stopping(trap: str) -> Fault:
    return Fault(trap, "stopped", "interrupted", exit_alone=2, exit_xdist=2, others="may-run")


FAULTS = {
    "exception": Fault("raise"),
    "sys.exit": Fault("sys.exit"),
    "exit-0": killing("exit", 3),
    "exit-1": killing("exit1", 1),
    "SIGKILL": killing("SIGKILL", -signal.SIGKILL),
    "SIGSEGV": killing("SIGSEGV", -signal.SIGSEGV),
    "hang": Fault("hang", job={"rollout": {"timeout": 0.5}}),
    "teardown": Fault(outcome="error", status="completed"),
    "ctrl-c": stopping("ctrl-c"),
    "SIGTERM": stopping("SIGTERM"),
    "-x": Fault("raise", exit_xdist=2, args=("-x",), others="may-run"),
    "--maxfail": Fault("raise", args=("--maxfail=2",)),
}


def late(trap: str, **more: Any) -> Fault:
    """Too late to cost anything."""
    return Fault(trap, "passed", "completed", exit_alone=0, exit_xdist=0, ended=EPISODES, **more)


BRIEFLY = {"rollout": {"timeout": 0.5}}
FAULTS |= {
    "skip": Fault("skip"),
    "xfail": Fault("xfail"),
    "SkipTest": Fault("SkipTest"),
    "build-hangs": Fault("build-hangs", "error", job=BRIEFLY, ended=0),
    "hang-swallows": Fault("hang-swallows", job=BRIEFLY),
    "recorder-close": Fault(ended=EPISODES),
    "close-raises": late("close-raises"),
    "close-hangs": late("close-hangs", job=BRIEFLY),
    "fork-and-exit": late("fork-and-exit"),
    "nan-action": Fault(job={"policy": {"type": "tests.registered:Nowhere"}}, ended=FAULT_AT),
    "text-success": Fault("text-success"),
}
FACTORS = (list(FAULTS), list(MODES), list(PLACES))
WHOLE = bool(os.environ.get("PYTEST_ARENA_WHOLE_MATRIX"))
CASES = list(itertools.product(*FACTORS)) if WHOLE else pairwise(*FACTORS)


def odd(**expected: Any) -> Fault:
    return Fault(outcome="passed", status="completed", **expected)


ODDITIES = {
    "log-extra": odd(),
    "numpy": odd(metadata={"3": 0.5}, user_property=3),
    "nan-and-path": odd(metadata=[None, "a/b"], user_property="a/b"),
}
"""What must be no fault at all: all of them pass, so that they can share a run."""


def environment(trap: str | None, number: int) -> dict[str, Any]:
    """An environment that no other job of the suite can share: jobs keep their order."""
    make = {"trap": trap, "episode": FAULT_AT} if trap else {"trap": "none", "episode": -2 - number}
    return {"environment": {"id": "tests.registered:arena/Trap-v0", "options": {"make": make}}}


@pytest.mark.parametrize(("name", "mode", "place"), CASES)
def test_fault(suite: Suite, name: str, mode: str, place: str) -> None:
    go_through(suite, name, FAULTS[name], mode, place)


def go_through(suite: Suite, name: str, fault: Fault, mode: str, place: str) -> None:
    """Run the faulty job beside two others, and look at all that is left."""
    others = ["one", "two"]
    names = [*others[: PLACES[place]], "faulty", *others[PLACES[place] :]]
    jobs = {job: environment(fault.trap if job == "faulty" else None, i) for i, job in enumerate(names)}
    jobs["faulty"].update(fault.job)
    suite.jobs(jobs, rollout={"episodes": EPISODES})
    suite.test(BODY.format(faults={"faulty": name}))
    if fault.trap == "ctrl-c":
        os.mkfifo(suite.path / "setup-reported")
        suite.pytester.makeconftest(AFTER_ITS_SETUP)
    status, output = launch(suite, *MODES[mode], *fault.args)
    assert status == (fault.exit_alone if mode == "alone" else fault.exit_xdist), output
    before = names[: PLACES[place]]
    if mode == "alone" and fault.kills:
        killed(suite, before)
    else:
        told(suite, "faulty", fault)
        for other in others:
            ran_once(suite, other, must=fault.others == "run" or (mode == "alone" and other in before))
        if mode == "alone" and fault.others == "may-run":
            assert {p.name for p in suite.run_dir.iterdir() if p.is_dir()} == {*before, "faulty"}


@pytest.mark.parametrize("shift", range(len(ODDITIES)))
@pytest.mark.parametrize("mode", MODES)
def test_oddities(suite: Suite, mode: str, shift: int) -> None:
    """Three runs a mode put each of them into the first, the middle and the last test."""
    names = [*list(ODDITIES)[shift:], *list(ODDITIES)[:shift]]
    suite.jobs({job: environment(None, i) for i, job in enumerate(names)}, rollout={"episodes": EPISODES})
    suite.test(BODY.format(faults={name: name for name in names}))
    status, output = launch(suite, *MODES[mode])
    assert status == 0, output
    for name, fault in ODDITIES.items():
        told(suite, name, fault)
        ran_once(suite, name, must=True)


def killed(suite: Suite, before: list[str]) -> None:
    """pytest itself died: what is on disk is all there is."""
    assert suite.record("faulty")["status"] == "running"
    assert [e["episode"] for e in suite.episodes("faulty")] == list(range(FAULT_AT))
    assert {p.name for p in suite.run_dir.iterdir() if p.is_dir()} == {*before, "faulty"}
    for job in before:
        assert suite.record(job)["status"] == "completed"
        assert len(suite.episodes(job)) == EPISODES
    assert not (suite.run_dir / "report.json").exists()


def told(suite: Suite, job: str, fault: Fault) -> None:
    """The faulty test's outcome, record and episodes."""
    (test,) = [t for t in suite.report()["tests"] if t["nodeid"].endswith(f"[{job}]")]
    expected = ("failed", "error") if fault.outcome == "stopped" else (fault.outcome,)
    assert test["outcome"] in expected
    record, arena = suite.record(job), test["metadata"]["arena"]
    assert record["status"] == arena["status"] == fault.status
    begun = (suite.run_dir / job / "episodes.jsonl").exists()
    finished = [e for e in suite.episodes(job) if e["outcome"] != "error"] if begun else []
    assert [e["episode"] for e in finished] == list(range(fault.measured))
    assert record["episodes"]["measured"] == arena["episodes"]["measured"] == fault.measured
    assert len(arena["boundaries"]) == fault.measured
    assert record["verdict"] == arena["verdict"] == ("none" if fault.status == "completed" else "error")
    lengths = [e["length"] for e in finished] or [0]
    assert arena["metrics"].get("episode_length", 0) == sum(lengths) / len(lengths)
    if fault.metadata is not None:
        assert test["metadata"]["odd"] == fault.metadata
        assert {"odd": fault.user_property} in test["user_properties"]


def ran_once(suite: Suite, job: str, *, must: bool) -> None:
    """A second run of a job would have a second folder."""
    assert not (suite.run_dir / f"{job}.2").exists()
    outcomes = suite.outcomes()
    if must:
        assert outcomes[job] == "passed"
    if (suite.run_dir / job).exists() and outcomes.get(job) == "passed":
        assert suite.record(job)["status"] == "completed"
        assert len(suite.episodes(job)) == EPISODES
    elif (suite.run_dir / job / "record.json").exists():  # cut off by the same interrupt
        assert suite.record(job)["status"] in ("interrupted", "completed")
