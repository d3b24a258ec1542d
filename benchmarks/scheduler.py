"""How long a run takes with the scheduler's plan, against the shortest time that any plan could reach.

    python benchmarks/scheduler.py

No pytest and no simulator: the plan itself hands 500 jobs to simulated workers, which keep the rule of real ones: an
item starts when the next one is known, or that there is none. Printed is the makespan over the lower bound
max(longest job, total ÷ workers), as the mean and the worst over seeds. Exit status 1 if the mean of a row with a
target is above it.
"""

from __future__ import annotations

import argparse
import heapq
import random
import statistics
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from pytest_arena.parallel.plan import Item, Plan

JOBS = 500
WORKERS = (1, 2, 3, 4, 6, 8, 16, 32, 64)
TARGET = 1.10
SEEDS = 5
DEATHS_A_RUN = 5
"""How many workers die in a run, on average."""


def lognormal(random_: random.Random) -> float:
    return random_.lognormvariate(0.0, 1.2)


def pareto(random_: random.Random) -> float:
    return random_.paretovariate(1.5)


DURATIONS: dict[str, Callable[[random.Random], float]] = {"lognormal": lognormal, "pareto": pareto}


@dataclass(frozen=True)
class Job:
    """What is true of a job; its item in the plan has a cost that may be wrong."""

    seconds: float
    group: str | None


@dataclass
class Case:
    """One row of the table."""

    name: str
    grouped: bool = False
    switch: float = 0.0
    """What another environment costs, as a share of the mean job."""
    noise: float | None = None
    """Sigma of the log-normal error of the costs; None: durations are known."""
    deaths: bool = False
    target: bool = True


CASES = (
    Case("each job alone"),
    Case("groups of 10", grouped=True),
    Case("groups of 10, a switch costs 5 % of a job", grouped=True, switch=0.05),
    Case("each job alone, estimated costs", noise=0.5, target=False),
    Case("groups of 10, estimated costs", grouped=True, noise=0.5, target=False),
    Case("groups of 10, workers die", grouped=True, deaths=True, target=False),
)


@dataclass
class Worker:
    """A process: runs the first of what it was given once it knows what comes after."""

    given: deque[int] = field(default_factory=deque)
    leaving: bool = False
    group: str | None = None
    runs: int = 0
    """How many items it has started: tells a stale event."""
    busy: bool = False
    alive: bool = True


class Simulation:
    """One run. Events are (time, number, kind, worker)."""

    def __init__(self, jobs: Sequence[Job], plan: Plan, workers: int, switch: float) -> None:
        self.jobs, self.plan, self.switch = jobs, plan, switch
        self.workers: dict[str, Worker] = {}
        self.events: list[tuple[float, int, str, str, int]] = []
        self.count = 0
        self.switches = 0
        self.lost: list[int] = []
        self.done: list[int] = []
        self.end = 0.0
        for _ in range(workers):
            self.add()

    def add(self) -> None:
        name = f"w{len(self.workers)}"
        self.workers[name] = Worker()
        self.plan.add_worker(name)

    def at(self, when: float, kind: str, name: str = "", run: int = 0) -> None:
        self.count += 1
        heapq.heappush(self.events, (when, self.count, kind, name, run))

    def feed(self, now: float) -> None:
        for wanted in (1, 2):
            for name, worker in self.workers.items():
                if worker.alive and not worker.leaving and len(worker.given) < wanted:
                    item = self.plan.next_for(name, now)
                    if item is None:
                        worker.leaving = True
                    else:
                        worker.given.append(item.index)
        for name, worker in self.workers.items():
            if (
                worker.alive
                and not worker.busy
                and worker.given
                and (worker.leaving or len(worker.given) > 1)
            ):
                job = self.jobs[worker.given[0]]
                other = job.group is None or job.group != worker.group
                self.switches += other
                worker.group, worker.busy, worker.runs = job.group, True, worker.runs + 1
                self.at(now + job.seconds + (self.switch if other else 0.0), "done", name, worker.runs)

    def run(self, deaths: Sequence[tuple[float, int]] = (), delay: float = 0.0) -> float:
        """Return the makespan; *deaths* are (when, which of the busy workers)."""
        for when, which in deaths:
            self.at(when, "death", run=which)
        self.feed(0.0)
        while self.events:
            now, _, kind, name, run = heapq.heappop(self.events)
            if kind == "done" and self.workers[name].alive and self.workers[name].runs == run:
                worker = self.workers[name]
                worker.busy, self.end = False, now
                self.done.append(worker.given.popleft())
                self.plan.finished(name, self.done[-1], now)
            elif kind == "death":
                self.die(now, run, delay)
            elif kind == "replacement":
                self.add()
            self.feed(now)
        return self.end

    def die(self, now: float, which: int, delay: float) -> None:
        busy = [name for name, worker in self.workers.items() if worker.alive and worker.busy]
        if busy:
            name = busy[which % len(busy)]
            worker = self.workers[name]
            worker.alive = False
            crashed, *rest = worker.given
            self.lost.append(crashed)
            self.plan.remove_worker(name)
            for index in rest:
                self.plan.put_back(ITEMS[index])
            self.at(now + delay, "replacement")


ITEMS: dict[int, Item] = {}


def simulate(
    case: Case, draw: Callable[[random.Random], float], workers: int, seed: int
) -> tuple[float, Simulation]:
    """Return makespan ÷ lower bound of one run."""
    random_ = random.Random(f"{seed} {draw.__name__}")
    jobs = [Job(draw(random_), f"env{i // 10}" if case.grouped else None) for i in range(JOBS)]
    noise = [random_.lognormvariate(0.0, case.noise) if case.noise else 1.0 for _ in jobs]
    items = [Item(i, job.seconds * noise[i], job.group) for i, job in enumerate(jobs)]
    ITEMS.clear()
    ITEMS.update(enumerate(items))
    total = sum(job.seconds for job in jobs)
    bound = max(total / workers, max(job.seconds for job in jobs))
    deaths = []
    if case.deaths:
        deaths = [(random_.uniform(0, bound), random_.randrange(1000)) for _ in range(DEATHS_A_RUN)]
    plan = Plan(items, guessed=case.noise is not None)
    simulation = Simulation(jobs, plan, workers, case.switch * total / JOBS)
    end = simulation.run(deaths, delay=total / JOBS)
    assert sorted(simulation.done + simulation.lost) == list(range(JOBS)), "an item was lost or ran twice"
    return end / bound, simulation


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=SEEDS)
    arguments = parser.parse_args()
    missed = 0
    for name, draw in DURATIONS.items():
        print(f"\n{JOBS} {name} jobs, {arguments.seeds} seeds: makespan ÷ lower bound, mean (worst)\n")
        print(f"| case | {' | '.join(f'{n} w' for n in WORKERS)} |")
        print(f"|---|{'---|' * len(WORKERS)}")
        for case in CASES:
            cells = []
            for workers in WORKERS:
                began = time.perf_counter()
                runs = [simulate(case, draw, workers, seed) for seed in range(arguments.seeds)]
                ratios = [ratio for ratio, _ in runs]
                mean, worst = statistics.mean(ratios), max(ratios)
                miss = case.target and mean > TARGET
                missed += miss
                cells.append(f"{mean:.3f} ({worst:.3f}){' MISS' if miss else ''}")
            print(f"| {case.name} | {' | '.join(cells)} |", flush=True)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
