"""Everything of a job that can be judged without simulating it."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_arena.errors import did_you_mean
from pytest_arena.gate.decision import plans, rates
from pytest_arena.gate.thresholds import Threshold
from pytest_arena.jobs.model import Job
from pytest_arena.policies.registry import validate_policy
from pytest_arena.rollout.metrics import Metric, standard_metrics
from pytest_arena.simulators.registry import validate_simulation


def validate(job: Job, extra_metrics: Sequence[Metric] = ()) -> None:
    """Check all of *job* that can be checked without simulating; raises `JobFileError`."""
    simulator = validate_simulation(job)
    validate_policy(job, may_import=not simulator.app_first, simulators_own=simulator.policy_names)
    reported = simulator.metric_names(job)
    known = {metric.name for metric in (*standard_metrics(), *extra_metrics)} | (reported or set())
    for name, text in job.thresholds.items():
        if name not in known and reported is not None:
            raise job.problem(("thresholds", name), _unknown_metric(name, known))
        try:
            Threshold.parse(text)
        except ValueError as error:
            raise job.problem(("thresholds", name), str(error)) from None
    _validate_gate(job, extra_metrics)


def _validate_gate(job: Job, metrics: Sequence[Metric]) -> None:
    """Refuse a gate that tests nothing, and one whose tests could not pass, or not fail, whatever happens."""
    gate = job.gate
    if gate is None:
        return
    tests = plans(job, metrics)
    if not tests:
        names = ", ".join(sorted(rates(metrics)))
        raise job.problem(("gate",), f'expected a threshold such as ">= 0.9" on one of the rates {names}')
    for name, plan in tests.items():
        if not 0.0 < plan.bound < 1.0:
            raise job.problem(
                ("thresholds", name),
                f"expected a bound between 0 and 1 beside a gate, got {plan.bound:g}: no number of episodes "
                "can tell",
            )
        needed = {"pass": plan.fewest_to_pass(), "fail": plan.fewest_to_fail()}
        verdict = max(needed, key=lambda verdict: needed[verdict])
        if needed[verdict] > gate.episodes_max:
            raise job.problem(
                ("gate", "episodes_max"),
                f"expected at least {needed[verdict]}: in {gate.episodes_max} episodes {name} "
                f"{job.thresholds[name]} can never {verdict} with the gate's error rates",
            )


def _unknown_metric(name: str, known: set[str]) -> str:
    """Return the text for a metric that nothing computes."""
    return f"no metric of this name is computed{did_you_mean(name, known)}; known: {', '.join(sorted(known))}"
