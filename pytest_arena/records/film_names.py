"""How the files of a job's films are named, all of them.

In the job's folder::

    videos/episode-0003-env1-corner2.mp4                  an episode's film: environment 1, camera corner2
    videos/episode-0003-env1-corner2.partial.mp4          a film that breaks off where its process died
    videos/.episode-0003-env1-corner2.mp4.part            a film that is being made
    videos/.episode-0003-env1-corner2.mp4.faststart.part  the same film, while it is being published
    overview.mp4  overview.jpg  overview.webp             the films side by side, a poster and a preview of it
    .part-overview.mp4  …                                 these three, while they are being made
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

VIDEOS = "videos"
"""Folder, in a job's, of the films of its episodes."""
PARTIAL_FILM = ".partial.mp4"
"""How the name of a film ends that breaks off where its process died: no episode's film."""
OVERVIEW = {"film": "overview.mp4", "poster": "overview.jpg", "preview": "overview.webp"}
"""Kind of a file of the overview, as records have it → its name."""

_PREFIX = re.compile(r"episode-[0-9]+-env[0-9]+-")


def film_prefix(episode: int, row: int) -> str:
    """Return how the names of an episode's films begin, e.g. ``episode-0003-env1-``."""
    return f"episode-{episode:04d}-env{row}-"


def prefix_in(name: str) -> str | None:
    """Return how the *name* of a film begins that is an episode's; None for any other file."""
    found = _PREFIX.match(name)
    return found[0] if found else None


def film_name(episode: int, row: int, camera: str) -> str:
    """Return the name of a film, e.g. ``episode-0003-env1-front.mp4``.

    Args:
        episode: Index of the episode, from 0.
        row: The environment's row that ran it, from 0.
        camera: One of the values of `names_of_cameras`.

    Returns:
        The file's name, without a folder.
    """
    return f"{film_prefix(episode, row)}{camera}.mp4"


def names_of_cameras(cameras: Iterable[str]) -> dict[str, str]:
    """Return camera → a name that is safe in file names, and that no other camera has on any file system."""
    safe = {camera: re.sub(r"[^A-Za-z0-9._-]", "_", camera)[:100] or "_" for camera in cameras}
    names: dict[str, str] = {}
    taken: set[str] = set()
    # Cameras that need no change come first: they keep their names.
    for camera in sorted(safe, key=lambda camera: safe[camera] != camera):
        name, number = safe[camera], 2
        while name.casefold() in taken:
            name, number = f"{safe[camera]}-{number}", number + 1
        taken.add(name.casefold())
        names[camera] = name
    return names


def working_file(film: Path) -> Path:
    """Return the hidden file that grows with the pictures of *film*: a fragmented mp4."""
    return film.with_name(f".{film.name}.part")


def indexed_file(film: Path) -> Path:
    """Return the hidden file that becomes *film*: the same pictures with their index first."""
    return film.with_name(f".{film.name}.faststart.part")


def films_with_a_working_file(videos: Path) -> list[Path]:
    """Return the films of the folder *videos* that were being made, in the order of their names."""
    working = sorted(videos.glob(".*.mp4.part"))
    return [path.with_name(path.name.removeprefix(".").removesuffix(".part")) for path in working]


def partial_film(film: Path) -> Path:
    """Return the file that holds what there is of *film*, which was never finished."""
    return film.with_name(film.name.removesuffix(".mp4") + PARTIAL_FILM)


def overview_draft(directory: Path, name: str) -> Path:
    """Return the hidden file in a job's *directory* that becomes the overview's file *name*."""
    return directory / f".part-{name}"
