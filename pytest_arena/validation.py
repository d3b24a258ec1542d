"""Everything of a job that can be judged without simulating it."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_arena.errors import did_you_mean
from pytest_arena.gate.thresholds import Threshold
from pytest_arena.jobs.model import Job
from pytest_arena.policies.registry import validate_policy
from pytest_arena.rollout.metrics import Metric, standard_metrics
from pytest_arena.simulators.registry import validate_simulation


def validate(job: Job, extra_metrics: Sequence[Metric] = ()) -> None:
    """Check all of *job* that can be checked without simulating; raises `JobFileError`."""
    simulator = validate_simulation(job)
    validate_policy(job, may_import=simulator.launch_key(job) is None, simulators_own=simulator.policy_names)
    rows, num_envs = job.record.video_environments or (), job.environment.num_envs
    if rows and max(rows) >= num_envs:
        raise job.problem(
            ("record", "video_environments"),
            f"expected numbers from 0 to {num_envs - 1}, got {max(rows)} (environment.num_envs: {num_envs})",
        )
    reported = simulator.metric_names(job)
    known = {metric.name for metric in (*standard_metrics(), *extra_metrics)} | (reported or set())
    for name, text in job.thresholds.items():
        if name not in known and reported is not None:
            raise job.problem(("thresholds", name), _unknown_metric(name, known))
        try:
            Threshold.parse(text)
        except ValueError as error:
            raise job.problem(("thresholds", name), str(error)) from None


def _unknown_metric(name: str, known: set[str]) -> str:
    """Return the text for a metric that nothing computes."""
    return f"no metric of this name is computed{did_you_mean(name, known)}; known: {', '.join(sorted(known))}"
