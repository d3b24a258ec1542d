"""``python -m pytest_arena compare RUN_A RUN_B``."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from pydantic import ValidationError

from pytest_arena.comparison.baseline import Baseline, BaselineJob, load_baseline
from pytest_arena.comparison.compare import compare
from pytest_arena.comparison.decision_rule import Rule, bounds_of, metric_named, why_not_given
from pytest_arena.comparison.describe import all_matched, amount, decision, difference, how_paired, in_family
from pytest_arena.comparison.family_error import FamilyError
from pytest_arena.comparison.multiple_comparisons import describe_family, judge_comparisons
from pytest_arena.errors import BaselineError, NotComparableError, did_you_mean
from pytest_arena.jobs.messages import plain_error
from pytest_arena.jobs.sections import Regression
from pytest_arena.records.schema import Comparison, ComparisonVerdict
from pytest_arena.rollout.metrics import Metric, RecordedMetric, standard_metrics

CELLS = {"both": "both", "only A": "only_baseline", "only B": "only_candidate", "neither": "neither"}
"""Heading -> pairs of a rate."""
HEADINGS = ("job", "pairs", "A", "B", "B - A", *CELLS, "correlation", "verdict")
REGRESSION, UNDECIDED = 1, 2
"""Exit statuses beside 0 and that of a wrong command line."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Take two runs, and settings that take the place of those in the second one's jobs."""
    parser.epilog = (
        "Episodes are paired by index where seeds and initial states agree, in part or in all. Exit status: "
        "0 if no job is worse, 1 if one is, 2 if none is but one is inconclusive, not comparable or missing "
        "in RUN_B, 4 for a wrong command line and for files that are not what was written. With "
        "--family-error, a job that is worse by itself and not among all of them counts as inconclusive."
    )
    for name, what in (("RUN_A", "the baseline"), ("RUN_B", "the candidate")):
        parser.add_argument(
            name, type=Path, help=f"{what}: a run directory, metrics.json or LeRobot eval_info.json"
        )
    parser.add_argument("--metric", help="default: that of the job's regression, else success_rate")
    parser.add_argument(
        "--margin",
        type=float,
        help="how much worse is still as good (default: as the job says, else 0.05 of a rate)",
    )
    parser.add_argument("--confidence", type=float, help="1 - the error rate of each claim (default: 0.95)")
    parser.add_argument("--bounds", type=float, nargs=2, metavar=("LOWEST", "HIGHEST"), help="of an episode")
    parser.add_argument(
        "--family-error",
        "--arena-family-error",
        metavar="RATE",
        help="error rate of all regressions together, e.g. 0.05: Holm's method; '0.05 e-bh' for the share of "
        "false ones among those that are found (default: each has its own error rate)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Print the table and a line a job; returns the exit status."""
    allowed = _family_error(arguments.family_error)
    before, after = load_baseline(arguments.RUN_A), load_baseline(arguments.RUN_B)
    asked = {name: getattr(arguments, name) for name in ("metric", "margin", "confidence", "bounds")}
    asked = {name: value for name, value in asked.items() if value is not None}
    shared = _shared(before, after)
    if arguments.metric is not None:
        _require_metric(arguments.metric, [job for sides in shared.values() for job in sides])
    found = {label: _compared(label, *sides, asked) for label, sides in shared.items()}
    if allowed is not None:
        judged = judge_comparisons(found, allowed)
        for label, alone in judged["comparisons"].items():
            found[label].family = {**alone, "size": len(judged["comparisons"])}
    print(f"A: {before.path}\nB: {after.path}\n")
    _print_table([_row(label, comparison) for label, comparison in found.items()])
    print()
    for label, comparison in found.items():
        print(f"{label}: {'; '.join(_sentence(comparison))}")
    lost, added = _alone(before, after), _alone(after, before)
    for label, where in [*((label, "A") for label in lost), *((label, "B") for label in added)]:
        print(f"{label}: only in {where}")
    worse = [label for label, c in found.items() if c.verdict == ComparisonVerdict.REGRESSION]
    if allowed is not None:
        print(describe_family(judged, worse))
        held = [label for label in worse if judged["comparisons"][label]["rejected"]]
    else:
        held = worse
        _print_expected(list(found.values()))
    if held:
        return REGRESSION
    good = {ComparisonVerdict.NON_INFERIOR, ComparisonVerdict.IMPROVED}
    return UNDECIDED if lost or any(c.verdict not in good for c in found.values()) else 0


def _family_error(text: str | None) -> FamilyError | None:
    try:
        return None if text is None else FamilyError.parse(text)
    except ValueError as error:
        raise BaselineError(f"--family-error {text}: {error}") from None


def _print_expected(comparisons: Sequence[Comparison]) -> None:
    """Where several are made and one is a regression: how many there would be though nothing changed."""
    made = [comparison for comparison in comparisons if comparison.worse is not None]
    if len(made) > 1 and any(c.verdict == ComparisonVerdict.REGRESSION for c in made):
        expected = sum(1 - comparison.confidence for comparison in made)
        print(
            f"{len(made)} comparisons, each with its own error rate: where nothing got worse, up to "
            f"{expected:.2g} regressions are found on average; --family-error judges them together"
        )


def _shared(before: Baseline, after: Baseline) -> dict[str, tuple[BaselineJob, BaselineJob]]:
    """Return the jobs that both have; a file that does not name its job meets the only one of the other."""
    if before.only is not None or after.only is not None:
        sides = [[side.only] if side.only is not None else [*side.jobs.values()] for side in (before, after)]
        if any(len(jobs) != 1 for jobs in sides):
            raise BaselineError(
                f"{(before if before.only else after).path} does not name its job: expected one job in the "
                "other run"
            )
        name = next(iter([*before.jobs, *after.jobs]), "job")
        return {name: (sides[0][0], sides[1][0])}
    shared: dict[str, tuple[BaselineJob, BaselineJob]] = {}
    met: set[int] = set()  # a job of LeRobot's file has two names
    for label in [*before.jobs, *after.jobs]:
        one, other = before.find(label), after.find(label)
        if one is not None and other is not None and id(one) not in met:
            shared[label] = one, other
            met.add(id(one))
    if not shared:
        raise BaselineError(f"{before.path} and {after.path} have no job in common")
    return shared


def _alone(one: Baseline, other: Baseline) -> list[str]:
    """Return the jobs of *one* that *other* lacks."""
    if one.only is not None or other.only is not None:
        return []
    met = [id(job) for label in other.jobs if (job := one.find(label)) is not None]
    return [label for label, job in one.jobs.items() if other.find(label) is None and id(job) not in met]


def _require_metric(name: str, jobs: Sequence[BaselineJob]) -> None:
    """Raise `BaselineError` where no job has a metric of this *name*."""
    known = {m.name for m in standard_metrics()}.union(*(job.definitions for job in jobs))
    if name not in known:
        raise BaselineError(
            f"--metric: no job has values of {name!r} for each episode{did_you_mean(name, known)}; "
            f"known: {', '.join(sorted(known))}"
        )


def _compared(label: str, before: BaselineJob, after: BaselineJob, asked: Mapping[str, object]) -> Comparison:
    """Compare one job by its own ``regression``, changed by what the command line *asked* for."""
    config = dict(after.config or {})
    written = dict(config.get("regression") or {})
    usual = Regression.model_fields["metric"].default
    if "metric" in asked and asked["metric"] != written.get("metric", usual):
        written = {key: value for key, value in written.items() if key not in ("margin", "bounds")}
    try:
        regression = Regression.model_validate({**written, **asked})
    except ValidationError as error:
        key, text = plain_error(error, Regression)
        raise BaselineError(f"{'.'.join(map(str, key)) or 'bounds'}: {text}") from None
    try:
        metric = _metric(regression.metric, before, after)
        _require_whole(label, metric, before, after)
        bounds = bounds_of(regression, metric, after.horizon)
        if asked and bounds is not None and (problem := why_not_given(regression, metric, bounds)):
            raise BaselineError(f"job {label!r}: {problem}")
        notes = before.differences(config) if after.config is not None else []
        rule = Rule.of(regression, metric, after.horizon)
        comparison = compare(before.sample(metric, "A"), after.sample(metric, "B"), rule)
        comparison.notes = notes
        return comparison
    except NotComparableError as error:
        return Comparison(
            regression.metric,
            ComparisonVerdict.NOT_COMPARABLE,
            confidence=regression.confidence,
            reason=str(error),
        )


def _require_whole(label: str, metric: Metric, *jobs: BaselineJob) -> None:
    """Raise `BaselineError` where the files of one of these *jobs* are not what was written."""
    for job in jobs:
        try:
            job.checked(metric)
        except BaselineError as error:
            raise BaselineError(f"job {label!r}: {error}") from None


def _metric(name: str, *jobs: BaselineJob) -> Metric:
    recorded = [RecordedMetric(name, job.definitions[name]) for job in jobs if name in job.definitions]
    metric = metric_named(name, recorded[-1:])
    if metric is None:
        raise NotComparableError(f"{name} has no value for each episode")
    return metric


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
