"""What an interrupted attempt leaves on disk: its measured episodes stay, working files go."""

from __future__ import annotations

import contextlib

from pytest_arena.records.episodes import read_episodes, write_episodes
from pytest_arena.records.files import TRAJECTORIES
from pytest_arena.records.film_names import PARTIAL_FILM, VIDEOS, film_prefix, prefix_in
from pytest_arena.records.rerun_names import RERUN
from pytest_arena.records.run_directory import JobDirectory
from pytest_arena.records.schema import Episode, Outcome


def keep_measured(directory: JobDirectory) -> list[Episode]:
    """Return the measured episodes of an attempt, and leave just these on disk.

    What a killed process leaves beside them goes: a half line, episodes that an exception cut off, films and
    recordings of episodes without a line, and the hidden working files of films, recordings and trajectories.
    A film that was still being encoded is no episode's film, whether or not a part of it was saved; one that
    was finished after its episode's line had been written is taken over. Trajectories are put together.
    """
    kept = [e for e in read_episodes(directory.episodes) if e.outcome != Outcome.ERROR]
    for episode in kept:
        films = episode.videos.items()
        episode.videos = {camera: p for camera, p in films if (directory.path.parent / p).exists()}
        if episode.rerun is not None and not (directory.path.parent / episode.rerun).exists():
            episode.rerun = None
    filmed = {film_prefix(episode.episode, episode.env_idx): episode for episode in kept}
    for film in directory.path.glob(f"{VIDEOS}/*.mp4"):
        prefix = prefix_in(film.name)
        if prefix is None or film.name.endswith(PARTIAL_FILM):
            continue
        if prefix in filmed:
            path = film.relative_to(directory.path.parent).as_posix()
            filmed[prefix].videos.setdefault(film.stem.removeprefix(prefix), path)
        else:
            film.unlink()
    if directory.episodes.exists():
        write_episodes(directory.episodes, kept)
    named = {episode.rerun for episode in kept}
    for recording in directory.path.glob(f"{RERUN}/*.rrd"):
        if recording.relative_to(directory.path.parent).as_posix() not in named:
            recording.unlink()
    for folder in (VIDEOS, TRAJECTORIES, RERUN):
        for unfinished in directory.path.glob(f"{folder}/.*"):
            if unfinished.is_symlink() or unfinished.is_file():
                unfinished.unlink()
    if (directory.path / TRAJECTORIES).exists():
        from pytest_arena.records.hdf5_writer import collect

        with contextlib.suppress(OSError, RuntimeError):  # a full disk: they stay where they are
            collect(directory.path)
    return kept
