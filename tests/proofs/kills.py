"""Kills at random moments: no finished episode is lost, and a resumed run is the undisturbed one, bit for bit.

``python -m tests.proofs.kills COUNT [SEED]``

The process, one of its workers, a resume, or the joining of shards gets SIGKILL; then the run is resumed to
its end. What was on disk at the kill must be there unchanged, down to the time that it took: it was not run
again. All episodes must be equal to those of a run that nobody disturbed.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.inner import inner_environment

CONFTEST = """\
import os, signal, threading, time
import gymnasium
import pytest_arena.evaluation.join_shards as join
from tests.fakes import ScriptedEnv

class Slow(ScriptedEnv):
    def step(self, action):
        time.sleep(0.004)
        return super().step(action)

gymnasium.register("Slow-v0", Slow, max_episode_steps=50, disable_env_checker=True)

if "KILL_IN_JOIN" in os.environ:
    whole = join.join_shards

    def join_shards(*args, **kwargs):
        kill = lambda: os.kill(os.getpid(), signal.SIGKILL)
        threading.Timer(float(os.environ["KILL_IN_JOIN"]), kill).start()
        return whole(*args, **kwargs)

    join.join_shards = join_shards
"""
JOBS = """\
defaults:
  simulator: gymnasium
  environment: {id: "conftest:Slow-v0", num_envs: 2}
  policy: {type: zero}
  rollout: {episodes: 10}
jobs:
  plain: {}
  shards: {rollout: {episodes: 12, shards: 3}, environment: {num_envs: 1}}
  recorded: {record: {trajectory: true}, rollout: {episodes: 6}}
  filmed: {environment: {cameras: {render: {}}}, record: {video: "on"}, rollout: {episodes: 4}}
  gated: {gate: {episodes_max: 80}, thresholds: {success_rate: ">= 0.2"}}
"""
KINDS = ("process", "worker", "resume", "join")
SAME = (
    "episode", "seed", "rebuild", "length", "outcome", "success_once", "success_at_end", "return", "end_reason",
    "initial_state", "time_to_success", "metrics",
)  # fmt: skip
KEPT = (*SAME, "started_at", "wall_time_seconds")
PYTEST = ("-p", "no:cacheprovider", "-p", "no:randomly", "-q", "--arena-jobs", "jobs.yaml")
LONGEST = 300.0
"""Seconds that a run may take on a busy machine: more is a hang."""

Episodes = dict[str, list[dict[str, Any]]]
"""Job -> its episodes, in their order."""


@dataclass
class Trial:
    """A folder with the jobs, and the run that is made in it."""

    folder: Path

    def __post_init__(self) -> None:
        self.folder.mkdir()
        (self.folder / "conftest.py").write_text(CONFTEST)
        (self.folder / "jobs.yaml").write_text(JOBS)

    @property
    def run(self) -> Path | None:
        """The run directory, once it can be resumed."""
        return next((path.parent for path in self.folder.glob("arena-results/2*/run.json")), None)

    def start(self, *args: str, **environment: str) -> subprocess.Popen[bytes]:
        """Start pytest, with its output in ``log``."""
        resumed = ["--arena-resume", str(self.run)] if self.run is not None else []
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "pytest", *PYTEST, *resumed, *args],
                cwd=self.folder,
                env={**inner_environment(), **environment},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def finish(self) -> int:
        """Run, or resume, to the end; returns the exit status."""
        with ended(self.start()) as process:
            return process.wait(LONGEST)

    def log(self) -> str:
        """What pytest said last."""
        return (self.folder / "log").read_text(errors="replace")[-4000:]


@contextlib.contextmanager
def ended(process: subprocess.Popen[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """Leave no process behind, workers included."""
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def lines_of(run: Path | None) -> dict[str, dict[int, dict[str, Any]]]:
    """Return attempt's folder -> episode -> whole line on disk, of those that were measured."""
    found: dict[str, dict[int, dict[str, Any]]] = {}
    for path in sorted(run.glob("*/episodes.jsonl")) if run is not None else ():
        whole = [line for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]
        episodes = [episode for episode in map(json.loads, whole) if episode["outcome"] != "error"]
        found[path.parent.name] = {e["episode"]: {key: e[key] for key in KEPT} for e in episodes}
    return found


