"""The page of ``compare --html``: what differs, then the jobs of two runs, or a ranking of more."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pytest_arena.comparison.compared_runs import ComparedRuns
from pytest_arena.comparison.multiple_comparisons import describe_family
from pytest_arena.comparison.named_runs import NamedRun
from pytest_arena.records.page_address import PAGE
from pytest_arena.records.schema import ComparisonVerdict
from pytest_arena.reports.html.compared_job import metric_tables
from pytest_arena.reports.html.own_page import mark, write_own_page
from pytest_arena.reports.html.ranked_job import ranked_jobs
from pytest_arena.reports.html.render import Inline, render
from pytest_arena.reports.html.run_films import beside

STYLES = ("base", "comparison_parts", "comparison")
SCRIPTS = ("films", "comparison")
OURS = mark("comparison")
"""What tells the page from a file of the runs, and from any other."""


@dataclass(frozen=True)
class RunLine:
    """One of the runs, on top of the page."""

    name: str
    path: str
    page: str | None
    """URL of its own page, where it has one."""
    silent: bool
    """It says nothing of its configuration."""


def write_comparison_page(found: ComparedRuns, file: Path) -> None:
    """Write what was *found* as a page to *file*.

    Raises OSError where that cannot be written; FileExistsError where it would replace another file.
    Films are found from the folder of *file*: the run directories must stay where they are in relation to it.
    """
    page = render(
        "comparison.html",
        runs=[_line(run, file) for run in found.runs],
        names=[run.name for run in found.runs],
        title=_title(found),
        sentences=list(_sentences(found)),
        differences=found.differences,
        every_job=len(found.jobs),
        tables=metric_tables(found, file) if found.ranking is None else [],
        rankings=ranked_jobs(found),
        not_ranked=found.not_ranked,
        only={name: labels for name, labels in found.only().items() if labels},
        inline=Inline.of(STYLES, SCRIPTS),
        generator=OURS,
    )
    write_own_page(file, page, OURS)


def _line(run: NamedRun, file: Path) -> RunLine:
    path = run.baseline.path
    has_page = path.is_dir() and (path / PAGE).is_file()
    page = f"{beside(file, path)}/{PAGE}" if has_page else None
    jobs = [*run.baseline.jobs.values()]
    return RunLine(run.name, str(run), page, all(job.config is None for job in jobs))


def _title(found: ComparedRuns) -> str:
    if found.ranking is not None:
        return f"Ranking of {len(found.runs)} runs"
    return "B compared with A"


def _sentences(found: ComparedRuns) -> Iterator[str]:
    """Yield what was found, in words."""
    if found.ranking is not None:
        if found.ranking.pairs:
            yield f"Runs that share a letter are not told apart: {found.ranking.error_rate()}."
            yield "The line through a dot is the interval of that run alone: it decides nothing."
        return
    counts = {
        verdict: [label for label, c in found.comparisons.items() if c.verdict == verdict]
        for verdict in ComparisonVerdict
    }
    worse, every = counts[ComparisonVerdict.REGRESSION], len(found.comparisons)
    jobs = f"{every} job{'' if every == 1 else 's'}"
    if worse:
        yield f"B is worse than A in {len(worse)} of {jobs}."
    elif len(counts[ComparisonVerdict.NON_INFERIOR]) + len(counts[ComparisonVerdict.IMPROVED]) == every:
        yield f"B is not worse than A in any of {jobs}."
    else:
        yield f"No job of {jobs} is shown to be worse in B."
    others = [
        f"{len(labels)} {verdict}"
        for verdict, labels in counts.items()
        if labels and verdict != ComparisonVerdict.REGRESSION
    ]
    if others:
        yield f"{'The others' if worse else 'The verdicts'}: {', '.join(others)}."
    if found.judged is not None:
        yield f"{describe_family(found.judged, found.worse())}."
