"""Fewer cases of a matrix: every pair of values of two factors in at least one of them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence


def pairs_of(case: Sequence[str]) -> Iterator[tuple[int, str, int, str]]:
    """Give every pair of values in *case*, each with the index of its factor."""
    for (i, first), (j, second) in itertools.combinations(enumerate(case), 2):
        yield i, first, j, second


def pairwise(*factors: Sequence[str]) -> list[tuple[str, ...]]:
    """Return cases that hold all pairs of values; the same ones each time, in the order of the whole matrix.

    Greedy: one after the other, the case that holds the most pairs which no earlier one holds.
    """
    cases = list(itertools.product(*factors))
    lacking = {pair for case in cases for pair in pairs_of(case)}
    chosen = []
    while lacking:
        best = max(cases, key=lambda case: len(lacking.intersection(pairs_of(case))))
        lacking.difference_update(pairs_of(best))
        chosen.append(best)
    return sorted(chosen, key=cases.index)
