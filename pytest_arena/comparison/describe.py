"""A comparison in words: the same ones in the assertion, the terminal and the command line."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_arena.errors import first_few
from pytest_arena.records.schema import Comparison, ComparisonVerdict, Evidence
from pytest_arena.records.table_cells import percent

_GOOD = (ComparisonVerdict.NON_INFERIOR, ComparisonVerdict.IMPROVED)


def describe_comparison(comparison: Comparison) -> str:
    """Return mark, metric, verdict, both values and the difference; on a second line how it was decided."""
    mark = "✗" if comparison.failed else "✓" if comparison.verdict in _GOOD else "·"
    head = f"{mark} {comparison.metric} against the baseline: {comparison.verdict}"
    if comparison.value is None or comparison.baseline_value is None:
        return f"{head}: {comparison.reason}"
    before, now = (amount(comparison, v) for v in (comparison.baseline_value, comparison.value))
    values = f"{before} before, {now} now, {difference(comparison)}"
    return f"{head}; {values}\n    {'; '.join(_parts(comparison))}"


def failed_comparison(comparison: Comparison) -> str:
    """Return in a few words why it fails its test."""
    if comparison.verdict == ComparisonVerdict.NOT_COMPARABLE:
        return f"{comparison.metric} not comparable with the baseline"
    if comparison.verdict == ComparisonVerdict.INCONCLUSIVE:
        return f"{comparison.metric} inconclusive against the baseline"
    return f"{comparison.verdict} of {comparison.metric}"


def _parts(comparison: Comparison) -> Iterator[str]:
    yield from decision(comparison)
    yield how_paired(comparison)
    yield from in_family(comparison)
    yield from comparison.notes


def in_family(comparison: Comparison) -> Iterator[str]:
    """Yield whether a regression holds where comparisons are judged together."""
    if comparison.family is not None and comparison.verdict == ComparisonVerdict.REGRESSION:
        held = "holds" if comparison.family["rejected"] else "does not hold"
        yield f"{held} among the {comparison.family['size']} comparisons of the session"


def amount(comparison: Comparison, value: float | None) -> str:
    """Return a value of the metric: a rate in percent."""
    return "-" if value is None else amount_of(value, comparison.rate)


def amount_of(value: float, rate: bool) -> str:
    """Return a value of a metric in words: of a *rate* in percent."""
    return percent(value) if rate else f"{value:.4g}"


def difference(comparison: Comparison) -> str:
    """Return the difference with its interval: of a rate in percentage points."""
    text = difference_alone(comparison)
    if comparison.difference is None or comparison.interval is None:
        return text
    low, high = (_signed(end, comparison.rate) for end in comparison.interval)
    return f"{text} ({100 * comparison.confidence:g}% interval {low} to {high})"


def difference_alone(comparison: Comparison) -> str:
    """Return the difference without its interval; ``-`` where there is none."""
    if comparison.difference is None:
        return "-"
    return f"{_signed(comparison.difference, comparison.rate)}{' points' if comparison.rate else ''}"


def _signed(value: float, rate: bool) -> str:
    return f"{value * 100:+.1f}" if rate else f"{value:+.4g}"


def how_paired(comparison: Comparison) -> str:
    """Return whether the episodes are paired, how many of them are the same ones, and why not all."""
    if comparison.paired:
        text = f"paired, {comparison.pairs} episodes"
        if not all_matched(comparison):
            text = (
                f"paired by index, {comparison.pairs} episodes, of which {comparison.matched} began in the "
                "same state"
            )
        if comparison.repeated:
            text += f" ({comparison.repeated} more repeat these: nothing is left to chance)"
        if comparison.table is not None:
            text += f", {_listed(comparison.lost)} only before and {_listed(comparison.gained)} only now"
        return text
    numbers = f"{comparison.episodes['baseline']} and {comparison.episodes['candidate']} episodes"
    if comparison.repeated:
        numbers += f", of which {comparison.repeated} repeat others and do not count"
    return f"unpaired, {numbers}: {comparison.reason}"


def all_matched(comparison: Comparison) -> bool:
    """Whether every pair is the same episode in both runs."""
    return comparison.paired is True and comparison.matched in (None, comparison.pairs)


def _listed(episodes: list[int]) -> str:
    """Return how many episodes, and which."""
    return f"{len(episodes)} ({first_few(episodes)})" if episodes else "none"


def decision(comparison: Comparison) -> Iterator[str]:
    """Yield what was decided by which test with which error rate, and what would decide it."""
    rate = f"error rate {1 - comparison.confidence:.2g}"
    margin = f"{comparison.margin * 100:.3g} points" if comparison.rate else f"{comparison.margin:.4g}"
    worse = comparison.worse is not None and comparison.worse.rejects
    if comparison.verdict == ComparisonVerdict.REGRESSION and comparison.worse is not None:
        yield f"worse ({_evidence(comparison.worse)}, {rate})"
    elif comparison.verdict == ComparisonVerdict.IMPROVED and comparison.better is not None:
        yield f"better ({_evidence(comparison.better)}, {rate})"
    elif comparison.verdict == ComparisonVerdict.NON_INFERIOR and comparison.within_margin is not None:
        but = "worse, but not" if worse else "not worse"
        yield f"{but} by {margin} or more ({_evidence(comparison.within_margin)}, {rate})"
    else:
        if any(e is not None and e.rejects for e in (comparison.worse, comparison.better)):
            yield f"what the first episodes show, the others contradict ({rate})"
            return
        within = f", nor that any loss is below {margin}" if comparison.margin else ""
        yield f"neither worse nor better is shown{within} ({rate})"
        times = comparison.times_more
        yield (
            f"about {times} times as many episodes like these would decide"
            if times
            else ("no number of episodes like these within reach would decide")
        )


def _evidence(evidence: Evidence) -> str:
    if evidence.reached_after is None:
        return f"{evidence.test}, one-sided p {evidence.p_value:.2g}"
    return f"{evidence.test} after {evidence.reached_after} pairs"
