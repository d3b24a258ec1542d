"""The verdict of a job, and what becomes of its test."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_arena.records.schema import (
    Comparison,
    ComparisonVerdict,
    JobRecord,
    ThresholdResult,
    Verdict,
)


def verdict_of(thresholds: Sequence[ThresholdResult], comparison: Comparison | None) -> Verdict:
    """Return what *thresholds* and *comparison* say of an evaluation that completed."""
    compared = _verdict_of_comparison(comparison)
    if not thresholds and compared is Verdict.NONE:
        return Verdict.NONE
    missed = [threshold for threshold in thresholds if not threshold.passed]
    if compared is Verdict.FAIL or any(t.verdict is not Verdict.INCONCLUSIVE for t in missed):
        return Verdict.FAIL
    return Verdict.INCONCLUSIVE if missed or compared is Verdict.INCONCLUSIVE else Verdict.PASS


def _verdict_of_comparison(compared: Comparison | None) -> Verdict:
    """Return what a comparison adds: one that decides nothing passes unless the job asks for a decision."""
    if compared is None or compared.verdict is ComparisonVerdict.NOT_JUDGED:
        return Verdict.NONE
    if compared.verdict is ComparisonVerdict.INCONCLUSIVE and (compared.failed or compared.xfailed):
        return Verdict.INCONCLUSIVE
    return Verdict.FAIL if compared.failed else Verdict.PASS


def outcome_of_test(record: JobRecord) -> str:
    """Return what becomes of the test of a completed job: ``pass``, ``fail`` or ``xfail``."""
    choices, gate, comparison = {"pass"}, record.gate, record.comparison
    if not all(threshold.passed for threshold in record.thresholds):
        undecided = record.verdict is Verdict.INCONCLUSIVE
        choices.add(gate.inconclusive if undecided and gate is not None else "fail")
    if comparison is not None and (comparison.failed or comparison.xfailed):
        choices.add("fail" if comparison.failed else "xfail")
    return next(found for found in ("fail", "xfail", "pass") if found in choices)
