"""The compact letter display: runs that cannot be told apart share a letter.

Insert and absorb (H.-P. Piepho, Journal of Computational and Graphical Statistics 13:456, 2004): begin with
one group of all. For each pair that differs, every group with both is replaced by two, without the one and
without the other (insert); groups inside of another one are dropped (absorb). What is left are all largest
groups in which no pair differs, so two runs share a group if and only if they are not told apart. The paper's
last step, which takes redundant letters away, is left out: a letter then means all of its group.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from string import ascii_letters

MOST_GROUPS = 1000
"""Beyond this a display tells nobody anything, and more would take long to find."""


class TooManyLettersError(ValueError):
    """The pairs that differ leave more than `MOST_GROUPS` groups."""


def groups(names: Sequence[str], different: Iterable[tuple[str, str]]) -> list[list[str]]:
    """Return all largest groups of *names* in which no pair is *different*.

    The names of a group, and the groups, are in the order of *names*. Raises `TooManyLettersError`.
    """
    found = [frozenset(names)]
    for one, other in different:
        split = [group for group in found if one in group and other in group]
        whole = [group for group in found if not (one in group and other in group)]
        halves = [group - {name} for group in split for name in (one, other)]
        found = [*whole, *_absorbed(halves, whole)]
        if len(found) > MOST_GROUPS:
            raise TooManyLettersError(f"more than {MOST_GROUPS} letters would be needed")
    place = {name: index for index, name in enumerate(names)}
    ordered = [sorted(group, key=place.__getitem__) for group in found]
    return sorted(ordered, key=lambda group: [place[name] for name in group])


def _absorbed(halves: Sequence[frozenset[str]], whole: Sequence[frozenset[str]]) -> list[frozenset[str]]:
    """Return those of *halves* that are inside of no other one and of no *whole* group, each once."""
    kept: list[frozenset[str]] = []
    for half in sorted(set(halves), key=lambda group: (-len(group), sorted(group))):
        if half and not any(half <= group for group in (*whole, *kept)):
            kept.append(half)
    return kept


def letter_display(names: Sequence[str], different: Iterable[tuple[str, str]]) -> dict[str, tuple[str, ...]]:
    """Return the letters of each of *names*, of which these pairs are *different*.

    The first name has the first letter: ``a`` to ``z``, ``A`` to ``Z``, then ``a2`` and so on. Raises
    `TooManyLettersError`.
    """
    display: dict[str, tuple[str, ...]] = dict.fromkeys(names, ())
    for index, group in enumerate(groups(names, different)):
        for name in group:
            display[name] = (*display[name], _letter(index))
    return display


def _letter(index: int) -> str:
    lap, place = divmod(index, len(ascii_letters))
    return ascii_letters[place] + (str(lap + 1) if lap else "")
