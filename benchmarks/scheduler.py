"""How long a run takes with the scheduler, against the shortest time that any scheduler could reach.

    python benchmarks/scheduler.py

No pytest and no simulator: the scheduler hands jobs to simulated workers, which keep the rule of real ones:
an item starts when the next one is known, or that there is none. Printed is the makespan over the lower
bound max(longest job, total ÷ workers), the mean and the worst over seeds. Exit status 1 if, in a row with
known durations, the worst is above the target, or, where workers die, the mean. xdist's own scheduler, which
knows neither durations nor environments, runs for comparison. In the rows of few jobs, which have no target,
the bound cannot be reached: jobs cannot be cut, and making an environment takes as long as a job.

Where workers die, each takes the item it ran along, and is replaced after the time of a mean job; the bound
is that of the items that were finished.
"""

from __future__ import annotations

import argparse
import heapq
import random
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from xdist.scheduler import LoadScheduling

from pytest_arena.parallel.assignment import Item
from pytest_arena.parallel.scheduler import ArenaScheduling

JOBS = 500
GROUP = 10
WORKERS = (1, 2, 3, 4, 6, 8, 16, 32, 64)
WORKERS_OF_FEW = (2, 4, 8)
TARGET = 1.10
SEEDS = 5
FEW_SEEDS = 50
DEATHS = 5
"""How many workers die in a run."""
SWITCH = 0.05
"""What another environment costs, as a share of the mean job, in the rows where it costs something."""

DURATIONS: dict[str, Callable[[random.Random], float]] = {
    "log-normal (sigma 1.2)": lambda random_: random_.lognormvariate(0.0, 1.2),
    "Pareto (alpha 1.5)": lambda random_: random_.paretovariate(1.5),
}


@dataclass(frozen=True)
class Case:
    """One row of the table."""

    name: str
    grouped: bool = True
    switch: float = 0.0
    noise: float = 0.0
    """Sigma of the log-normal error of the costs; 0: durations are known."""
    deaths: int = 0
    plain: bool = False
    """xdist's own scheduler."""
    jobs: int = JOBS
    group: int = GROUP
    launches: int = 1
    """Launch settings that cannot share a process, each of as many groups."""
    unit: float = 1.0
    """What the costs are in, if not in seconds: steps a second."""

    @property
    def has_target(self) -> bool:
        return self.jobs == JOBS and not (self.noise or self.plain)

    def judged(self, ratios: Sequence[float]) -> float:
        """Return the ratio that the target is for: no scheduler can foresee which seed's workers die when."""
        return statistics.mean(ratios) if self.deaths else max(ratios)


CASES = (
    Case("durations known, each job alone", grouped=False),
    Case("durations known, groups of 10", switch=0.0),
    Case("durations known, groups of 10, a switch costs 5 %", switch=SWITCH),
    Case("estimated, each job alone", grouped=False, noise=0.5),
    Case("estimated, groups of 10, a switch costs 5 %", switch=SWITCH, noise=0.5),
    Case("durations known, groups of 10, 5 workers die", switch=SWITCH, deaths=DEATHS),
    Case("xdist's load, groups of 10, a switch costs 5 %", switch=SWITCH, plain=True),
)
FEW = (
    Case("50 jobs, groups of 5, durations known", jobs=50, group=5, switch=1.0),
    Case("50 jobs, groups of 5, guessed from steps", jobs=50, group=5, switch=1.0, noise=0.5, unit=100.0),
    Case("50 jobs, groups of 5, 2 launch settings", jobs=50, group=5, switch=1.0, launches=2),
    Case("20 jobs, groups of 4, durations known", jobs=20, group=4, switch=1.0),
    Case("20 jobs, each alone, guessed from steps", jobs=20, grouped=False, noise=0.5, unit=100.0),
)


class Worker:
    """A process, as a scheduler sees it, and what it does with what it is sent."""

    def __init__(self, name: str) -> None:
        self.gateway = SimpleNamespace(id=name)
        self.queue: list[int] = []
        self.shutting_down = False
        self.busy = self.dead = False
        self.group: str | None = None
        self.launches: set[str | None] = set()

    def send_runtest_some(self, indices: Sequence[int]) -> None:
        self.queue += indices

    def shutdown(self) -> None:
        self.shutting_down = True


