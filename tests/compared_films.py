"""Runs to compare, with films in which frame k shows a bar of k parts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pytest_arena.recorders.films.encoder import Encoder
from pytest_arena.recorders.films.film import Film
from pytest_arena.recorders.films.mp4 import FilmFormat


def add_films(run: Path, job: str, frames: Mapping[int, int], cameras: Sequence[str] = ("front",)) -> None:
    """Give episodes of a job real films of 10 frames a second.

    Args:
        run: The run directory.
        job: The job, of which ``episodes.jsonl`` is there.
        frames: Episode -> frames of its films.
        cameras: A film each.
    """
    encoder = Encoder(threads=1)
    films: dict[int, dict[str, str]] = {}
    for episode, length in frames.items():
        for camera in cameras:
            path = f"{job}/videos/episode-{episode:04}-env0-{camera}.mp4"
            film = Film(run / path, FilmFormat(10), encoder)
            for frame in range(length):
                image = np.full((48, 64, 3), 40, np.uint8)
                image[16:32, : 64 * (frame + 1) // length] = 200
                film.add(image)
            film.finish()
            films.setdefault(episode, {})[camera] = path
    encoder.close()
    name_films(run, job, films)


def name_films(run: Path, job: str, films: Mapping[int, Mapping[str, str]]) -> None:
    """Write into the lines of a job's episodes where their films are: episode -> camera -> path."""
    path = run / job / "episodes.jsonl"
    lines: list[dict[str, Any]] = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        line["videos"] = dict(films.get(line["episode"], {}))
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
