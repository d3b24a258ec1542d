"""Films that a process was making when it died: what is on disk of them becomes files that play."""

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
    film_of_working_file,
    indexed_file,
    partial_film,
    working_files,
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
    """Give each working film in the folder *videos* that holds pictures the name of a film that breaks off.

    Returns these. Other working files stay, and those of films that were complete. To be called when no
    process writes any more.
    """
    saved = []
    for working in working_files(videos):
        film = film_of_working_file(working)
        target = partial_film(film)
        with contextlib.suppress(OSError):
            if not film.exists() and _cut_to_fragments(working) and _plays(working):
                _publish(working, target)
                saved.append(target)
    return saved


def _publish(working: Path, target: Path) -> None:
    """Give *target* what is in the *working* file: with its index first, or as it is where that cannot be."""
    import av

    indexed = indexed_file(film_of_working_file(working))
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
    """Cut off what is behind the last whole fragment: players may refuse a film for it. Whether there is one.

    A fragmented film is a row of boxes, each of which begins with its length and its kind; ``mdat`` ends a
    fragment.
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
