"""The test of a gate as a picture: its boundary, the path of successes, and where it stopped.

Across are the episodes, up the successes beyond what the threshold asks of so many: at the rate of the
threshold a path stays about level, and the two boundaries lie above and below.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from pytest_arena.records.schema import RateTest, Verdict
from pytest_arena.reports.html.svg import Scale, number

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 480, 236, 38, 454, 20, 196
MOST_POINTS = 80
"""Of a line: more cannot be told apart."""
MOST_BARS = 40
MOST_NUMBERS = 12
"""Looks that have their numbers beside them."""
_GLYPHS = {Verdict.PASS: "✓ ", Verdict.FAIL: "✗ ", Verdict.INCONCLUSIVE: "? ", Verdict.ERROR: "! "}

Counts = list[tuple[int, int]]
"""Episodes and successes."""


def gate_picture(test: RateTest) -> Markup:
    """Return *test* as SVG.

    Raises ValueError where its looks and boundaries do not belong together.
    """
    plot = _Plot.of(test)
    up = 1 if test.at_least else -1
    passes, fails = _decided(test.looks, test.pass_at), _decided(test.looks, test.fail_at)
    parts = [
        *_side(plot, passes, "pass", up),
        *_side(plot, fails, "fail", -up),
        *_axes(plot, test),
        *_path(plot, test),
    ]
    said = f"Boundaries at {len(test.looks)} looks, and the path of {test.metric}: {_end(test)}"
    head = f'<svg class=gate viewBox="0 0 {WIDTH} {HEIGHT}" role=img aria-label="{escape(said)}">'
    return Markup(f"{head}{''.join(parts)}</svg>")


@dataclass(frozen=True)
class _Plot:
    """Where episodes and successes are."""

    bound: float
    x: Scale
    y: Scale

    @classmethod
    def of(cls, test: RateTest) -> _Plot:
        if not test.looks:
            raise ValueError("the test has no looks")
        counts = [*_decided(test.looks, test.pass_at), *_decided(test.looks, test.fail_at)]
        for look in test.path:
            counts += [(look.episodes, look.successes), (look.episodes, look.successes + look.errors)]
        surplus = [0.0, *(c - test.bound * n for n, c in counts)]
        last = max(test.looks[-1], *(n for n, _ in counts), 1)
        room = max(0.3 * (max(surplus) - min(surplus)), 1.0)
        y = Scale(min(surplus) - room, max(surplus) + room, BOTTOM, TOP)
        return cls(test.bound, Scale(0, last, LEFT, RIGHT), y)

    def point(self, episodes: float, successes: float) -> str:
        """Return both coordinates as a path has them."""
        return f"{number(self.x(episodes))} {number(self.height(episodes, successes))}"

    def height(self, episodes: float, successes: float) -> float:
        return self.y(successes - self.bound * episodes)

    def line(self, counts: Counts) -> str:
        """Return the points of a line, at most `MOST_POINTS` of them; the first and the last are kept."""
        return " ".join(self.points(counts))

    def points(self, counts: Counts) -> list[str]:
        step = max(1, math.ceil(len(counts) / MOST_POINTS))
        return [self.point(n, c) for n, c in counts[:-1:step] + counts[-1:]]


def _decided(looks: Sequence[int], at: Sequence[int | None]) -> Counts:
    """Return the looks at which so many successes decide, with these."""
    return [(n, c) for n, c in zip(looks, at, strict=True) if c is not None]


def _side(plot: _Plot, counts: Counts, verdict: str, up: int) -> Iterator[str]:
    """Yield what passes, or fails: from its boundary to the edge of the picture, *up* being 1 or -1."""
    edge = TOP if up > 0 else BOTTOM
    if not counts:
        return
    first, last = plot.x(counts[0][0]), plot.x(counts[-1][0])
    line = plot.line(counts) if len(counts) > 1 else f"{plot.point(*counts[0])}h0"
    yield f'<path class="{verdict} area" d="M{line}V{edge}H{number(first)}z"/>'
    # Between two looks nothing is decided, so each look has a bar of its own, where they can be told apart.
    if len(counts) <= MOST_BARS:
        yield f'<path class={verdict} d="{"".join(f"M{plot.point(n, c)}V{edge}" for n, c in counts)}"/>'
    if len(counts) <= MOST_NUMBERS:
        down = -6 if up > 0 else 14
        texts = (_text(plot.x(n) + 3, plot.height(n, c) + down, str(c)) for n, c in counts)
        yield f'<g class="{verdict} start">{"".join(texts)}</g>'
    name = "✓ pass" if verdict == "pass" else "✗ fail"
    place = _text(max(last - 4, LEFT + 50), TOP + 12 if up > 0 else BOTTOM - 5, name)
    yield f'<g class="{verdict} end">{place}</g>'


def _axes(plot: _Plot, test: RateTest) -> Iterator[str]:
    """Yield the axes with their numbers, and the line of what the threshold asks for."""
    across, up = _ticks(0, plot.x.high, 8), _ticks(plot.y.low, plot.y.high, 5)
    marks = "".join(f"M{number(plot.x(n))} {BOTTOM}v4" for n in across)
    marks += "".join(f"M{LEFT} {number(plot.y(d))}h-4" for d in up)
    yield f'<path class=axis d="M{LEFT} {TOP}V{BOTTOM}H{RIGHT}{marks}"/>'
    yield f'<path class=asked d="M{LEFT} {number(plot.y(0))}H{RIGHT}"/>'
    yield from (_text(plot.x(n), BOTTOM + 16, f"{n:g}") for n in across)
    yield _text((LEFT + RIGHT) / 2, HEIGHT - 6, "episodes, in their order")
    beside = (_text(LEFT - 7, plot.y(d) + 4, f"{d:+g}" if d else "0") for d in up)
    yield f"<g class=end>{''.join(beside)}</g>"
    yield f"<g class=start>{_text(2, 11, f'successes − {test.bound:g} × episodes')}</g>"


def _text(x: float, y: float, text: str) -> str:
    return f"<text x={number(x)} y={number(y)}>{escape(text)}</text>"


def _ticks(low: float, high: float, at_most: int) -> list[float]:
    """Return round numbers from *low* to *high*, at most so many."""
    rough = max((high - low) / at_most, 1.0)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(step for m in (1, 2, 5, 10) if (step := m * power) >= rough)
    return [n * step for n in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _path(plot: _Plot, test: RateTest) -> Iterator[str]:
    """Yield the successes at each look that was taken, what errors leave open, and where the path ended."""
    if not test.path:
        return
    counts = [(0, 0), *((look.episodes, look.successes) for look in test.path)]
    line = plot.line(counts)
    if any(look.errors for look in test.path):
        with_errors = [(0, 0), *((look.episodes, look.successes + look.errors) for look in test.path)]
        back = " ".join(reversed(plot.points(with_errors)))
        yield f'<path class=errors d="M{line} {back}z"/>'
    yield f'<path class=taken d="M{line}"/>'
    n, c = counts[-1]
    x, y = plot.x(n), plot.height(n, c)
    yield f'<path class=asked d="M{number(x)} {TOP}V{BOTTOM}"/>'
    yield f'<circle class="{test.verdict}" cx={number(x)} cy={number(y)} r=5 />'
    anchor, x = ("end", x - 10) if x > 0.7 * RIGHT else ("start", x + 10)
    # Between the boundaries, whose numbers are beyond them, and across the middle from the path.
    middle = plot.y(0)
    place = _text(x, middle + (16 if y < middle else -8), _end_briefly(test))
    yield f'<g class="{anchor} {test.verdict} said">{place}</g>'


def _end(test: RateTest) -> str:
    """Return in a few words where the path ended."""
    if not test.path:
        return "not begun"
    last = test.path[-1]
    word = "no verdict" if test.verdict is Verdict.NONE else str(test.verdict)
    return f"{word} after {last.episodes} episodes with {last.successes} successes and {last.errors} errors"


def _end_briefly(test: RateTest) -> str:
    """Return it for the picture: its glyph, and what was counted."""
    last, glyph = test.path[-1], _GLYPHS.get(test.verdict, "")
    return f"{glyph}{last.successes} of {last.episodes}{f', {last.errors} errors' if last.errors else ''}"
