"""``python -m pytest_arena compare RUN_A RUN_B [RUN_C …]``."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from pytest_arena.comparison.compared_runs import ComparedRuns, compare_two, rank_runs
from pytest_arena.comparison.describe import (
    all_matched,
    amount,
    decision,
    difference,
    how_paired,
    in_family,
)
from pytest_arena.comparison.describe_ranking import describe_ranking
from pytest_arena.comparison.differences import describe_differences
from pytest_arena.comparison.family_error import FamilyError
from pytest_arena.comparison.multiple_comparisons import describe_family
from pytest_arena.comparison.named_runs import read_runs
from pytest_arena.errors import BaselineError
from pytest_arena.jobs.sections import Regression
from pytest_arena.records.schema import Comparison, ComparisonVerdict

CELLS = {"both": "both", "only A": "only_baseline", "only B": "only_candidate", "neither": "neither"}
"""Heading -> pairs of a rate."""
HEADINGS = ("job", "pairs", "A", "B", "B - A", *CELLS, "correlation", "verdict")

_EPILOG = """\
RUN is a run directory, a metrics.json or an eval_info.json of LeRobot; RUN:JOB is one job of it, so that
RUN:good RUN:bad compares two jobs of one run. Episodes are paired by index where seeds and initial states
agree, in part or in all.

Exit status of two runs: 0 if no job is worse, 1 if one is, 2 if none is but one is inconclusive, not
comparable or missing in RUN_B, 4 for a wrong command line and for files that are not what was written. With
--family-error, a job that is worse by itself and not among all of them counts as inconclusive.

Three runs or more are ranked: those that cannot be told apart share a letter. None of them is the baseline,
so the exit status does not tell their order: 0 if every job has a ranking of all runs, 2 if not, 4 as
above."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Take the runs, and settings that take the place of those in their jobs."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _EPILOG
    parser.add_argument("RUN_A", help="the baseline: a run, or RUN:JOB")
    parser.add_argument("RUN_B", help="the candidate")
    parser.add_argument("RUN_C", nargs="*", help="more runs: all of them are ranked")
    parser.add_argument("--metric", help="default: that of the job's regression, else success_rate")
    parser.add_argument(
        "--margin",
        type=float,
        help="of two runs: how much worse is still as good (default: as the job says, else 0.05 of a rate)",
    )
    parser.add_argument("--confidence", type=float, help="1 - the error rate of each claim (default: 0.95)")
    parser.add_argument("--bounds", type=float, nargs=2, metavar=("LOWEST", "HIGHEST"), help="of an episode")
    parser.add_argument(
        "--family-error",
        "--arena-family-error",
        metavar="RATE",
        help="error rate of all regressions together, e.g. 0.05: Holm's method; '0.05 e-bh' for the share of "
        "false ones among those that are found (default: each has its own error rate). Of a ranking: that of "
        "all pairs of all jobs together (default: 1 - confidence)",
    )
    parser.add_argument("--json", action="store_true", help="print everything as JSON, and no table")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write everything as a page, with films")


def run(arguments: argparse.Namespace) -> int:
    """Print what was found, or write it; returns the exit status."""
    allowed = _family_error(arguments.family_error)
    runs = read_runs([arguments.RUN_A, arguments.RUN_B, *arguments.RUN_C])
    asked = {name: getattr(arguments, name) for name in ("metric", "margin", "confidence", "bounds")}
    asked = {name: value for name, value in asked.items() if value is not None}
    if len(runs) == 2:
        found = compare_two(runs, asked, allowed)
    else:
        if "margin" in asked:
            raise BaselineError("--margin: only of two runs; a ranking tells runs apart, by any amount")
        found = rank_runs(runs, asked, allowed or FamilyError(_usual_rate(asked), "holm"))
    if arguments.html is not None:
        _write_page(found, arguments.html)
    if arguments.json:
        print(json.dumps(found.to_json(), indent=2))
    else:
        _print_runs(found)
        if found.ranking is None:
            _print_comparisons(found)
        else:
            print("\n".join(describe_ranking(found.ranking, found.not_ranked)))
            _print_lacking(found)
    return found.status()


def _family_error(text: str | None) -> FamilyError | None:
    try:
        return None if text is None else FamilyError.parse(text)
    except ValueError as error:
        raise BaselineError(f"--family-error {text}: {error}") from None


def _usual_rate(asked: Mapping[str, object]) -> float:
    """Return the error rate of a ranking where none is asked for; whether it is one is checked later."""
    confidence = asked.get("confidence", Regression.model_fields["confidence"].default)
    return round(1 - float(str(confidence)), 12)


def _write_page(found: ComparedRuns, file: Path) -> None:
    from pytest_arena.reports.html.comparison_page import write_comparison_page  # only a page needs jinja2

    try:
        write_comparison_page(found, file)
    except OSError as error:
        raise BaselineError(f"--html {file}: it cannot be written: {error.strerror or error}") from None


def _print_runs(found: ComparedRuns) -> None:
    for run in found.runs:
        print(f"{run.name}: {run}")
    for line in describe_differences(found.differences):
        print(line)
    print()


def _print_comparisons(found: ComparedRuns) -> None:
    _print_table([_row(label, comparison) for label, comparison in found.comparisons.items()])
    print()
    for label, comparison in found.comparisons.items():
        print(f"{label}: {'; '.join(_sentence(comparison))}")
    _print_lacking(found)
    if found.judged is not None:
        print(describe_family(found.judged, found.worse()))
    else:
        _print_expected(list(found.comparisons.values()))


def _print_lacking(found: ComparedRuns) -> None:
    for name, labels in found.only().items():
        for label in labels:
            print(f"{label}: only in {name}")


def _print_expected(comparisons: Sequence[Comparison]) -> None:
    """Where several are made and one is a regression: how many there would be though nothing changed."""
    made = [comparison for comparison in comparisons if comparison.worse is not None]
    if len(made) > 1 and any(c.verdict == ComparisonVerdict.REGRESSION for c in made):
        expected = sum(1 - comparison.confidence for comparison in made)
        print(
            f"{len(made)} comparisons, each with its own error rate: where nothing got worse, up to "
            f"{expected:.2g} regressions are found on average; --family-error judges them together"
        )


def _row(label: str, comparison: Comparison) -> tuple[str, ...]:
    table, correlation = comparison.table or {}, comparison.correlation
    return (
        label,
        _pairs(comparison),
        amount(comparison, comparison.baseline_value),
        amount(comparison, comparison.value),
        difference(comparison),
        *(str(table.get(name, "-")) for name in CELLS.values()),
        "-" if correlation is None else f"{correlation:.2f}",
        str(comparison.verdict),
    )


def _pairs(comparison: Comparison) -> str:
    if not comparison.paired:
        return "unpaired" if comparison.episodes else "-"
    if all_matched(comparison):
        return str(comparison.pairs)
    return f"{comparison.pairs}, {comparison.matched} same start"


def _sentence(comparison: Comparison) -> Iterator[str]:
    if comparison.value is None:
        yield f"{comparison.verdict}: {comparison.reason}"
        return
    yield f"{comparison.metric}, {comparison.verdict}"
    if comparison.repeated or not all_matched(comparison):
        yield how_paired(comparison)
    yield from decision(comparison)
    yield from in_family(comparison)
    yield from comparison.notes


def _print_table(rows: Sequence[tuple[str, ...]]) -> None:
    widths = [max(map(len, column)) for column in zip(HEADINGS, *rows, strict=True)]
    for row in (HEADINGS, *rows):
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
