"""The scheduler with simulated workers: what each is given, in which order, and what becomes of the rest."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pytest_arena import JobRecord, RunDirectory, Status
from pytest_arena.parallel.assignment import Item
from pytest_arena.parallel.scheduler import ArenaScheduling, _without_surplus, expected_costs, items_of
from pytest_arena.records.files import write_json
from pytest_arena.records.manifest import JobEntry


class Node:
    """A worker: starts an item when it knows the next one, or that there is none."""

    def __init__(self, name: str) -> None:
        self.gateway = SimpleNamespace(id=name)
        self.shutting_down = False
        self.queue: list[int] = []
        self.ran: list[int] = []

    def send_runtest_some(self, indices: Sequence[int]) -> None:
        assert not self.shutting_down, "an item for a worker that shall end"
        self.queue += indices
        assert len(self.queue) <= 2

    def shutdown(self) -> None:
        self.shutting_down = True

    @property
    def runs(self) -> bool:
        return len(self.queue) > 1 or (self.shutting_down and bool(self.queue))


class Session:
    """What xdist does around a scheduler; items end in a random order, all of the same duration."""

    def __init__(self, items: Sequence[Item], workers: int, seed: int = 0) -> None:
        self.items = {item.index: item for item in items}
        self.collection = [f"t.py::t[{i}]" for i in range(len(items))]
        self.random = random.Random(seed)
        self.now = 0.0
        self.problems: list[Any] = []
        config: Any = SimpleNamespace(
            hook=SimpleNamespace(pytest_collectreport=lambda report: self.problems.append(report)),
            getvalue=lambda name: ["popen"] * workers,
            getoption=lambda name: None,
        )
        log: Any = SimpleNamespace(loadsched=lambda *text: None)
        self.scheduling = ArenaScheduling(config, log, clock=lambda: self.now)
        self.nodes: list[Any] = []
        self.crashed: list[int] = []
        for _ in range(workers):
            self.start()
        self.scheduling.begin(items)
        self.scheduling.schedule()

    def start(self, collection: list[str] | None = None) -> Any:
        node = Node(f"gw{len(self.nodes)}")
        self.nodes.append(node)
        self.scheduling.add_node(node)  # type: ignore[arg-type]
        self.scheduling.add_node_collection(node, collection or self.collection)  # type: ignore[arg-type]
        return node

    def crash(self, node: Any, pending: bool = False, replace: bool = True) -> None:
        """The worker dies of the item it runs; a new one takes its place."""
        item = self.scheduling.remove_node(node)
        node.shutting_down = True
        if item is not None:
            self.crashed.append(self.collection.index(item))
            assert self.crashed[-1] == node.queue[0]
            if pending:
                self.scheduling.mark_test_pending(item)
        node.queue = []
        if replace:
            self.start()
            self.scheduling.schedule()

    def step(self) -> bool:
        """One item ends; False if none can."""
        if self.scheduling.tests_finished:
            for node in self.scheduling.nodes:
                node.shutdown()
        running = [node for node in self.nodes if node.runs]
        if not running:
            return False
        node = self.random.choice(running)
        self.now += 1.0
        node.ran.append(node.queue.pop(0))
        self.scheduling.mark_test_complete(node, node.ran[-1])
        return True

    def run(self) -> None:
        while self.step():
            pass
        assert self.scheduling.tests_finished
        assert not self.scheduling.has_pending

    @property
    def ran(self) -> Counter[int]:
        return Counter(index for node in self.nodes for index in node.ran)

    def builds(self) -> int:
        """How many environments were made, one kept at a time."""
        count = 0
        for node in self.nodes:
            groups = [self.items[index].group for index in node.ran]
            count += sum(a != b for a, b in zip([None, *groups], groups, strict=False))
        return count


def groups_of(*sizes: int, launch: Sequence[str | None] = ()) -> list[Item]:
    """Items of equal cost, in groups of these sizes, group by group."""
    names = [group for group, size in enumerate(sizes) for _ in range(size)]
    return [
        Item(index, 1.0, f"env{group}", launch[group] if launch else None)
        for index, group in enumerate(names)
    ]


WORKERS = pytest.mark.parametrize("workers", [1, 2, 3, 4, 6])


@WORKERS
@pytest.mark.parametrize("seed", range(5))
def test_every_item_runs_once(workers: int, seed: int) -> None:
    random_ = random.Random(seed)
    items = [
        Item(i, random_.lognormvariate(0, 1), random_.choice(["a", "b", "c", None]))
        for i in range(1 + 13 * seed)
    ]
    session = Session(items, workers, seed)
    session.run()
    assert session.ran == dict.fromkeys(range(len(items)), 1)


@WORKERS
def test_an_environment_is_made_once_while_there_are_free_groups(workers: int) -> None:
    session = Session(groups_of(*[4] * 12), workers)
    while len(session.scheduling.pending) >= 8 * workers:
        assert session.step()
    for group in range(12):
        having = {
            node.gateway.id
            for node in session.nodes
            for i in node.ran
            if session.items[i].group == f"env{group}"
        }
        assert len(having) <= 1
    session.run()
    assert session.builds() <= 12 + 2 * (workers - 1)  # the last ones are split


def test_one_worker_makes_every_environment_once() -> None:
    session = Session(groups_of(3, 5, 2, 4), 1)
    session.run()
    assert session.builds() == 4


def test_the_longest_group_is_first_and_its_longest_item() -> None:
    items = [Item(0, 1, "a"), Item(1, 1, "a"), Item(2, 1, "b"), Item(3, 4, "b"), Item(4, 3, None)]
    session = Session(items, 1)
    session.run()
    assert session.nodes[0].ran == [3, 2, 4, 0, 1]


def group_of_first(session: Session, node: Any) -> str | None:
    return session.items[(node.ran + node.queue)[0]].group


def test_a_free_group_is_taken_before_a_larger_one_that_has_a_worker() -> None:
    session = Session(groups_of(20, 3, 2), 2)
    assert [group_of_first(session, node) for node in session.nodes] == ["env0", "env1"]


def test_an_item_that_would_end_last_is_taken_first() -> None:
    items = [Item(0, 9.0, "b"), Item(1, 0.1, "b"), *(Item(i, 1.0, "a") for i in range(2, 12))]
    session = Session(items, 2)
    assert session.nodes[0].queue[0] == 0


def test_the_group_of_a_worker_that_died_is_free_again() -> None:
    session = Session(groups_of(10, 9, 3, 3), 2)
    assert [group_of_first(session, node) for node in session.nodes] == ["env0", "env1"]
    session.crash(session.nodes[0])
    assert group_of_first(session, session.nodes[2]) == "env0"


def test_a_group_is_split_when_a_worker_would_idle() -> None:
    session = Session(groups_of(12), 3)
    session.run()
    assert sorted(len(node.ran) for node in session.nodes)[0] >= 2


def test_nothing_waits_behind_a_long_item_that_others_can_do_meanwhile() -> None:
    items = [Item(0, 10.0), *(Item(i, 5.0) for i in range(1, 3))]
    session = Session(items, 2)
    with_long = next(node for node in session.nodes if 0 in node.queue)
    assert with_long.queue == [0]
    assert with_long.shutting_down


def test_a_short_item_keeps_a_worker_with_a_long_one_in_the_game() -> None:
    items = [Item(0, 100.0), *(Item(i, 30.0) for i in range(1, 4)), Item(4, 0.1)]
    session = Session(items, 2)
    assert next(node for node in session.nodes if 0 in node.queue).queue == [0, 4]


def test_fewer_items_than_workers() -> None:
    session = Session(groups_of(1, 1), 4)
    session.run()
    assert session.ran == {0: 1, 1: 1}
    assert [len(node.ran) for node in session.nodes] == [1, 1, 0, 0]


@WORKERS
@pytest.mark.parametrize("position", ["first", "middle", "last"])
@pytest.mark.parametrize("pending", [False, True], ids=["reported", "again"])
def test_a_worker_dies(workers: int, position: str, pending: bool) -> None:
    session = Session(groups_of(5, 5, 5, 5), workers, seed=workers)
    for _ in range({"first": 0, "middle": 10, "last": 20 - workers}[position]):
        assert session.step()
    while not any(node.runs for node in session.nodes):
        assert session.step()
    session.crash(next(node for node in session.nodes if node.runs), pending)
    session.run()
    (crashed,) = session.crashed
    expected = dict.fromkeys(range(20), 1)
    if not pending:
        del expected[crashed]
    assert session.ran == expected


@WORKERS
def test_workers_die_again_and_again(workers: int) -> None:
    session = Session(groups_of(9, 9, 9), workers, seed=3)
    for _ in range(8):
        session.step()
        running = [node for node in session.nodes if node.runs]
        session.crash(session.random.choice(running))
    session.run()
    assert session.ran == dict.fromkeys(set(range(27)) - set(session.crashed), 1)
    assert len(set(session.crashed)) == 8


def test_a_worker_that_dies_with_nothing_to_do() -> None:
    session = Session(groups_of(1), 2)
    idle = next(node for node in session.nodes if not node.queue)
    assert session.scheduling.remove_node(idle) is None
    with pytest.raises(KeyError):
        session.scheduling.remove_node(idle)
    session.run()


def test_a_worker_that_joins_late_takes_part() -> None:
    session = Session(groups_of(20), 1)
    session.step()
    late = session.start()
    session.scheduling.schedule()
    session.run()
    assert len(late.ran) > 5
    assert session.ran == dict.fromkeys(range(20), 1)


def test_a_late_worker_with_other_tests_is_refused() -> None:
    session = Session(groups_of(6), 1)
    late = session.start(["t.py::other"])
    session.scheduling.schedule()
    assert late.shutting_down
    assert not late.queue
    (problem,) = session.problems
    assert problem.outcome == "failed"
    assert "t.py::other" in str(problem.longrepr)
    session.run()
    assert session.ran == dict.fromkeys(range(6), 1)


def test_a_session_ends_where_only_a_refused_worker_is_left() -> None:
    session = Session(groups_of(6), 1)
    session.crash(session.nodes[0], replace=False)
    assert not session.scheduling.tests_finished
    session.start(["t.py::other"])
    session.scheduling.schedule()
    assert session.scheduling.tests_finished


# Launch groups ---------------------------------------------------------------------------------------------


def launches(session: Session) -> list[set[str | None]]:
    return [{session.items[i].launch for i in node.ran} - {None} for node in session.nodes]


@pytest.mark.parametrize("workers", [2, 3, 4, 6])
@pytest.mark.parametrize("seed", range(4))
def test_a_process_has_one_launch_group(workers: int, seed: int) -> None:
    items = groups_of(6, 3, 8, 5, 1, launch=["A", "B", "A", None, "B"])
    session = Session(items, workers, seed)
    session.run()
    assert session.ran == dict.fromkeys(range(23), 1)
    assert all(len(had) <= 1 for had in launches(session))


def test_workers_are_shared_out_to_launch_groups_by_cost() -> None:
    session = Session(groups_of(*[2] * 12, launch=["A"] * 7 + ["B"] * 5), 4)
    session.run()
    assert sorted(had.pop() for had in launches(session)) == ["A", "A", "B", "B"]


def test_every_launch_group_has_a_worker_even_a_small_one() -> None:
    items = [*groups_of(40, 40, launch=["A", "A"]), Item(80, 0.1, "c", "B"), Item(81, 0.1, "d", "C")]
    session = Session(items, 3)
    session.run()
    assert session.ran == dict.fromkeys(range(82), 1)


@pytest.mark.parametrize("seed", range(6))
def test_the_replacement_serves_the_launch_group_that_lost_its_worker(seed: int) -> None:
    session = Session(groups_of(6, 6, 6, launch=["A", "B", "C"]), 3, seed)
    for _ in range(seed):
        session.step()
    for _ in range(2):
        session.crash(next(node for node in session.nodes if node.runs), pending=True)
    session.run()
    assert session.ran == dict.fromkeys(range(18), 1)
    assert all(len(had) <= 1 for had in launches(session))


def test_launch_groups_without_a_worker_are_given_up_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    items = groups_of(4, 3, 2, launch=["A", "B", "C"])
    said: list[str] = []
    monkeypatch.setattr(
        "pytest_arena.parallel.scheduler.write_line", lambda config, line, **colour: said.append(line)
    )
    config: Any = SimpleNamespace()
    kept = _without_surplus(config, items, [f"t[{i}]" for i in range(9)], 2)
    assert kept == list(range(7))
    (line,) = said
    assert "need 3 simulator processes" in line
    assert "2 of them will not run (t[7], t[8])" in line
    assert "use -n 3 or more" in line
    assert _without_surplus(config, items[:7], [], 2) == kept
    assert len(said) == 1


# Costs -----------------------------------------------------------------------------------------------------


def test_items_are_the_jobs_of_the_manifest_and_the_rest_is_short() -> None:
    jobs = {"reach": JobEntry(nodeid="t.py::t[reach]", environment_group="e", launch_group="l")}
    items = items_of(["t.py::plain", "t.py::t[reach]"], jobs, {"reach": 20.0})
    assert items == [Item(0, 2.0), Item(1, 20.0, "e", "l")]


def earlier_run(base: Path, name: str, seconds: dict[str, float | None], steps: int) -> None:
    run = RunDirectory(base / name)
    run.path.mkdir()
    jobs = {label: {"nodeid": f"t[{label}]", "steps_at_most": steps} for label in seconds}
    write_json(run.manifest_path, {"jobs": jobs})
    for label, took in seconds.items():
        record = JobRecord(label, 1, "", "", "", "", Status.COMPLETED, nodeid=f"t[{label}]")
        if took is None:
            record.status = Status.ERROR
        record.timings = {"total_seconds": took or 0.001}
        write_json(run.claim(label).record, record.to_json())


def test_costs_are_those_of_the_last_run_that_finished_the_job(tmp_path: Path) -> None:
    earlier_run(tmp_path, "20260101T000000Z-aaaa", {"a": 900.0, "b": 50.0}, steps=100)
    earlier_run(tmp_path, "20260102T000000Z-aaaa", {"a": 10.0, "b": None}, steps=100)
    earlier_run(tmp_path, "20270101T000000Z-aaaa", {"a": 1.0}, steps=100)
    now = RunDirectory(tmp_path / "20260103T000000Z-aaaa")
    now.path.mkdir()
    jobs = {label: JobEntry(nodeid=f"t[{label}]", steps_at_most=200) for label in "abc"}
    jobs["moved"] = JobEntry(nodeid="elsewhere", steps_at_most=400)
    costs = expected_costs(jobs, now)
    assert costs == {"a": 20.0, "b": 100.0, "c": 60.0, "moved": 120.0}


def test_without_an_earlier_run_costs_are_steps(tmp_path: Path) -> None:
    (tmp_path / "not-a-run").mkdir()
    now = RunDirectory(tmp_path / "20260103T000000Z-aaaa")
    assert expected_costs({"a": JobEntry(nodeid="t", steps_at_most=7)}, now) == {"a": 7.0}
