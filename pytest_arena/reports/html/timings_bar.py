"""Where the time of a job went, as a bar and in numbers, and what its policy cost."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from pytest_arena.reports.html.words import amount, duration

TOTAL = "total_seconds"
SHADES = 6
"""Colours of the bar; the last one is that of all else."""
SMALLEST = 0.005
"""Share of the whole that a part must have to be seen."""
_BUILD = "build_seconds"
_ORDER = (_BUILD, "rollout_seconds", "filming_seconds", "recording_seconds", "overview_seconds")


@dataclass(frozen=True)
class Spent:
    """One part of a job's time."""

    name: str
    seconds: float
    shade: int
    """Which of the bar's colours it has."""


def spent(timings: Mapping[str, float], *, rebuilt: bool = False) -> list[Spent]:
    """Return the parts of *timings* that can be seen in a bar, and what there is beside them as one more.

    *rebuilt*: the environment was built several times, of which the total may lack the first one only.
    """
    names = [*_ORDER, *(name for name in timings if name not in (*_ORDER, TOTAL))]
    whole, parts = timings.get(TOTAL, 0.0), sum(timings.get(name, 0.0) for name in names)
    if _built_before(timings) and not rebuilt:
        whole += timings.get(_BUILD, 0.0)
    whole = max(whole, parts)
    found = [
        Spent(name.removesuffix("_seconds"), timings[name], shade % SHADES)
        for shade, name in enumerate(names)
        if timings.get(name, 0.0) > SMALLEST * whole
    ]
    rest = whole - sum(part.seconds for part in found)
    return [*found, Spent("other", rest, SHADES - 1)] if rest > SMALLEST * whole else found


def timings_bar(parts: list[Spent]) -> Markup:
    """Return *parts* side by side as SVG; the numbers stand in the table below it."""
    whole, at, bars = sum(part.seconds for part in parts), 0.0, []
    for part in parts:
        width = 400 * part.seconds / whole
        bars.append(f'<path class=t{part.shade} d="M{at:.0f} 4H{at + width:.0f}"/>')
        at += width
    return Markup(f'<svg class=bar viewBox="0 0 400 8" aria-hidden=true>{"".join(bars)}</svg>')


def total(timings: Mapping[str, float]) -> tuple[str, str] | None:
    """Return the total with its name; None where it is not known.

    The total begins with the job's rollout. An environment that was built before it does not count in it.
    """
    if (whole := timings.get(TOTAL)) is None:
        return None
    name = "total without the first build" if _built_before(timings) else "total"
    return name, seconds(whole)


def _built_before(timings: Mapping[str, float]) -> bool:
    """Whether the environment was built before the job's rollout: then the parts are more than the total."""
    parts = sum(value for name, value in timings.items() if name != TOTAL)
    return parts > 1.001 * timings.get(TOTAL, math.inf)


def seconds(value: float) -> str:
    """Return a duration, also a very short one."""
    return f"{1000 * value:.3g} ms" if value < 1 else duration(value)


def policy_cost(inference: Mapping[str, Any], timings: Mapping[str, float]) -> Iterator[str]:
    """Yield sentences about what the policy cost; none where that is not known.

    Args:
        inference: The record's.
        timings: The record's.

    Yields:
        A sentence each, without its full stop.
    """
    if act := inference.get("act"):
        batch, steps = inference.get("batch", 1), act["count"]
        whole, rollout = act["total_seconds"], timings.get("rollout_seconds", 0.0)
        share = f", {min(whole / rollout, 1.0):.0%} of the rollout" if rollout > 0 else ""
        rows = f" of {batch} rows" if batch != 1 else ""
        yield f"policy, a step{rows}: {_times(act)}; {steps} steps took {seconds(whole)}{share}"
    if requests := inference.get("requests"):
        yield f"its model or server, an answer: {_times(requests)}; {requests['count']} answers"
    if (factor := inference.get("real_time_factor")) is not None:
        yield f"{amount(factor)} times real time"


def _times(times: Mapping[str, Any]) -> str:
    median, most, longest = (_ms(times.get(key)) for key in ("p50_ms", "p95_ms", "max_ms"))
    return f"median {median} ms, 95% within {most} ms, longest {longest} ms"


def _ms(value: float | None) -> str:
    return "?" if value is None else f"{value:.3g}"
