"""The jobs of two runs, as the page of a comparison shows them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from markupsafe import Markup

from pytest_arena.comparison.baseline import BaselineJob
from pytest_arena.comparison.compared_runs import ComparedRuns
from pytest_arena.comparison.describe import amount, decision, difference, how_paired, in_family
from pytest_arena.records.page_address import PAGE, episode_address
from pytest_arena.records.schema import Comparison, ComparisonVerdict
from pytest_arena.reports.html.difference_picture import Axis, interval_picture
from pytest_arena.reports.html.film_pairs import FilmPair, film_pairs
from pytest_arena.reports.html.run_films import beside, films_of

BADGES = {
    ComparisonVerdict.REGRESSION: "fail",
    ComparisonVerdict.IMPROVED: "pass",
    ComparisonVerdict.NON_INFERIOR: "pass",
    ComparisonVerdict.INCONCLUSIVE: "inconclusive",
    ComparisonVerdict.NOT_COMPARABLE: "error",
    ComparisonVerdict.NOT_JUDGED: "none",
}
"""Verdict -> the class of its badge, which has colour and glyph."""


@dataclass(frozen=True)
class ComparedJob:
    """One job of two runs."""

    label: str
    comparison: Comparison
    badge: str
    before: str
    after: str
    difference: str
    picture: Markup | None
    words: Sequence[str]
    address: str
    """What the URL of an episode in the second run's page has before its number; empty without that page."""
    films: Sequence[FilmPair]
    more_films: int
    """Episodes with films that are not shown."""
    notes: Sequence[str]

    @property
    def id(self) -> str:
        """Of its section: an address in the page."""
        return f"job-{'-'.join(self.label.split())}"


@dataclass(frozen=True)
class MetricTable:
    """The jobs that are compared by one metric, on one axis."""

    metric: str
    axis: Markup | None
    better: str | None
    """``higher`` or ``lower``: which values are better; None where nothing was compared."""
    unit: str
    margins: bool
    """Whether any of the jobs has a margin."""
    jobs: Sequence[ComparedJob]


def metric_tables(found: ComparedRuns, page: Path) -> list[MetricTable]:
    """Return the jobs of two runs, a table for each metric.

    *page*: the file of the page, from whose folder films are found.
    """
    metrics = dict.fromkeys(comparison.metric for comparison in found.comparisons.values())
    return [_table(found, metric, page) for metric in metrics]


def _table(found: ComparedRuns, metric: str, page: Path) -> MetricTable:
    comparisons = {label: c for label, c in found.comparisons.items() if c.metric == metric}
    known = [c for c in comparisons.values() if c.difference is not None]
    first = known[0] if known else None
    axis = Axis.over(_values(known), rate=first.rate) if first else None
    unit = "points" if first is not None and first.rate else ""
    return MetricTable(
        metric,
        axis.header(unit) if axis else None,
        first.direction if first else None,
        unit,
        any(comparison.margin for comparison in known),
        [_job(found, label, comparison, axis, page) for label, comparison in comparisons.items()],
    )


def _values(comparisons: Sequence[Comparison]) -> Iterator[float]:
    """Yield all that must be on the axis."""
    yield 0.0
    for comparison in comparisons:
        yield comparison.difference or 0.0
        yield from comparison.interval or ()
        yield _margin(comparison)


def _margin(comparison: Comparison) -> float:
    """Return the difference that is worse by exactly the margin."""
    return -comparison.margin if comparison.direction == "higher" else comparison.margin


def _job(
    found: ComparedRuns, label: str, comparison: Comparison, axis: Axis | None, page: Path
) -> ComparedJob:
    badge, picture = BADGES[comparison.verdict], None
    if axis is not None and comparison.difference is not None:
        picture = interval_picture(
            axis,
            comparison.difference,
            comparison.interval,
            about=f"B - A: {difference(comparison)}",
            kind=badge,
            zero=True,
            mark=_margin(comparison) if comparison.margin else None,
        )
    pairs, left, notes = _films(found, label, comparison, page)
    return ComparedJob(
        label,
        comparison,
        badge,
        amount(comparison, comparison.baseline_value),
        amount(comparison, comparison.value),
        difference(comparison),
        picture,
        list(_words(comparison)),
        _address(found.jobs[label][found.runs[1].name], page),
        pairs,
        left,
        [*comparison.notes, *notes],
    )


def _words(comparison: Comparison) -> Iterator[str]:
    if comparison.value is None:
        yield str(comparison.reason)
        return
    before, now = (amount(comparison, value) for value in (comparison.baseline_value, comparison.value))
    yield f"{before} in A, {now} in B: {difference(comparison)}"
    yield from decision(comparison)
    yield from in_family(comparison)
    if comparison.table is None or comparison.repeated or comparison.matched != comparison.pairs:
        yield how_paired(comparison)


def _address(job: BaselineJob, page: Path) -> str:
    """Return what stands before the number of an episode of *job* in its URL from *page*."""
    if job.stored is None or not (run_page := job.stored.path.parent.with_name(PAGE)).is_file():
        return ""
    folder = quote(job.stored.path.parent.name, errors="surrogateescape")
    return f"{beside(page, run_page.parent)}/{episode_address(folder, '')}"


def _films(
    found: ComparedRuns, label: str, comparison: Comparison, page: Path
) -> tuple[list[FilmPair], int, list[str]]:
    """Return the films of the episodes that differ, how many more have some, and what could not be found."""
    sources, notes = [], []
    for run in found.runs:
        stored = found.jobs[label][run.name].stored
        wanted = [*comparison.lost, *comparison.gained]
        films, problems = films_of(stored.path, wanted, page) if stored is not None else ({}, [])
        sources.append(films)
        notes += problems
    said = "a success only in" if comparison.metric == "success_rate" else "counted only in"
    pairs, left = film_pairs(comparison.lost, comparison.gained, sources[0], sources[1], said)
    return pairs, left, notes
