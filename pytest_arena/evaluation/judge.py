"""From the record of a job to what becomes of its test."""

from __future__ import annotations

from pytest_arena.records.schema import JobRecord, Verdict


def choice(record: JobRecord) -> str:
    """Return what becomes of the test of a completed job: ``pass``, ``fail`` or ``xfail``."""
    choices, gate, compared = {"pass"}, record.gate, record.comparison
    if not all(threshold.passed for threshold in record.thresholds):
        undecided = record.verdict is Verdict.INCONCLUSIVE
        choices.add(gate.inconclusive if undecided and gate is not None else "fail")
    if compared is not None and (compared.failed or compared.xfailed):
        choices.add("fail" if compared.failed else "xfail")
    return next(found for found in ("fail", "xfail", "pass") if found in choices)
