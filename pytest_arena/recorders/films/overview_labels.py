"""What stands in an overview: its heading, and under each film a mark, the outcome, the seed and the length.

Drawn with the font that Pillow carries: no font of the system is needed.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from pytest_arena.records.schema import Episode, Outcome

HEADER_HEIGHT, LABEL_HEIGHT = 28, 40
"""In pixels; even, as a film's sides must be."""

_BACKGROUND, _TEXT, _FAINT = (24, 24, 24), (240, 240, 240), (170, 170, 170)
_COLOURS = {Outcome.SUCCESS: (0, 158, 115), Outcome.FAILURE: (213, 94, 0)}
"""Told apart by colour-blind people too; the marks differ in shape as well."""
_OTHER = (230, 159, 0)
_EDGE = 2
"""Pixels at the right that stay free."""
_SIZES, _SMALL = (13, 12, 11, 10, 9), (11, 10, 9)

Picture = NDArray[np.uint8]


def header(job: str, episodes: Sequence[Episode], shown: int, speed: float, width: int) -> Picture:
    """Return (HEADER_HEIGHT, width, 3): the job, how many succeeded, how many are shown, how fast."""
    judged = [episode.outcome for episode in episodes if episode.outcome in _COLOURS]
    succeeded = judged.count(Outcome.SUCCESS)
    words = [f"{job}: {succeeded} of {len(judged)} episodes succeeded" if judged else job]
    films = sum(bool(episode.videos) for episode in episodes)
    words.append(f"{shown} of {films} films" if films > shown else f"{shown} film{'s' if shown > 1 else ''}")
    if speed > 1:
        words.append(f"{speed:.1f} times as fast")
    image, draw = _canvas(width, HEADER_HEIGHT)
    _write(draw, (8, 6), ", ".join(words), _TEXT, _SIZES)
    return np.asarray(image)


def label(episode: Episode, width: int) -> Picture:
    """Return (LABEL_HEIGHT, width, 3): a mark and two lines about an episode.

    A film that shows something else than what was counted says so (`Episode.videos_note`).
    """
    image, draw = _canvas(width, LABEL_HEIGHT)
    colour = _COLOURS.get(episode.outcome, _OTHER)
    draw.rectangle((8, 9, 26, 27), colour)
    if episode.outcome == Outcome.SUCCESS:
        draw.line((12, 18, 16, 22, 23, 13), (255, 255, 255), 2)
    elif episode.outcome == Outcome.FAILURE:
        draw.line((12, 13, 22, 23), (255, 255, 255), 2)
        draw.line((22, 13, 12, 23), (255, 255, 255), 2)
    else:
        draw.line((12, 18, 22, 18), (255, 255, 255), 2)
    _write(draw, (34, 3), f"episode {episode.episode}: {episode.outcome}", _TEXT, _SIZES)
    steps = f"{episode.length} step{'' if episode.length == 1 else 's'}"
    seed = [] if episode.seed is None else [f"seed {episode.seed}"]
    if not episode.videos_note:
        _write(draw, (34, 20), ", ".join([steps, *seed]), _FAINT, _SMALL)
    elif _fits(draw, 34, whole := ", ".join(["not faithful", steps, *seed]), _SMALL[-1]):
        _write(draw, (34, 20), whole, _OTHER, _SMALL)
    else:  # the seed is what the episode is found by
        _write(draw, (34, 20), ", ".join(["not faithful", *(seed or [steps])]), _OTHER, _SMALL)
    return np.asarray(image)


def _write(
    draw: ImageDraw.ImageDraw,
    at: tuple[int, int],
    text: str,
    colour: tuple[int, int, int],
    sizes: Sequence[int],
) -> None:
    """Write a line in the first of *sizes* in which it fits, else in the last."""
    size = next((size for size in sizes if _fits(draw, at[0], text, size)), sizes[-1])
    draw.text(at, text, colour, ImageFont.load_default(size))


def _fits(draw: ImageDraw.ImageDraw, left: int, text: str, size: int) -> bool:
    width: int = draw.im.size[0]
    return left + draw.textlength(text, ImageFont.load_default(size)) <= width - _EDGE


def _canvas(width: int, height: int) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    image = Image.new("RGB", (width, height), _BACKGROUND)
    return image, ImageDraw.Draw(image)
