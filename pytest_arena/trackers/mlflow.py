"""MLflow: ``pytest -p pytest_arena.trackers.mlflow``; a run there for each job.

Without ``MLFLOW_TRACKING_URI`` the runs are in ``mlflow.db`` in pytest's root directory, as MLflow itself has
it. ``MLFLOW_EXPERIMENT_NAME`` names the experiment.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from pytest_arena.trackers.tracking import TrackedJob, track

_AT_ONCE = {"metrics": 1000, "params": 100}
"""How many MLflow takes in one call."""
_LONGEST = 500
"""Characters of a parameter that every version of MLflow takes."""
_OFFLINE = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
}
"""Variables, unless they are set: a server that does not answer is not waited for long."""


def pytest_configure(config: pytest.Config) -> None:
    """Track the jobs of this session."""
    store = f"sqlite:///{config.rootpath / 'mlflow.db'}"
    track(config, "mlflow", "mlflow", lambda job: log(job, os.environ.get("MLFLOW_TRACKING_URI") or store))


def log(job: TrackedJob, store: str) -> None:
    """Write *job* into the *store*, a tracking URI: settings, numbers, and the episodes as curves."""
    for name, value in _OFFLINE.items():
        os.environ.setdefault(name, value)
    from mlflow.entities import Metric, Param
    from mlflow.tracking import MlflowClient

    client, words = MlflowClient(tracking_uri=store), job.words()
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or "pytest-arena"
    known = client.get_experiment_by_name(name)
    experiment = client.create_experiment(name) if known is None else known.experiment_id
    tags = {f"arena.{key}": value for key, value in words.items() if value}
    run = client.create_run(experiment, run_name=words["job"], tags=tags).info.run_id
    now = int(time.time() * 1000)
    metrics = [Metric(key, value, now, 0) for key, value in job.numbers().items()]
    for episode, numbers in job.curves():
        metrics += [Metric(key, value, now, episode) for key, value in numbers.items()]
    params = [Param(key, value[:_LONGEST]) for key, value in job.settings().items()]
    for kind, entries in (("metrics", metrics), ("params", params)):
        for some in _parts(entries, _AT_ONCE[kind]):
            client.log_batch(run, **{kind: some})
    client.set_terminated(run, "FINISHED" if words["status"] == "completed" else "FAILED")


def _parts(entries: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    for first in range(0, len(entries), size):
        yield entries[first : first + size]
