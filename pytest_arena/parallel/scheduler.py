"""The xdist scheduler of sessions with arena jobs: an environment's jobs on one worker, the longest first.

Node ids stay as they are. What shares an environment is in the run's manifest, which the workers write before
they report their collections; how long a job takes is known from earlier runs beside it, else from its steps.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import pytest
from xdist.remote import Producer
from xdist.report import report_collection_diff
from xdist.scheduler import LoadScheduling, Scheduling
from xdist.workermanage import WorkerController

from pytest_arena.parallel.assignment import Item, Worker, next_item, work_by_launch
from pytest_arena.parallel.shared_run_directory import shared_directory
from pytest_arena.records.manifest import JobEntry
from pytest_arena.records.run_directory import RUNS_READ, RunDirectory
from pytest_arena.records.schema import Status
from pytest_arena.reports.pytest_reporter import write_line

OUTSTANDING = 2
"""Items a worker has at most: the one it runs, and the next, without which it would not start."""


def make_scheduler(config: pytest.Config, log: Producer) -> Scheduling | None:
    """Return the scheduler of ``--dist load``, which ``-n`` means; None leaves the choice to xdist."""
    return ArenaScheduling(config, log) if config.getoption("dist") == "load" else None


@dataclass(slots=True)
class _Process:
    """What is known of a worker beside the items that it has."""

    began: float = 0.0
    """When it started the first of these."""
    group: str | None = None
    """The environment that it will have after them."""
    launch: str | None = None
    """The launch settings of its simulator."""


class ArenaScheduling(LoadScheduling):
    """Where there are jobs, feeds the workers by `next_item`, never more than two items ahead.

    A session without jobs is spread by xdist's own scheduler, as if the plugin were not there. An item that a
    worker died of is reported, and given to another only if `mark_test_pending` asks for it.
    """

    def __init__(
        self, config: pytest.Config, log: Producer | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(config, log)
        self._clock = clock
        self._items: list[Item] = []
        """All of them, in the order of the collection; empty in a session without jobs."""
        self._processes: dict[WorkerController, _Process] = {}

    def schedule(self) -> None:
        """Begin; called again when a replacement of a worker that died has collected."""
        if self.collection is None:
            collections = list(self.node2collection.values())
            if all(collection == collections[0] for collection in collections):
                self.begin(items_of_run(self.config, collections[0]))
        if self._items:
            for _ in range(OUTSTANDING):  # first one item each, then the second
                for node in self.nodes:
                    self.check_schedule(node)
        else:
            super().schedule()

    def begin(self, items: Sequence[Item]) -> None:
        """Spread these items, all that were collected, by cost and group; without any, leave it to xdist."""
        if items:
            self._items = list(items)
            self.collection = next(iter(self.node2collection.values()))
            self.pending[:] = _without_surplus(self.config, items, self.collection, self.numnodes)

    def add_node_collection(self, node: WorkerController, collection: Sequence[str]) -> None:
        """A worker has collected: a late one takes part if it found what the first ones found."""
        if not self._items:
            super().add_node_collection(node, collection)
            return
        assert self.collection is not None
        found = list(collection)
        difference = report_collection_diff(self.collection, found, "the other workers", node.gateway.id)
        if difference is None:
            self.node2collection[node] = found
            return
        self.log(difference)
        report = pytest.CollectReport(node.gateway.id, "failed", longrepr=difference, result=[])
        self.config.hook.pytest_collectreport(report=report)
        node.shutdown()
        if not self._fed():
            self.pending.clear()  # nobody is left who could run it: the session must end

    def mark_test_complete(self, node: WorkerController, item_index: int, duration: float = 0) -> None:
        """A worker has run an item, and begins its next one."""
        self._process(node).began = self._clock()
        super().mark_test_complete(node, item_index, duration)

    def remove_node(self, node: WorkerController) -> str | None:
        """A worker has ended or died; return the item it died of, and let others have what it had left."""
        self._processes.pop(node, None)
        return super().remove_node(node)

    def check_schedule(self, node: WorkerController, duration: float = 0) -> None:
        """Give a worker that has one item its next one, or let it end after what it has."""
        if not self._items:
            super().check_schedule(node, duration)
            return
        given = self.node2pending[node]
        if node not in self._fed() or len(given) >= OUTSTANDING:
            return
        others = [self._worker(other) for other in self._fed() if other is not node]
        item = next_item(self._worker(node), others, [self._items[index] for index in self.pending])
        if item is None:
            node.shutdown()
            return
        process = self._process(node)
        process.group, process.launch = item.group, process.launch or item.launch
        if not given:
            process.began = self._clock()
        self.pending.remove(item.index)
        given.append(item.index)
        node.send_runtest_some([item.index])

    def _fed(self) -> list[WorkerController]:
        """Return the workers that have collected and get further items."""
        return [node for node in self.nodes if node in self.node2collection and not node.shutting_down]

    def _process(self, node: WorkerController) -> _Process:
        return self._processes.setdefault(node, _Process())

    def _worker(self, node: WorkerController) -> Worker:
        process = self._process(node)
        costs = [self._items[index].cost for index in self.node2pending[node]]
        # Costs that are steps, not seconds, are so large that the time since the beginning hardly counts.
        done = min(self._clock() - process.began, costs[0]) if costs else 0.0
        return Worker(sum(costs) - done, process.group, process.launch)


def items_of_run(config: pytest.Config, collection: Sequence[str]) -> list[Item]:
    """Return the items of a *collection*, in its order; none in a session without jobs."""
    run = shared_directory(config)
    jobs = {} if run is None else run.manifest_if_sound().jobs
    if run is None or not jobs:
        return []
    return items_of(collection, jobs, expected_costs(jobs, run))


def items_of(
    collection: Sequence[str], jobs: Mapping[str, JobEntry], costs: Mapping[str, float]
) -> list[Item]:
    """Return the items of a collection; what is no job is shorter than any job, and shares nothing.

    Args:
        collection: Node ids.
        jobs: Label -> the job's entry in the manifest.
        costs: Label -> how long the job will take.
    """
    labels = {job.nodeid: label for label, job in jobs.items()}
    short = min(costs.values()) / 10
    items = []
    for index, nodeid in enumerate(collection):
        label = labels.get(nodeid)
        if label is None:
            items.append(Item(index, short))
        else:
            job = jobs[label]
            items.append(Item(index, costs[label], job.environment_group, job.launch_group))
    return items


def _without_surplus(
    config: pytest.Config, items: Iterable[Item], collection: Sequence[str], workers: int
) -> list[int]:
    """Return the indices of the items that *workers* can run; say which they cannot.

    Jobs that need more simulator processes than there are workers cannot all run.
    """
    work = work_by_launch(items)
    surplus = sorted(work, key=lambda launch: -work[launch])[workers:]
    lost = [item.index for item in items if item.launch in surplus]
    if lost:
        names = ", ".join(collection[index] for index in lost[:3]) + (" …" if len(lost) > 3 else "")
        write_line(
            config,
            f"ERROR: these jobs need {len(work)} simulator processes, as their launch settings differ, "
            f"but -n gives {workers}: {len(lost)} of them will not run ({names}); use -n {len(work)} or more",
            red=True,
        )
    return [item.index for item in items if item.launch not in surplus]


def expected_costs(jobs: Mapping[str, JobEntry], run: RunDirectory) -> dict[str, float]:
    """Return label -> how long each of the *jobs* of a *run* will take.

    In seconds, by the pace of the newest earlier run that finished the job; one that no earlier run has gets
    the median pace of the others. In steps where no job has such a run.
    """
    steps = {label: max(1.0, float(job.steps_at_most or 1)) for label, job in jobs.items()}
    pace = _seconds_a_step(jobs, run)
    usual = statistics.median(pace.values()) if pace else 1.0
    return {label: steps[label] * pace.get(label, usual) for label in jobs}


def _seconds_a_step(jobs: Mapping[str, JobEntry], run: RunDirectory) -> dict[str, float]:
    """Return label -> seconds a step of the newest earlier run that finished the job."""
    pace: dict[str, float] = {}
    earlier_runs = (earlier for earlier in run.earlier() if earlier.manifest_path.exists())
    for earlier in islice(earlier_runs, RUNS_READ):
        then = earlier.manifest_if_sound().jobs
        for label, record in earlier.latest().items():
            job, was = jobs.get(label), then.get(label, JobEntry())
            seconds, steps = record.timings.get("total_seconds"), was.steps_at_most
            same = job is not None and job.nodeid == record.nodeid
            if same and label not in pace and record.status is Status.COMPLETED and seconds and steps:
                pace[label] = seconds / steps
        if len(pace) == len(jobs):
            break
    return pace