def episodes_of(run: Path) -> Episodes:
    """Return what must be equal, of each job's last attempt: the episodes that its numbers are made of.

    When a gate has its verdict, other rows may have ended episodes beyond it, one more or one less.
    """
    found: dict[str, tuple[int, Path, int | None]] = {}
    for path in run.glob("*/record.json"):
        record = json.loads(path.read_text())
        last = record["attempt"], path, (record["gate"] or {}).get("counted")
        found[record["job"]] = max(found.get(record["job"], last), last, key=lambda attempt: attempt[0])
    episodes: Episodes = {}
    for job, (_, path, counted) in found.items():
        lines = [json.loads(line) for line in (path.parent / "episodes.jsonl").read_text().splitlines()]
        lines.sort(key=lambda e: e["episode"])
        episodes[job] = [{key: e[key] for key in SAME} for e in lines[:counted]]
    return episodes


def kill_after(
    trial: Trial, process: subprocess.Popen[bytes], seconds: float, worker: random.Random | None
) -> bool:
    """Kill *process*, or one of its workers, so many seconds after the run began; False where it had ended."""
    began = time.monotonic()
    while process.poll() is None and trial.run is None and time.monotonic() - began < LONGEST:
        time.sleep(0.002)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(seconds)
        return False
    if worker is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return True
    children, landed = workers_of(process.pid), False
    with contextlib.suppress(ProcessLookupError, IndexError):
        os.kill(worker.choice(children), signal.SIGKILL)
        landed = True
    process.wait(LONGEST)
    return landed


def workers_of(pid: int) -> list[int]:
    """Return the processes that *pid* has started."""
    with contextlib.suppress(OSError):
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def fault(
    folder: Path, expected: Episodes, lasts: float, seed: int, number: int
) -> tuple[str, bool, str | None]:
    """Return what was to be killed, whether it was, and what is wrong with that, if anything."""
    rng = random.Random(f"{seed}-{number}")
    kind, trial = KINDS[number % len(KINDS)], Trial(folder / f"kill-{number}")
    moment = lambda: rng.uniform(0, lasts)  # noqa: E731
    before, landed = [], True
    if kind == "join":
        with ended(trial.start(KILL_IN_JOIN=str(rng.uniform(0, 0.03)))) as process:
            landed = process.wait(LONGEST) == -signal.SIGKILL
        before.append(lines_of(trial.run))
    else:
        kinds = {"process": [None], "worker": [rng], "resume": [None, None]}[kind]
        for worker in kinds:
            args = ["-n", "2"] if worker is not None else []
            with ended(trial.start(*args)) as process:
                landed &= kill_after(trial, process, moment(), worker)
            before.append(lines_of(trial.run))
    status = trial.finish()
    run = trial.run
    if status != 0 or run is None:
        return kind, landed, f"status {status} of the resume\n{trial.log()}"
    after, found = lines_of(run), episodes_of(run)
    for lines in before:
        for name, episodes in lines.items():
            lost = [n for n, episode in episodes.items() if after.get(name, {}).get(n) != episode]
            if lost:
                return kind, landed, f"episodes {lost} of {name} were lost, or run again\n{trial.log()}"
    if found != expected:
        jobs = [job for job in {*found, *expected} if found.get(job) != expected.get(job)]
        return (
            kind,
            landed,
            f"the episodes of {', '.join(jobs)} are not those of the undisturbed run\n{trial.log()}",
        )
    shutil.rmtree(trial.folder)
    return kind, landed, None


def main(count: int, seed: int = 0) -> int:
    """Kill *count* times; print what is wrong and the counts."""
    folder, began = Path(tempfile.mkdtemp(prefix="arena-kills-")), time.monotonic()
    undisturbed = Trial(folder / "undisturbed")
    if undisturbed.finish() != 0 or undisturbed.run is None:
        print(f"the undisturbed run failed\n{undisturbed.log()}")
        return 1
    expected = episodes_of(undisturbed.run)
    manifest = json.loads((undisturbed.run / "run.json").read_text())
    start, end = (datetime.fromisoformat(manifest[key]) for key in ("started_at", "finished_at"))
    lasts = (end - start).total_seconds()
    kinds: Counter[str] = Counter()
    faults = 0
    number = 0
    while kinds.total() < count:  # a process that ended before its moment is no kill: another one is tried
        kind, landed, wrong = fault(folder, expected, lasts, seed, number)
        number += 1
        kinds[kind] += landed
        if wrong is not None:
            faults += 1
            print(f"== kill {number - 1} of seed {seed} ({kind}, in {folder}): {wrong}\n", flush=True)
    print(
        f"{count} kills ({', '.join(f'{n} {kind}' for kind, n in sorted(kinds.items()))}), each resumed and "
        f"compared with the undisturbed run: {faults} faults; {time.monotonic() - began:.0f} s"
    )
    if not faults:
        shutil.rmtree(folder)
    return int(faults > 0)


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:3])))
