"""The numbers of a job as JUnit properties."""

from __future__ import annotations

from pytest_arena.records.schema import JobRecord


def scalars(record: JobRecord) -> list[tuple[str, object]]:
    """Return the status, the verdicts, and one property a metric that was measured."""
    found: list[tuple[str, object]] = [
        ("arena_status", str(record.status)),
        ("arena_verdict", str(record.verdict)),
    ]
    if record.comparison is not None:
        found.append(("arena_comparison", str(record.comparison.verdict)))
    return found + [(f"arena_{name}", value) for name, value in record.metrics.items() if value is not None]
