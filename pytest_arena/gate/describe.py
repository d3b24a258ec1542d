"""Texts about a gate's tests and thresholds: for the summary and for the message of a failed test."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache

from pytest_arena.gate.boundaries import looks_of
from pytest_arena.gate.job_gate import recorded_test
from pytest_arena.gate.sequential_test import SequentialTest
from pytest_arena.records.schema import (
    GateRecord,
    RateTest,
    ThresholdResult,
    Verdict,
)

PROBABLE = 0.9
"""A larger budget is proposed if it decides with this probability at the measured rate."""
LARGEST_BUDGET = 10_000
"""Budgets beyond this are not proposed."""

UNDECIDED = "* an interval contains its threshold: more episodes could tell otherwise"
"""Below a table in which verdicts have an asterisk."""


def describe_intervals(may_stop: Sequence[bool]) -> Iterator[str]:
    """Yield what the intervals of success rates in a table are, for below it.

    *may_stop* tells of each job with an interval whether it has a gate that may stop it or be extended.
    """
    if any(may_stop):
        what = "hold wherever the run stopped; each end with the confidence of its gate"
        yield f"intervals of gated jobs {what}"
    if not all(may_stop):
        yield f"intervals{' of the other jobs' if any(may_stop) else ''}: 95%, Wilson's"


def describe_rate_test(gate: GateRecord, test: RateTest) -> str:
    """Return one line: what was decided, on how many of how many episodes, and with which error rate.

    Of an undecided test the line tells what would decide it.
    """
    name = f"{test.metric} {test.expression}"
    if not test.path:
        return f"{name}: not decided, fewer than {test.looks[0]} episodes can be read in their order"
    last, look = test.path[-1], len(test.path) - 1
    successes = f"{last.successes} success{'' if last.successes == 1 else 'es'}"
    if last.errors:
        successes += (
            f" and {last.errors} error{'' if last.errors == 1 else 's'}, counted against either verdict"
        )
    passes, fails = _rule(test, test.pass_at[look], "pass"), _rule(test, test.fail_at[look], "fail")
    place = f"after {last.episodes} of at most {gate.episodes_max} episodes"
    if test.verdict is Verdict.PASS:
        return (
            f"{name}: pass {place}: {successes}, {passes}; {_error_rate(test, 'less', 'passes', test.alpha)}"
        )
    if test.verdict is Verdict.FAIL:
        return f"{name}: fail {place}: {successes}, {fails}; {_error_rate(test, 'more', 'fails', test.beta)}"
    if test.verdict is Verdict.INCONCLUSIVE:
        place = f"after all {gate.episodes_max} episodes"
        decides = (
            f"they began in only {gate.different} different states, and over these nothing is decided"
            if last.held
            else _what_decides(gate, test)
        )
        return f"{name}: inconclusive {place}: {successes}, {passes}, {fails}; {decides}"
    return f"{name}: not decided {place}: {successes}, {passes}, {fails}"


def percent(probability: float) -> str:
    """Return e.g. ``5%`` or ``0.1%``."""
    return f"{100 * probability:.4g}%"


def _rule(test: RateTest, successes: int | None, verdict: str) -> str:
    if successes is None:
        return f"no number {verdict}{'es' if verdict == 'pass' else 's'} at this look"
    return f"{successes} or {'more' if test.at_least == (verdict == 'pass') else 'fewer'} {verdict}"


def _error_rate(test: RateTest, side: str, verb: str, level: float) -> str:
    if not test.at_least:
        side = {"less": "more", "more": "less"}[side]
    return f"a true rate of {test.bound:g} or {side} {verb} in at most {percent(level)} of runs"


def _what_decides(gate: GateRecord, test: RateTest) -> str:
    last = test.path[-1]
    rate = last.successes / last.episodes
    found = larger_budget(recorded_test(gate, test), gate.look_every, rate)
    if found is None:
        return f"the measured {rate:.4g} is too close to {test.bound:g} for a budget up to {LARGEST_BUDGET}"
    budget, probability = found
    how = "a new run with" if gate.method == "spending" else "going on (--arena-resume) with"
    return (
        f"if the true rate is the measured {rate:.4g}, {how} gate.episodes_max: {budget} decides with a "
        f"probability of {probability:.2f}"
    )


@lru_cache(maxsize=64)
def larger_budget(test: SequentialTest, look_every: int, rate: float) -> tuple[int, float] | None:
    """Return a budget that decides with a high probability at the true *rate*, and that probability.

    Args:
        test: The test that was undecided; its last look is the budget that was too small.
        look_every: Episodes between two looks.
        rate: The rate of successes that is assumed to be true; from 0 to 1.

    Returns:
        (episodes, probability), which is at least `PROBABLE`; None where even `LARGEST_BUDGET` does not
        decide.
    """
    budget = test.looks[-1]
    while budget < LARGEST_BUDGET:
        budget = min(math.ceil(1.5 * budget / look_every) * look_every, LARGEST_BUDGET)
        found = replace(test, looks=looks_of(budget, look_every)).characteristics(rate)
        if 1.0 - found.inconclusive >= PROBABLE:
            return budget, 1.0 - found.inconclusive
    return None


def describe_threshold_briefly(threshold: ThresholdResult) -> str:
    """Return metric, value and threshold."""
    value = "not measured" if threshold.value is None else f"= {threshold.value:.4g}"
    return f"{threshold.metric} {value}, expected {threshold.expression}"


def describe_threshold(threshold: ThresholdResult, *, fixed: bool = True) -> str:
    """Return one line: mark, metric, value, interval, threshold, and whether the interval is wide.

    *fixed*: the number of episodes was. Else the ends of the interval have the confidence of the job's gate.
    """
    if threshold.value is None:
        return f"✗ {threshold.metric}: not measured ({threshold.reason}), expected {threshold.expression}"
    mark = "✓" if threshold.passed else "?" if threshold.verdict is Verdict.INCONCLUSIVE else "✗"
    line = f"{mark} {threshold.metric} = {threshold.value:.4g}"
    if threshold.interval is not None:
        low, high = threshold.interval
        kind = "95% interval" if fixed and threshold.verdict is None else "interval"
        line += f" ({kind} {low:.3f} to {high:.3f})"
    line += f", expected {threshold.expression}"
    if threshold.reason is not None:  # whatever the value is
        return f"{line}; {threshold.reason}"
    if threshold.undecided:
        line += "; the interval contains the bound: more episodes could tell otherwise"
    return line
