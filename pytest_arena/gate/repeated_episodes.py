"""Episodes that repeat others: where nothing is left to chance, those that begin alike are one episode.

Two hundred episodes of a deterministic policy that begin in 48 different states tell no more of other states
than 48 episodes do.
"""

from __future__ import annotations

from collections.abc import Sequence

from pytest_arena.records.schema import Episode, Outcome

_Trace = tuple[object, ...]


class DistinctStarts:
    """The different states in which episodes began, as they are added in episode order.

    An initial state is known by the hash of what the policy saw at the reset. Where two episodes begin alike
    and end differently, there is more to a state than that: then no episode is taken for a repetition.
    """

    def __init__(self) -> None:
        self._traces: dict[str, _Trace] = {}
        self.repeat = True
        """Whether equal hashes have meant equal episodes so far."""

    def is_new(self, episode: Episode) -> bool:
        """Take *episode* in; False where it repeats an earlier one."""
        if episode.initial_state is None or episode.outcome == Outcome.ERROR:
            return True
        trace = (episode.outcome, episode.length, episode.return_, episode.end_reason)
        known = self._traces.setdefault(episode.initial_state, trace)
        self.repeat = self.repeat and known == trace
        return known is trace


def without_repetitions(episodes: Sequence[Episode]) -> list[Episode] | None:
    """Return the *episodes* of a deterministic job without those that repeat an earlier one.

    None where two that begin alike end differently.
    """
    starts = DistinctStarts()
    new = [episode for episode in sorted(episodes, key=lambda e: e.episode) if starts.is_new(episode)]
    return new if starts.repeat else None


def count_distinct_starts(episodes: Sequence[Episode]) -> int | None:
    """Return in how many different states *episodes* began; None where that is not known of all of them."""
    states = {episode.initial_state for episode in episodes}
    return None if None in states else len(states)
