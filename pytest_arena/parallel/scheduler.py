"""The xdist scheduler of sessions with arena jobs: an environment's jobs on one worker, the longest first.

Node ids stay as they are. What shares an environment, and how long it takes, is in the run's manifest, which
the workers write before they report their collections.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

import pytest
from xdist.remote import Producer
from xdist.report import report_collection_diff
from xdist.scheduler import LoadScheduling, Scheduling
from xdist.workermanage import WorkerController

from pytest_arena.parallel.assignment import Item, Plan
from pytest_arena.parallel.durations import expected_costs
from pytest_arena.parallel.workers import shared_directory
from pytest_arena.records.manifest import JobEntry
from pytest_arena.reports.reporter import terminal_reporter

OUTSTANDING = 2
"""Items a worker has at most: the one it runs, and the next, without which it would not start."""


def make_scheduler(config: pytest.Config, log: Producer) -> Scheduling | None:
    """Return the scheduler of ``--dist load``, which ``-n`` means; None leaves the choice to xdist."""
    return ArenaScheduling(config, log) if config.getoption("dist") == "load" else None


class ArenaScheduling:
    """xdist's own scheduler until all workers have collected; then, if there are jobs, `GroupScheduling`.

    So a session without jobs is spread as if the plugin were not there.
    """

    def __init__(self, config: pytest.Config, log: Producer) -> None:
        self.config, self.log = config, log
        self._load = LoadScheduling(config, log)
        self._active: Scheduling = self._load

    @property
    def nodes(self) -> list[WorkerController]:
        """The workers known."""
        return self._active.nodes

    @property
    def collection_is_completed(self) -> bool:
        """Whether as many workers as were asked for have collected."""
        return self._active.collection_is_completed

    @property
    def tests_finished(self) -> bool:
        """Whether the workers can be told that nothing more will come."""
        return self._active.tests_finished

    @property
    def has_pending(self) -> bool:
        """Whether an item waits or runs."""
        return self._active.has_pending

    def add_node(self, node: WorkerController) -> None:
        """A worker has started."""
        self._active.add_node(node)

    def add_node_collection(self, node: WorkerController, collection: Sequence[str]) -> None:
        """A worker has collected."""
        self._active.add_node_collection(node, collection)

    def schedule(self) -> None:
        """Begin; called again when a replacement has collected."""
        if self._active is self._load and self._load.collection is None:
            collected = list(self._load.node2collection.values())
            jobs = self._jobs()
            if jobs and all(collection == collected[0] for collection in collected):
                self._active = self._group_scheduling(jobs, collected[0])
        self._active.schedule()

    def mark_test_complete(self, node: WorkerController, item_index: int, duration: float = 0) -> None:
        """A worker has run an item."""
        self._active.mark_test_complete(node, item_index, duration)

    def mark_test_pending(self, item: str) -> None:
        """Run an item again."""
        self._active.mark_test_pending(item)

    def remove_pending_tests_from_node(self, node: WorkerController, indices: Sequence[int]) -> None:
        """Not supported: no item is ever asked back from a worker."""
        raise NotImplementedError

    def remove_node(self, node: WorkerController) -> str | None:
        """A worker has ended or died; return the item that it died of."""
        return self._active.remove_node(node)

    def _jobs(self) -> dict[str, JobEntry]:
        run = shared_directory(self.config)
        return run.manifest_if_sound().jobs if run is not None else {}

    def _group_scheduling(self, jobs: dict[str, JobEntry], collection: list[str]) -> GroupScheduling:
        run = shared_directory(self.config)
        assert run is not None
        costs, guessed = expected_costs(jobs, run)
        plan = Plan(items_of(collection, jobs, costs), guessed)
        _give_up_surplus(self.config, plan, collection, self._load.numnodes)
        scheduling = GroupScheduling(self.config, self.log, plan, collection)
        for node in self._load.nodes:
            scheduling.add_node(node)
            if node in self._load.node2collection:
                scheduling.add_node_collection(node, collection)
        return scheduling


def items_of(
    collection: Sequence[str], jobs: Mapping[str, JobEntry], costs: Mapping[str, float]
) -> list[Item]:
    """Return the items of a collection; what is no job is shorter than any job, and shares nothing."""
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


def _give_up_surplus(config: pytest.Config, plan: Plan, collection: Sequence[str], workers: int) -> None:
    """Jobs that need more simulator processes than there are workers cannot all run: say which will not."""
    surplus = plan.launch_groups()[workers:]
    lost = [index for launch in surplus for index in plan.drop(launch)]
    if lost:
        names = ", ".join(collection[index] for index in lost[:3]) + (" …" if len(lost) > 3 else "")
        _say(
            config,
            f"ERROR: these jobs need {workers + len(surplus)} simulator processes, as their launch settings "
            f"differ, but -n gives {workers}: {len(lost)} of them will not run ({names}); "
            f"use -n {workers + len(surplus)} or more",
        )


def _say(config: pytest.Config, line: str) -> None:
    terminal = terminal_reporter(config)
    if terminal is not None:
        terminal.ensure_newline()
        terminal.write_line(line, red=True)


class GroupScheduling:
    """Feeds the workers by a `Plan`, never more than two items ahead.

    An item that a worker died of is reported, and given to another only if `mark_test_pending` asks for it.
    """

    def __init__(
        self,
        config: pytest.Config,
        log: Producer,
        plan: Plan,
        collection: Sequence[str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.config, self.log, self.plan, self.clock = config, log, plan, clock
        self.collection = list(collection)
        self._given: dict[WorkerController, list[int]] = {}
        self._collected: set[WorkerController] = set()
        self._refused = False

    @property
    def nodes(self) -> list[WorkerController]:
        """The workers known."""
        return list(self._given)

    @property
    def collection_is_completed(self) -> bool:
        """Always: this scheduler begins after it."""
        return True

    @property
    def tests_finished(self) -> bool:
        """Whether nothing waits and no worker needs to be told what comes next."""
        return not self.plan.waiting and all(len(given) < OUTSTANDING for given in self._given.values())

    @property
    def has_pending(self) -> bool:
        """Whether an item waits or runs."""
        return bool(self.plan.waiting or any(self._given.values()))

    def add_node(self, node: WorkerController) -> None:
        """A worker has started."""
        assert node not in self._given
        self._given[node] = []

    def add_node_collection(self, node: WorkerController, collection: Sequence[str]) -> None:
        """A worker has collected: it takes part if it found what the first one found."""
        difference = report_collection_diff(
            self.collection, list(collection), "the other workers", node.gateway.id
        )
        if difference is None:
            self._collected.add(node)
            self.plan.add_worker(node.gateway.id)
            return
        self._refused = True
        self.log(difference)
        report = pytest.CollectReport(node.gateway.id, "failed", longrepr=difference, result=[])
        self.config.hook.pytest_collectreport(report=report)
        node.shutdown()

    def schedule(self) -> None:
        """Feed every worker: first one item each, then the second."""
        for _ in range(OUTSTANDING):
            for node, given in self._given.items():
                if node in self._collected and len(given) < OUTSTANDING and not node.shutting_down:
                    self._feed(node)
        if self._refused and all(node.shutting_down for node in self._collected):
            self.plan.clear()  # nobody is left who could run it: the session must end

    def mark_test_complete(self, node: WorkerController, item_index: int, duration: float = 0) -> None:
        """A worker has run an item."""
        self._given[node].remove(item_index)
        self.plan.finished(node.gateway.id, item_index, self.clock())
        self.schedule()

    def mark_test_pending(self, item: str) -> None:
        """Run an item again."""
        self.plan.put_back(self.collection.index(item))
        self.schedule()

    def remove_pending_tests_from_node(self, node: WorkerController, indices: Sequence[int]) -> None:
        """Not supported: no item is ever asked back from a worker."""
        raise NotImplementedError

    def remove_node(self, node: WorkerController) -> str | None:
        """A worker has ended or died; return the item it died of, and let others have what it had left."""
        given = self._given.pop(node)
        if node in self._collected:
            self._collected.remove(node)
            self.plan.remove_worker(node.gateway.id)
        if not given:
            return None
        crashed, *rest = given
        for index in rest:
            self.plan.put_back(index)
        self.schedule()
        return self.collection[crashed]

    def _feed(self, node: WorkerController) -> None:
        index = self.plan.next_for(node.gateway.id, self.clock())
        if index is None:
            node.shutdown()
        else:
            self._given[node].append(index)
            node.send_runtest_some([index])
