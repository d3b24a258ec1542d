"""What tables say of a job, the same in the terminal, in Markdown and in pages."""

from __future__ import annotations

from collections.abc import Sequence


def percent(share: float) -> str:
    """Return e.g. ``83.3%``."""
    return f"{share:.1%}"


def interval_cell(interval: Sequence[float] | None) -> str:
    """Return e.g. ``[55.2%, 95.3%]``; empty without an interval."""
    return "" if interval is None else f"[{', '.join(map(percent, interval))}]"


def rate_cell(rate: float | None, interval: Sequence[float] | None) -> str:
    """Return e.g. ``83.3% [55.2%, 95.3%]``; ``-`` for a *rate* that was not measured."""
    return "-" if rate is None else f"{percent(rate)} {interval_cell(interval)}".rstrip()


def episodes_cell(measured: int, requested: int) -> str:
    """Return e.g. ``12/30``; where the job asks for no number of episodes, how many were *measured*."""
    return f"{measured}/{requested}" if requested else str(measured)
