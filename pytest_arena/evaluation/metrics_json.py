"""``metrics.json``: the numbers of all jobs of a run."""

from __future__ import annotations

from typing import Any

from pytest_arena.comparison.baseline import stops_early
from pytest_arena.records.run_directory import (
    METRICS_EPISODES,
    METRICS_ONLY,
    METRICS_STATUS,
    METRICS_VERDICT,
    RunDirectory,
)


def metrics_of(run: RunDirectory) -> dict[str, dict[str, Any]]:
    """Return what ``metrics.json`` of *run* holds.

    Beside the numbers of each job, its status and verdict: those of a job that did not complete are no
    measurement. The number of episodes only where no gate could choose it; of a part, which episodes ran.
    """
    configs = run.manifest_if_sound().configs()
    metrics: dict[str, dict[str, Any]] = {}
    for label, record in run.latest().items():
        about = {METRICS_STATUS: str(record.status), METRICS_VERDICT: str(record.verdict)}
        metrics[label] = {**record.metrics, **about}
        if record.only is not None:
            metrics[label][METRICS_ONLY] = record.only
        elif record.episodes.get("requested") and not stops_early(configs.get(label, {})):
            metrics[label][METRICS_EPISODES] = record.episodes["measured"]
    return metrics
