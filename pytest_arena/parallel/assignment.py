"""Which item a worker gets next: a greedy rule. Pure: no xdist, no clock, no files.

A worker starts an item only when it knows the one after it, or that there is none. So every choice is made
one item early, while the worker still has an item to run, and cannot be taken back.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

URGENT = 0.75
"""An item is taken out of turn when it needs this share of the time left: later, it would end last."""
TOLERATED_DELAY = 0.02
"""A worker that would get nothing gets a short item if that delays the end by this share at most."""


@dataclass(frozen=True, slots=True)
class Item:
    """A test, as the rule sees it."""

    index: int
    """Its place in the collection."""
    cost: float
    """How long it will take, in any unit."""
    group: str | None = None
    """Items of a group share an environment; None: this one shares with no other."""
    launch: str | None = None
    """Items with different launch settings cannot share a process; None: any process will do."""


@dataclass(frozen=True, slots=True)
class Worker:
    """A process that gets further items, as the rule sees it."""

    free_at: float
    """When it will have run what it was given: units of cost from now."""
    group: str | None = None
    """The environment that it will have then."""
    launch: str | None = None
    """The launch settings that its process has for good; None: none so far."""


def next_item(worker: Worker, others: Sequence[Worker], waiting: Iterable[Item]) -> Item | None:
    """Choose the item that a worker runs after what it was given.

    Items are dealt out to whoever is free first, the longest first, until it is this worker's turn: others
    can begin those before. Of the rest it gets the longest if that would end last otherwise; else one of the
    environment that it has; else one of the largest group that no worker has; else a share of a group.

    Args:
        worker: Who gets the item.
        others: The other workers that get further items.
        waiting: The items that no worker was given.

    Returns:
        The item; None if the worker shall end after what it was given.
    """
    launch = worker.launch or _launch_in_need(others, waiting)
    served = worker.launch is not None or any(other.launch == launch for other in others)
    items = sorted(
        (item for item in waiting if item.launch == launch or (item.launch is None and served)),
        key=lambda item: (-item.cost, item.index),
    )
    if not items:
        return None
    turn, end = _deal(worker, [other for other in others if other.launch == launch], items)
    if turn == len(items):
        # If the costs are right. A short item keeps the worker at hand in case they are not.
        fits = worker.free_at + items[-1].cost <= end * (1 + TOLERATED_DELAY)
        return items[-1] if fits else None
    return _choose(worker, others, items[turn:], end - worker.free_at)


def work_by_launch(items: Iterable[Item]) -> dict[str, float]:
    """Return launch settings -> the cost of all items that need a process with them."""
    work: defaultdict[str, float] = defaultdict(float)
    for item in items:
        if item.launch is not None:
            work[item.launch] += item.cost
    return dict(work)


def _launch_in_need(others: Sequence[Worker], waiting: Iterable[Item]) -> str | None:
    """Return the launch settings for a new process: such as none has, then those with most work a process."""
    work = work_by_launch(waiting)
    processes = Counter(other.launch for other in others)
    return max(
        work, key=lambda launch: (not processes[launch], work[launch] / (processes[launch] + 1)), default=None
    )


def _deal(worker: Worker, others: Sequence[Worker], items: Sequence[Item]) -> tuple[int, float]:
    """Give each item to whoever is free first; return how many precede *worker*'s turn, and when all end."""
    free = [(worker.free_at, 0), *((other.free_at, number) for number, other in enumerate(others, start=1))]
    heapq.heapify(free)
    turn, end = len(items), max(free)[0]
    for position, item in enumerate(items):
        time, number = free[0]
        if number == 0:
            turn = min(turn, position)
        heapq.heapreplace(free, (time + item.cost, number))
        end = max(end, time + item.cost)
    return turn, end


def _choose(worker: Worker, others: Sequence[Worker], items: Sequence[Item], time_left: float) -> Item:
    """Choose among *items*, the longest first."""
    own = next((item for item in items if item.group is not None and item.group == worker.group), None)
    urgent = items[0].cost >= URGENT * time_left
    if own is not None and (own.cost == items[0].cost or not urgent):
        return own
    if urgent:
        return items[0]
    groups: defaultdict[str | int, list[Item]] = defaultdict(list)
    for item in items:
        groups[item.index if item.group is None else item.group].append(item)
    owners = Counter(other.group for other in others)

    def preference(group: str | int) -> tuple[bool, float]:
        count = owners[group] if isinstance(group, str) else 0
        return not count, sum(item.cost for item in groups[group]) / (count + 1)

    return groups[max(groups, key=preference)][0]
