"""Which item a worker gets next: costs, groups, and the choice. Pure: no xdist, no clock, no files.

A worker starts an item only when it knows the one after it, or that there is none. So every choice is made
one item early, while the worker still has an item to run, and cannot be taken back. `Plan.next_for` therefore
plays the coming choices of all workers through, in the order in which they will become free, until it is the
worker's turn.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

URGENT = 0.75
"""An item is taken out of turn when it needs this share of the time left: later, it would end last."""
URGENT_GUESSED = 0.5
"""The same where costs are guesses: an item may be longer than it looks."""
PATIENCE = 0.02
"""A worker gets a last short item, rather than be sent home, if that delays the end by this share at most."""


@dataclass(frozen=True, slots=True)
class Item:
    """A test, as the plan sees it."""

    index: int
    """Its place in the collection."""
    cost: float
    """How long it will take, in any unit."""
    group: str | None = None
    """Items of a group share an environment; None: this one shares with no other."""
    launch: str | None = None
    """Items with different launch groups cannot share a process; None: any process will do."""


@dataclass(slots=True, eq=False)
class _Group:
    """The items of one environment that no worker has yet, the longest last: it is the next.

    Items that share with no other are together in one `loose` group a launch group: nobody owns it.
    """

    launch: str | None
    loose: bool
    items: list[Item] = field(default_factory=list)
    owners: int = 0
    """Workers that have this environment now, or will have it after what they were given."""
    total: float = 0.0

    def copy(self) -> _Group:
        return _Group(self.launch, self.loose, self.items.copy(), self.owners, self.total)

    def size(self) -> float:
        """What a worker takes on with this group, for longest-first."""
        return self.items[-1].cost if self.loose else self.total

    def share(self) -> float:
        """What another worker would have of it."""
        return self.size() / (self.owners + 1)


@dataclass(slots=True, eq=False)
class _Worker:
    """What a worker was given and has not finished."""

    given: list[Item] = field(default_factory=list)
    since: float = 0.0
    """When the first of them started."""
    group: str | None = None
    launch: str | None = None
    leaving: bool = False
    """It was told that there is nothing more."""

    def free_at(self, now: float, pace: float) -> float:
        """Return when it will need another item, in units of cost from now."""
        if not self.given:
            return 0.0
        done = min((now - self.since) / pace, self.given[0].cost) if pace > 0 else 0.0
        return sum(item.cost for item in self.given) - done


class Plan:
    """All items, who has which, and who gets which next.

    Times are those of any one clock; *guessed* costs may be in another unit, whose ratio is learnt from the
    items that end.
    """

    def __init__(self, items: Iterable[Item], guessed: bool = False) -> None:
        self._items = {item.index: item for item in items}
        sizes = Counter(item.group for item in self._items.values() if item.group is not None)
        self._shared = {group for group, size in sizes.items() if size > 1}
        self._groups: dict[str, _Group] = {}
        self._workers: dict[str, _Worker] = {}
        self._guessed, self._ended, self._spent = guessed, 0.0, 0.0
        for item in sorted(self._items.values(), key=_rank):
            self._put(item)

    @property
    def waiting(self) -> int:
        """How many items no worker has."""
        return sum(len(group.items) for group in self._groups.values())

    def launch_groups(self) -> list[str]:
        """Return the launch groups that have waiting items, the most costly first."""
        totals = _launch_totals(self._groups.values())
        return sorted(totals, key=lambda launch: -totals[launch])

    def drop(self, launch: str) -> list[int]:
        """Give up the waiting items of a launch group; return their indices."""
        gone = [name for name, group in self._groups.items() if group.launch == launch]
        return sorted(item.index for name in gone for item in self._groups.pop(name).items)

    def add_worker(self, name: str) -> None:
        """Count on a worker from now on."""
        self._workers[name] = _Worker()

    def remove_worker(self, name: str) -> None:
        """Forget a worker that ended or died; what it had is not given to another one."""
        _move(self._groups, self._workers.pop(name), None)

    def put_back(self, index: int) -> None:
        """Let an item be given again."""
        self._put(self._items[index])

    def clear(self) -> None:
        """Give up all that waits."""
        self._groups.clear()

    def finished(self, name: str, index: int, now: float) -> None:
        """An item ended; the worker begins its next one."""
        worker = self._workers[name]
        for item in [item for item in worker.given if item.index == index]:
            worker.given.remove(item)
            if self._guessed:
                self._ended += item.cost
                self._spent += now - worker.since
        worker.since = now

    def next_for(self, name: str, now: float) -> int | None:
        """Give the worker one more item, and return its index; None: it shall end after what it has."""
        worker = self._workers[name]
        item = self._choose(name, now)
        if item is None:
            worker.leaving = True
            return None
        group = self._groups[self._key(item)]
        del group.items[bisect_left(group.items, _rank(item), key=_rank)]
        group.total -= item.cost
        _move(self._groups, worker, None if group.loose else item.group)
        if not worker.given:
            worker.since = now
        worker.given.append(item)
        worker.launch = worker.launch or item.launch
        return item.index

    def _put(self, item: Item) -> None:
        loose = item.group not in self._shared
        group = self._groups.setdefault(self._key(item), _Group(item.launch, loose))
        insort(group.items, item, key=_rank)
        group.total += item.cost

    def _key(self, item: Item) -> str:
        if item.group is not None and item.group in self._shared:
            return f"group {item.group}"
        return "loose" if item.launch is None else f"loose {item.launch}"

    def _choose(self, name: str, now: float) -> Item | None:
        pace = self._spent / self._ended if self._ended and self._spent else 1.0
        free_at = {other: worker.free_at(now, pace) for other, worker in self._workers.items()}
        playout = _Playout(self._groups, self._workers, free_at, URGENT_GUESSED if self._guessed else URGENT)
        item = playout.turn_of(name)
        if item is None:
            # The others will be done with all that waits before this worker is free, if the costs are right.
            # A short item keeps it in the game in case they are not; without one it is sent home.
            worker = self._workers[name]
            short = min(
                (item for group in self._groups.values() if _may(worker, group) for item in group.items),
                key=lambda item: item.cost,
                default=None,
            )
            if short is not None and free_at[name] + short.cost <= playout.end * (1 + PATIENCE):
                return short
        return item


class _Playout:
    """The choices to come, on copies, as they will be if every item takes as long as its cost says."""

    def __init__(
        self,
        groups: dict[str, _Group],
        workers: dict[str, _Worker],
        free_at: dict[str, float],
        urgent: float,
    ) -> None:
        self.groups = {name: group.copy() for name, group in groups.items() if group.items or group.owners}
        self.workers = {
            name: replace(worker, given=[]) for name, worker in workers.items() if not worker.leaving
        }
        self.free_at, self.urgent = free_at, urgent
        self.end = max(free_at.values())
        """When the last worker ends, as far as this was played."""
        self.level = _level([free_at[name] for name in self.workers], self.groups.values())

    def turn_of(self, name: str) -> Item | None:
        """Return what *name* takes when it is its turn; None if nothing will be left for it."""
        order = [(self.free_at[other], other != name, other) for other in self.workers]
        heapq.heapify(order)
        mine: Item | None = None
        while order:
            now, _, other = heapq.heappop(order)
            item = self._take(self.workers[other], now)
            if other == name:
                mine = item
                if item is not None:
                    return item
            if item is not None:
                self.end = max(self.end, now + item.cost)
                heapq.heappush(order, (now + item.cost, True, other))
        return mine

    def _take(self, worker: _Worker, now: float) -> Item | None:
        candidates = [group for group in self.groups.values() if group.items and _may(worker, group)]
        if worker.launch is None:
            candidates = self._needing_a_process(candidates)
        if not candidates:
            return None
        group = self._pick(worker, candidates, now)
        item = group.items.pop()
        group.total -= item.cost
        _move(self.groups, worker, None if group.loose else item.group)
        worker.launch = worker.launch or item.launch
        return item

    def _pick(self, worker: _Worker, candidates: Sequence[_Group], now: float) -> _Group:
        own = self.groups.get(f"group {worker.group}")
        longest = max(candidates, key=lambda group: (group.items[-1].cost, group is own))
        if longest.items[-1].cost >= self.urgent * (self.level - now):
            return longest
        if any(group is own for group in candidates):
            assert own is not None
            return own
        free = [group for group in candidates if group.loose or not group.owners]
        return max(free, key=_Group.size) if free else max(candidates, key=_Group.share)

    def _needing_a_process(self, candidates: list[_Group]) -> list[_Group]:
        """Return what a process that is not bound yet may take: first what no process can run so far."""
        totals = _launch_totals(candidates)
        if not totals:
            return candidates
        bound = dict.fromkeys(totals, 0)
        for worker in self.workers.values():
            if worker.launch in bound:
                bound[worker.launch] += 1
        needy = max(totals, key=lambda launch: (not bound[launch], totals[launch] / (bound[launch] + 1)))
        return [
            group
            for group in candidates
            if group.launch == needy or (group.launch is None and bound[needy] > 0)
        ]


def _may(worker: _Worker, group: _Group) -> bool:
    return worker.launch is None or group.launch is None or worker.launch == group.launch


def _rank(item: Item) -> tuple[float, int]:
    """Longest first, and equals in the order of collection: the next one is the last of its list."""
    return item.cost, -item.index


def _move(groups: dict[str, _Group], worker: _Worker, group: str | None) -> None:
    """Note which environment a worker has; the group itself may be gone."""
    for name, change in ((worker.group, -1), (group, 1)):
        found = groups.get(f"group {name}")
        if found is not None:
            found.owners += change
    worker.group = group


def _launch_totals(groups: Iterable[_Group]) -> dict[str, float]:
    totals: dict[str, float] = {}
    for group in groups:
        if group.launch is not None and group.items:
            totals[group.launch] = totals.get(group.launch, 0.0) + group.total
    return totals


def _level(free_at: list[float], groups: Iterable[_Group]) -> float:
    """Return the earliest time at which all could be done, if items could be cut anywhere."""
    waiting = sum(group.total for group in groups)
    level, used = 0.0, 0.0
    for count, time in enumerate(sorted(free_at), start=1):
        if count > 1 and time * (count - 1) - used >= waiting:
            break
        used += time
        level = (used + waiting) / count
    return level
