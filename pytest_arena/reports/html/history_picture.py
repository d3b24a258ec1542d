"""A job's success rate over its runs, as SVG: a dot with its interval a run, broken where the job changed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

from markupsafe import Markup, escape

from pytest_arena.jobs.threshold import Threshold
from pytest_arena.records.job_history import Measurement
from pytest_arena.records.schema import Verdict
from pytest_arena.reports.html.svg import Scale, number

LEFT, WIDTH, RIGHT = 44.0, 640.0, 84.0
"""Of the picture: before the runs, of the runs at most, and behind them; in pixels."""
WIDEST_STEP = 80.0
"""Between two runs."""
TOP, HEIGHT = 12.0, 132.0
"""Above the rates, and of them."""
LANE = 16.0
"""Height of each lane below the rates: runs without a rate, policies, dates."""
DATE_WIDTH, HASH_WIDTH = 78.0, 58.0
"""Room that such a text needs."""
SPARK = (110.0, 24.0)
"""Width and height of the small picture in the table of jobs."""
SPARK_RUNS = 30


@dataclass(frozen=True)
class Dot:
    """One run in the picture."""

    measurement: Measurement
    link: str | None
    """Address of the job in the run's page; None where there is no page."""
    title: str
    """What is said of the run where the mouse points."""


def rate_picture(dots: Sequence[Dot]) -> Markup:
    """Return the picture of these runs, oldest first; empty where none has a rate."""
    if all(dot.measurement.success_rate is None for dot in dots):
        return Markup()
    step = min(WIDEST_STEP, WIDTH / len(dots))
    x = [LEFT + step * (index + 0.5) for index in range(len(dots))]
    end = LEFT + step * len(dots)
    rate = Scale(0.0, 1.0, TOP + HEIGHT, TOP)
    lanes = _Lanes(dots)
    parts = [
        *_grid(rate, end),
        *_thresholds(dots, step, rate),
        *_changes(dots, step, lanes.bottom),
        _line([dot.measurement for dot in dots], x, rate),
        _intervals(dots, x, rate),
        *_dots(dots, x, step, rate, lanes.without_rate),
        *_policies(dots, step, lanes.policies),
        *_dates(dots, x, step, lanes.dates),
    ]
    size = f'width="{number(end + RIGHT)}" height="{number(lanes.bottom)}"'
    box = f'viewBox="0 0 {number(end + RIGHT)} {number(lanes.bottom)}"'
    # What it shows stands in the table below, where a keyboard and a screen reader find it.
    return Markup(f'<svg class="rates" {size} {box} aria-hidden="true">{"".join(parts)}</svg>')


def spark_picture(measurements: Sequence[Measurement]) -> Markup:
    """Return the rates of the last `SPARK_RUNS` runs as a small line, without words."""
    shown = measurements[-SPARK_RUNS:]
    width, height = SPARK
    x = [4 + (width - 8) * (index + 0.5) / len(shown) for index in range(len(shown))]
    rate = Scale(0.0, 1.0, height - 4, 4)
    last = shown[-1]
    dot = ""
    if last.success_rate is not None:
        mark = _mark(last.verdict, x[-1], rate(last.success_rate), 3)
        dot = f'<path class="dot {escape(last.outcome)}" d="{mark}"/>'
    right = number(width - 4)
    grid = f'<path class="grid" d="M4 {number(rate(1))}H{right}M4 {number(rate(0))}H{right}"/>'
    size = f'width="{number(width)}" height="{number(height)}"'
    return Markup(f'<svg class="spark" {size} aria-hidden="true">{grid}{_line(shown, x, rate)}{dot}</svg>')


class _Lanes:
    """Where the lanes below the rates are; those that have nothing to show are left out."""

    def __init__(self, dots: Sequence[Dot]) -> None:
        self.bottom = TOP + HEIGHT + 4
        self.without_rate = self._lane(any(dot.measurement.success_rate is None for dot in dots))
        self.policies = self._lane(any(dot.measurement.job.policy_sha256 is not None for dot in dots))
        self.dates = self._lane(True)
        self.bottom += 4

    def _lane(self, shown: bool) -> float:
        """Return the middle of a lane."""
        self.bottom += LANE if shown else 0.0
        return self.bottom - LANE / 2


def _grid(rate: Scale, end: float) -> Iterator[str]:
    for value in (0.0, 0.25, 0.5, 0.75, 1.0):
        y = number(rate(value))
        yield f'<path class="grid" d="M{number(LEFT)} {y}H{number(end)}"/>'
        if value in (0.0, 0.5, 1.0):
            yield _text("end", LEFT - 6, rate(value) + 4, f"{value:.0%}")


def _text(kind: str, x: float, y: float, text: str) -> str:
    return f'<text class="{kind}" x="{number(x)}" y="{number(y)}">{escape(text)}</text>'


def _stretches(
    dots: Sequence[Dot], key: Callable[[Measurement], object]
) -> Iterator[tuple[int, int, Measurement]]:
    """Yield the stretches of neighbours with one *key*: index of the first, after the last, the first one."""
    for _, found in groupby(enumerate(dots), lambda pair: key(pair[1].measurement)):
        stretch = list(found)
        yield stretch[0][0], stretch[-1][0] + 1, stretch[0][1].measurement


def _expression(measurement: Measurement) -> str | None:
    return None if measurement.threshold is None else measurement.threshold.expression


