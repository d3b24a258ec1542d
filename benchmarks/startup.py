"""What the plugin costs before anything is simulated.

    python benchmarks/startup.py

Without arena tests: ``pytest --co`` on an empty suite, with the plugin and without it, by turns. With them:
collecting ten thousand jobs. Each run is a process of its own; its bytecode is cached, as it is for users.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ADDED_SECONDS = 0.020
COLLECTION_SECONDS = 5.0
QUIET = 1.15
"""Wall time over CPU time of these single-threaded processes on a machine without other work, at most."""

TEST = """\
import pytest


@pytest.mark.arena("jobs.yaml")
def test_job(arena_rollout):
    arena_rollout().assert_thresholds()
"""
DEFAULTS = """\
defaults:
  simulator: gymnasium
  environment: {id: CartPole-v1, num_envs: 4}
  policy: {type: random}
  rollout: {episodes: 20}
jobs:
"""
JOB = """\
  job_{i:05d}:
    environment: {{seed: {i}}}
    thresholds: {{episode_length: ">= 1"}}
    tags: [group_{group}]
"""
PLAIN_TEST = """\
import pytest

MARKS = [getattr(pytest.mark, f"group_{{i}}") for i in range(10)]
JOBS = [pytest.param(i, id=f"job_{{i:05d}}", marks=MARKS[i % 10]) for i in range({n})]


@pytest.mark.parametrize("job", JOBS)
def test_job(job):
    pass
"""


@dataclass(frozen=True)
class Run:
    """One finished process, in seconds."""

    wall: float
    cpu: float
    """User and system time together."""
    last_line: str


def collect(folder: Path, *arguments: str) -> Run:
    """Run ``pytest --co -q`` in *folder*; any exit status but "done" and "nothing collected" is an error."""
    env = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    env["PYTHONPYCACHEPREFIX"] = str(folder.parent / "bytecode")
    # Importing hypothesis, which only developers of this project have, would blur both sides.
    command = [sys.executable, "-m", "pytest", "-p", "no:hypothesispytest", "--co", "-q", *arguments]
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode not in (0, 5):
        sys.exit(f"{' '.join(command)}: exit status {done.returncode}\n{done.stdout[-2000:]}{done.stderr}")
    cpu = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return Run(wall, cpu, done.stdout.strip().splitlines()[-1])


def suite(base: Path, name: str, files: Mapping[str, str]) -> Path:
    """Make a folder with an ini file of its own and *files*."""
    folder = base / name
    folder.mkdir()
    (folder / "pytest.ini").write_text("[pytest]\n")
    for file, text in files.items():
        (folder / file).write_text(text)
    return folder


def added_time(base: Path, pairs: int) -> bool:
    """Measure an empty suite with and without the plugin; returns whether the target is met."""
    folder = suite(base, "empty", {})
    variants: dict[str, Sequence[str]] = {"without": ("-p", "no:arena"), "with": ()}
    for arguments in variants.values():
        collect(folder, *arguments)  # writes the bytecode
    runs: dict[str, list[Run]] = {"without": [], "with": []}
    for index in range(pairs):
        names = ("without", "with") if index % 2 else ("with", "without")
        for name in names:
            runs[name].append(collect(folder, *variants[name]))
    print(f"Empty suite, {pairs} pairs, medians in ms\n")
    print(f"{'':24}{'wall':>10}{'CPU':>10}")
    for name, label in (("without", "without the plugin"), ("with", "with the plugin")):
        wall, cpu = (1000 * statistics.median(getattr(run, k) for run in runs[name]) for k in ("wall", "cpu"))
        print(f"{label:24}{wall:10.1f}{cpu:10.1f}")
    both = list(zip(runs["with"], runs["without"], strict=True))
    wall = statistics.median(a.wall - b.wall for a, b in both)
    cpu = statistics.median(a.cpu - b.cpu for a, b in both)
    print(f"{'added, per pair':24}{1000 * wall:10.1f}{1000 * cpu:10.1f}")
    spent = [statistics.median(getattr(run, k) for run in runs["with"]) for k in ("wall", "cpu")]
    return verdicts(1000 * wall, 1000 * cpu, 1000 * ADDED_SECONDS, "ms", busy=spent[0] > QUIET * spent[1])


def collection_time(base: Path, jobs: int, repeats: int) -> bool:
    """Measure the collection of *jobs* jobs; returns whether the target is met."""
    written = DEFAULTS + "".join(JOB.format(i=i, group=i % 10) for i in range(jobs))
    arena = suite(base, "jobs", {"test_jobs.py": TEST, "jobs.yaml": written})
    plain = suite(base, "plain", {"test_plain.py": PLAIN_TEST.format(n=jobs)})
    cases: dict[str, tuple[Path, Sequence[str]]] = {
        "pytest alone, no jobs": (plain, ("-p", "no:arena")),
        "arena jobs": (arena, ()),
    }
    for folder, arguments in cases.values():
        found = collect(folder, *arguments).last_line
        if not found.startswith(f"{jobs} test"):
            sys.exit(f"expected {jobs} tests, got: {found}")
    runs: dict[str, list[Run]] = {name: [] for name in cases}
    for _ in range(repeats):
        for name, (folder, arguments) in cases.items():
            runs[name].append(collect(folder, *arguments))
    print(f"\nCollecting {jobs} tests, {repeats} runs, whole processes, seconds\n")
    print(f"{'':24}{'wall':>10}{'fastest':>10}{'CPU':>10}{'fastest':>10}")
    for name, found_runs in runs.items():
        walls, cpus = [run.wall for run in found_runs], [run.cpu for run in found_runs]
        numbers = (statistics.median(walls), min(walls), statistics.median(cpus), min(cpus))
        print(f"{name:24}" + "".join(f"{number:10.2f}" for number in numbers))
    wall = statistics.median(run.wall for run in runs["arena jobs"])
    cpu = statistics.median(run.cpu for run in runs["arena jobs"])
    return verdicts(wall, cpu, COLLECTION_SECONDS, "s", busy=wall > QUIET * cpu)


def verdicts(wall: float, cpu: float, limit: float, unit: str, *, busy: bool) -> bool:
    """Print whether the target is met by both clocks; where the cores were *busy*, by CPU time alone."""
    met = True
    for name, value in (("CPU", cpu), ("wall", wall)):
        word = "PASS" if value <= limit else "MISS"
        if name == "wall" and busy:
            word = "SKIP"
        met &= word != "MISS"
        print(f"{word}  {name} time {value:.2f} {unit}, target <= {limit:g} {unit}")
    if busy:
        print("      wall time is not judged: other work kept the cores busy")
    return met


def main() -> int:
    """Measure, print, and return the exit status: 1 where a target is missed."""
    parser = argparse.ArgumentParser(description="Measure what the plugin costs before a simulation.")
    parser.add_argument("--pairs", type=int, default=21, help="runs with and without the plugin (21)")
    parser.add_argument("--jobs", type=int, default=10_000, help="jobs to collect (10000)")
    parser.add_argument("--repeats", type=int, default=5, help="collections (5)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as base:
        met = [
            added_time(Path(base), options.pairs),
            collection_time(Path(base), options.jobs, options.repeats),
        ]
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
