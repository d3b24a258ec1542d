"""One episode in two runs, side by side: the films that both have of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

MOST_PAIRS = 12
"""Episodes whose films are shown: a page of hundreds of videos serves nobody."""


@dataclass(frozen=True)
class FilmPair:
    """The films of one episode by one camera, in both runs."""

    episode: int
    lost: bool
    """It counted in the first run only, else in the second one only."""
    camera: str
    before: str
    """URL of the film in the first run; ``after``: in the second one."""
    after: str
    said: str = "a success only in"
    """What is said before the name of the run in which it counted."""


Sources = Mapping[int, Mapping[str, str]]
"""Episode -> camera -> URL of its film."""


def film_pairs(
    lost: Sequence[int],
    gained: Sequence[int],
    before: Sources,
    after: Sources,
    said: str = FilmPair.said,
) -> tuple[list[FilmPair], int]:
    """Return the films of the episodes that differ, where both runs have them; lost ones first.

    Args:
        lost: Episodes that counted in the first run only.
        gained: Episodes that counted in the second run only.
        before: The films of the first run.
        after: The films of the second run.
        said: What is said before the name of the run in which an episode counted.

    Returns:
        A pair for each episode and camera of both, of at most `MOST_PAIRS` episodes; and how many more
        episodes have such films.
    """
    pairs: list[FilmPair] = []
    shown = left = 0
    for episode in [*lost, *gained]:
        one, other = before.get(episode, {}), after.get(episode, {})
        cameras = [camera for camera in one if camera in other]
        if not cameras:
            continue
        if shown == MOST_PAIRS:
            left += 1
            continue
        shown += 1
        pairs += [
            FilmPair(episode, episode in lost, camera, one[camera], other[camera], said) for camera in cameras
        ]
    return pairs, left
