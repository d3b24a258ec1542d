"""Jobs for tests, with little to type."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pytest_arena import Episode, Job, JobRecord
from pytest_arena.evaluation.judge import judge


def make_job(name: str = "job", **changes: Any) -> Job:
    """Return a job on a gymnasium environment; *changes* replace top-level keys."""
    data: dict[str, Any] = {
        "name": name,
        "simulator": "gymnasium",
        "environment": {"id": "CartPole-v1"},
        "policy": {"type": "zero"},
        "rollout": {"episodes": 4},
    }
    return Job.model_validate({**data, **changes})


def judged(record: JobRecord, job: Job, episodes: Sequence[Episode]) -> JobRecord:
    """Return *record* with what *episodes* say of *job*."""
    judgement = judge(job, episodes, record)
    for name, value in judgement.for_record().items():
        setattr(record, name, value)
    record.episodes.update(judgement.counts)
    record.notes = list(judgement.notes)
    return record
