"""Films that a process was making when it died: what is on disk of them is made playable."""

from __future__ import annotations

import contextlib
import os
import struct
from pathlib import Path

from pytest_arena.recorders.films.mp4 import address, remux
from pytest_arena.records.disk_space import require_room
from pytest_arena.records.film_names import (
    PARTIAL_FILM,
    VIDEOS,
    films_with_a_working_file,
    indexed_file,
    partial_film,
    working_file,
)
from pytest_arena.records.run_directory import JobDirectory


def unfinished_films(directory: JobDirectory) -> list[str]:
    """Make what there is of unfinished films playable; returns a note on them, if there are any."""
    films = playable_films(directory.path / VIDEOS)
    if not films:
        return []
    folder = f"{directory.path.name}/{VIDEOS}"
    if len(films) == 1:
        return [f"1 unfinished film, which plays as far as it goes: {folder}/{films[0].name}"]
    return [f"{len(films)} unfinished films, which play as far as they go: {folder}/*{PARTIAL_FILM}"]


def playable_films(videos: Path) -> list[Path]:
    """Give each working file in the folder *videos* that has pictures the name of a film that breaks off.

    Returns these films. Other working files stay, and so do those of complete films. To be called when no
    process writes any more.
    """
    partial = []
    for film in films_with_a_working_file(videos):
        working = working_file(film)
        with contextlib.suppress(OSError):
            if not film.exists() and _cut_to_fragments(working) and _plays(working):
                _publish_part(film)
                partial.append(partial_film(film))
    return partial


def _publish_part(film: Path) -> None:
    """Publish what there is of *film*: with its index first, or in fragments where that cannot be."""
    import av

    working, indexed, target = working_file(film), indexed_file(film), partial_film(film)
    try:
        require_room(working.parent, working.stat().st_size)
        remux(working, indexed)
        os.replace(indexed, target)
        working.unlink()
    except (OSError, av.FFmpegError):  # the disk may be full: a film in fragments plays, too
        os.replace(working, target)
        with contextlib.suppress(OSError):
            indexed.unlink()


def _cut_to_fragments(working: Path) -> bool:
    """Cut off what is behind the last whole fragment, for which players may refuse a film.

    Returns whether there is a whole fragment.

    A fragmented film consists of boxes, one after the other. Each begins with its length and its kind, and
    one of the kind ``mdat`` ends a fragment.
    """
    size, at, end = working.stat().st_size, 0, 0
    with working.open("r+b") as file:
        while len(head := file.read(8)) == 8:
            length, kind = struct.unpack(">I4s", head)
            at += length
            if length < len(head) or at > size:
                break
            end = at if kind == b"mdat" else end
            file.seek(at)
        file.truncate(end)
    return end > 0


def _plays(working: Path) -> bool:
    """Whether a picture can be seen."""
    import av

    try:
        with av.open(address(working), format="mp4") as film:
            return next(film.decode(video=0), None) is not None
    except (OSError, av.FFmpegError, IndexError):
        return False