class Run:
    """One simulated session."""

    def __init__(
        self, case: Case, seconds: Sequence[float], groups: Sequence[str | None], workers: int
    ) -> None:
        self.case, self.seconds, self.groups = case, seconds, groups
        number = case.launches
        self.launches = [
            f"launch{i // case.group % number}" if number > 1 else None for i in range(case.jobs)
        ]
        self.mean = sum(seconds) / len(seconds)
        self.collection = [str(i) for i in range(len(seconds))]
        self.now, self.builds = 0.0, 0
        self.done: list[int] = []
        self.lost: list[int] = []
        self.workers: list[Worker] = []
        self.events: list[tuple[float, int, Callable[[], None]]] = []
        self.scheduling: Any = None
        self.asked_for = workers

    def begin(self, costs: Sequence[float]) -> None:
        config: Any = SimpleNamespace(
            getvalue=lambda name: ["popen"] * self.asked_for, getoption=lambda name: None, hook=None
        )
        log: Any = SimpleNamespace(loadsched=lambda *text: None)
        if self.case.plain:
            self.scheduling = LoadScheduling(config, log)
        else:
            self.scheduling = ArenaScheduling(config, log, clock=lambda: self.now)
        for _ in range(self.asked_for):
            self.add()
        if not self.case.plain:
            facts = enumerate(zip(costs, self.groups, self.launches, strict=True))
            self.scheduling.begin([Item(i, *values) for i, values in facts])
        self.scheduling.schedule()

    def add(self) -> None:
        worker = Worker(f"w{len(self.workers)}")
        self.workers.append(worker)
        self.scheduling.add_node(worker)
        self.scheduling.add_node_collection(worker, self.collection)

    def at(self, when: float, event: Callable[[], None]) -> None:
        heapq.heappush(self.events, (when, len(self.events) + len(self.done) * JOBS, event))

    def start_workers(self) -> None:
        if self.scheduling.tests_finished:
            for worker in self.workers:
                worker.shutdown()
        for worker in self.workers:
            ready = worker.shutting_down or len(worker.queue) > 1
            if ready and worker.queue and not worker.busy and not worker.dead:
                index = worker.queue[0]
                other = self.groups[index] is None or self.groups[index] != worker.group
                worker.busy, worker.group = True, self.groups[index]
                worker.launches.add(self.launches[index])
                self.builds += other
                took = self.seconds[index] + (self.case.switch * self.mean if other else 0.0)
                self.at(self.now + took, lambda worker=worker, took=took: self.finish(worker, took))  # type: ignore[misc]

    def finish(self, worker: Worker, took: float) -> None:
        if not worker.dead:
            worker.busy = False
            self.done.append(worker.queue.pop(0))
            self.scheduling.mark_test_complete(worker, self.done[-1], took)

    def kill(self, which: int) -> None:
        busy = [worker for worker in self.workers if worker.busy and not worker.dead]
        if busy:
            worker = busy[which % len(busy)]
            worker.dead = worker.shutting_down = True
            self.lost.append(int(self.scheduling.remove_node(worker)))
            self.at(self.now + self.mean, self.replace)

    def replace(self) -> None:
        self.add()
        self.scheduling.schedule()

    def run(self) -> float:
        """Return the makespan."""
        end = 0.0
        self.start_workers()
        while self.events:
            self.now, _, event = heapq.heappop(self.events)
            before = len(self.done)
            event()
            end = self.now if len(self.done) > before else end
            self.start_workers()
        assert sorted(self.done + self.lost) == list(range(len(self.seconds))), (
            "an item was lost or ran twice"
        )
        assert all(len(worker.launches) <= 1 for worker in self.workers), "launch settings met in a process"
        return end


def simulate(case: Case, durations: str, workers: int, seed: int) -> tuple[float, int]:
    """Return makespan ÷ lower bound, and how many environments were made."""
    random_ = random.Random(f"{seed} {durations}")
    seconds = [DURATIONS[durations](random_) for _ in range(case.jobs)]
    groups = [f"env{i // case.group}" if case.grouped else None for i in range(case.jobs)]
    run = Run(case, seconds, groups, workers)
    for _ in range(case.deaths):
        when, which = random_.uniform(0, sum(seconds) / workers), random_.randrange(1000)
        run.at(when, lambda which=which: run.kill(which))  # type: ignore[misc]
    run.begin([case.unit * time * random_.lognormvariate(0.0, case.noise) for time in seconds])
    end = run.run()
    finished = [seconds[i] for i in run.done]
    return end / max(sum(finished) / workers, *finished), run.builds


def print_table(cases: Sequence[Case], durations: str, workers: Sequence[int], seeds: int) -> int:
    """Print a row a case; return how many cells miss the target."""
    missed = 0
    print(f"\ndurations {durations}, {seeds} seeds: makespan ÷ lower bound, mean (worst)\n")
    print(f"| workers | {' | '.join(map(str, workers))} |")
    print(f"|---|{'---|' * len(workers)}")
    for case in cases:
        cells, built = [], []
        for number in workers:
            runs = [simulate(case, durations, number, seed) for seed in range(seeds)]
            ratios = [ratio for ratio, _ in runs]
            missed += case.has_target and case.judged(ratios) > TARGET
            cells.append(f"{statistics.mean(ratios):.3f} ({max(ratios):.3f})")
            built.append(f"{statistics.mean(builds for _, builds in runs):.0f}")
        print(f"| {case.name} | {' | '.join(cells)} |", flush=True)
        if case.switch:
            print(f"| … environments made (of {case.jobs // case.group}) | {' | '.join(built)} |")
    return missed


def main() -> int:
    """Print two tables a distribution of durations: of many jobs, and of few."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=SEEDS, help="runs a cell of many jobs")
    seeds = parser.parse_args().seeds
    missed = 0
    for durations in DURATIONS:
        missed += print_table(CASES, durations, WORKERS, seeds)
        print_table(FEW, durations, WORKERS_OF_FEW, FEW_SEEDS)
    print(f"\ntarget for known durations: {TARGET:.2f}; cells above it: {missed}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