def _thresholds(dots: Sequence[Dot], step: float, rate: Scale) -> Iterator[str]:
    """Yield a line at each bound of the threshold on the rate, where it was set; the last one in numbers."""
    for first, after, measurement in _stretches(dots, _expression):
        for bound in _bounds(_expression(measurement)):
            y = rate(bound)
            yield (
                f'<path class="threshold" d="M{number(LEFT + step * first)} {number(y)}'
                f'H{number(LEFT + step * after)}"/>'
            )
            if after == len(dots):
                yield _text("threshold", LEFT + step * after + 6, y + 4, f"{bound:.4g}")


def _bounds(expression: str | None) -> list[float]:
    try:
        threshold = None if expression is None else Threshold.parse(expression)
    except ValueError:  # of a later version
        return []
    bounds = () if threshold is None else (threshold.low, threshold.high)
    return [bound for bound in bounds if math.isfinite(bound)]


def _changes(dots: Sequence[Dot], step: float, bottom: float) -> Iterator[str]:
    for index, dot in enumerate(dots):
        if index and dot.measurement.reconfigured:
            x = number(LEFT + step * index)
            keys = escape(", ".join(dot.measurement.reconfigured))
            yield (
                f'<path class="change" d="M{x} {number(TOP - 8)}V{number(bottom - LANE)}">'
                f"<title>configuration changed: {keys}</title></path>"
                f'<path class="change-mark" d="M{x} {number(TOP - 4)}m-4-7h8l-4 7z"/>'
            )


def _line(measurements: Sequence[Measurement], x: Sequence[float], rate: Scale) -> str:
    """Return the line through the rates: it ends where the configuration changed, and goes on after it."""
    drawn, lifted = "", True
    for measurement, at in zip(measurements, x, strict=True):
        lifted = lifted or bool(measurement.reconfigured)
        if measurement.success_rate is not None:
            drawn += f"{'M' if lifted else 'L'}{number(at)} {number(rate(measurement.success_rate))}"
            lifted = False
    return f'<path class="line" d="{drawn}"/>' if drawn else ""


def _intervals(dots: Sequence[Dot], x: Sequence[float], rate: Scale) -> str:
    drawn = ""
    for dot, at in zip(dots, x, strict=True):
        interval = dot.measurement.interval
        if interval is not None:
            drawn += f"M{number(at)} {number(rate(interval[0]))}V{number(rate(interval[1]))}"
    return f'<path class="interval" d="{drawn}"/>'


def _dots(
    dots: Sequence[Dot], x: Sequence[float], step: float, rate: Scale, without_rate: float
) -> Iterator[str]:
    size = 4.0 if step >= 8 else 2.6
    for dot, at in zip(dots, x, strict=True):
        measurement = dot.measurement
        found = measurement.success_rate
        y = without_rate if found is None else rate(found)
        verdict = Verdict.ERROR if found is None else measurement.verdict
        mark = f'<path class="dot {escape(measurement.outcome)}" d="{_mark(verdict, at, y, size)}"/>'
        title = f"<title>{escape(dot.title)}</title>"
        if dot.link is None:
            yield f"<g>{title}{mark}</g>"
        else:
            yield f'<a href="{escape(dot.link)}" tabindex="-1">{title}{mark}</a>'


def _mark(verdict: Verdict, x: float, y: float, size: float) -> str:
    """Return the outline of a verdict's mark: a shape of its own, for eyes that see no colours."""
    at, r, d = f"M{number(x)} {number(y)}", number(size), number(2 * size)
    if verdict == Verdict.FAIL:  # a square on its corner
        s = number(size * 1.3)
        return f"{at}m0-{s}l{s} {s}-{s} {s}-{s}-{s}z"
    if verdict == Verdict.INCONCLUSIVE:  # a triangle
        return f"{at}m0-{r}l{r} {d}h-{d}z"
    if verdict == Verdict.ERROR:  # a cross
        return f"{at}m-{r}-{r}l{d} {d}m0-{d}l-{d} {d}"
    return f"{at}m-{r} 0a{r} {r} 0 1 0 {d} 0a{r} {r} 0 1 0-{d} 0z"


def _policies(dots: Sequence[Dot], step: float, middle: float) -> Iterator[str]:
    """Yield a bar as long as the policy stayed the same, with its hash where there is room."""
    found = _stretches(dots, lambda measurement: measurement.job.policy_sha256)
    for turn, (first, after, measurement) in enumerate(found):
        sha256 = measurement.job.policy_sha256
        if sha256 is None:
            continue
        width = step * (after - first)
        x, y = LEFT + step * first, middle - LANE / 2 + 2
        kind = "policy other" if turn % 2 else "policy"
        size = f'width="{number(width)}" height="{number(LANE - 4)}"'
        title = f"<title>policy {escape(sha256)}</title>"
        yield f'<rect class="{kind}" x="{number(x)}" y="{number(y)}" {size}>{title}</rect>'
        if width >= HASH_WIDTH:
            yield _text("policy", x + 4, middle + 3.5, sha256[:7])


def _dates(dots: Sequence[Dot], x: Sequence[float], step: float, middle: float) -> Iterator[str]:
    """Yield as many dates as there is room for, the newest one too; times where all runs are of one day."""
    every = math.ceil(DATE_WIDTH / step)
    times = [dot.measurement.run.started_at for dot in dots]
    one_day = all(before[:10] == after[:10] for before, after in pairwise(times))
    for index in range(len(dots) - 1, -1, -every):
        text = times[index][11:16] if one_day else times[index][:10]
        yield _text("date", x[index], middle + 4, text)
