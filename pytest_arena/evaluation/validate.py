"""Everything of a job that can be judged without simulating it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from pytest_arena.comparison.decision_rule import bounds_of, metric_named, why_no_rule
from pytest_arena.errors import JobFileError, described, did_you_mean
from pytest_arena.gate.job_gate import rates, sequential_tests
from pytest_arena.jobs.model import Job
from pytest_arena.jobs.native import Group
from pytest_arena.jobs.threshold import Threshold
from pytest_arena.policies.registry import validate_policy
from pytest_arena.policies.times import P95_METRIC
from pytest_arena.records.schema import REDUCTIONS
from pytest_arena.rollout.metrics import Metric, standard_metrics
from pytest_arena.simulators.base import Simulator
from pytest_arena.simulators.registry import find_simulator, validate_simulation


def validate(job: Job, extra_metrics: Sequence[Metric] = ()) -> None:
    """Check all of *job* that can be checked without simulating; raises `JobFileError`."""
    _validate_own_metrics(job)
    validate_metrics(extra_metrics)
    simulator = validate_simulation(job)
    _validate_length(job)
    validate_policy(job, may_import=not simulator.app_first, simulators_own=simulator.policy_names)
    _validate_record(job, simulator)
    known, complete = known_metrics(job, extra_metrics)
    for name, text in job.thresholds.items():
        if name not in known | {P95_METRIC} and complete:
            raise job.problem(("thresholds", name), _unknown_metric(name, known | {P95_METRIC}))
        if (wrong := _wrong_threshold(name, text, extra_metrics)) is not None:
            raise job.problem(("thresholds", name), wrong)
    _validate_gate(job, extra_metrics)
    _validate_regression(job, extra_metrics, known, complete)


def _validate_own_metrics(job: Job) -> None:
    """Refuse metrics of the job that have the name of a standard one."""
    standard = {metric.name for metric in standard_metrics()}
    for name in job.metrics:
        if name in standard:
            raise job.problem(("metrics", name), "a standard metric has this name, and every job has it")


def _validate_length(job: Job) -> None:
    """Refuse a success that no episode is long enough for."""
    limit, rule = job.environment.max_episode_steps, job.success.rule
    if job.success.length is not None and limit is not None and rule is not None and rule.low > limit:
        raise job.problem(
            ("success", "length"),
            f"expected a length that episodes can have: environment.max_episode_steps is {limit}",
        )


def require_judged(job: Job) -> None:
    """Raise `JobFileError` for a part of a job that a file asks for beside what is to be judged.

    Its test would pass without a verdict. For one session, ``--arena-set`` can ask for a part of any job.
    """
    if job.rollout.only is None or job.source is None:
        return
    key, judged = ("rollout", "only"), ("thresholds", "regression")  # a gate has thresholds
    by_option = any(key[: len(changed)] == changed for changed, _ in job.source.overridden)
    given = [name for name in judged if getattr(job, name)]
    if given and not by_option:
        raise job.problem(
            key,
            f"expected no {given[0]} beside it, which a part of a job is not judged by: for one session, "
            f"write --arena-set {job.name}:rollout.only={list(job.rollout.only)}",
        )


def validate_metrics(metrics: Sequence[Any]) -> None:
    """Check what plugins add beside the standard metrics; raises `JobFileError`."""
    if isinstance(metrics, str) or not isinstance(metrics, Sequence):
        raise JobFileError(f"pytest_arena_metrics: expected a list of metrics, got {described(metrics)}")
    names = {metric.name: "a standard metric" for metric in standard_metrics()}
    for metric in metrics:
        if not isinstance(metric, Metric):
            got = f"the class {metric.__name__}" if isinstance(metric, type) else repr(metric)[:60]
            raise JobFileError(f"pytest_arena_metrics: expected objects of a subclass of Metric, got {got}")
        name = getattr(metric, "name", None)
        if not isinstance(name, str) or not name:
            raise JobFileError(f"metric {type(metric).__name__}: expected a name, got {name!r}")
        if name in names:
            raise JobFileError(f"metric {name!r} ({type(metric).__name__}): {names[name]} has this name")
        names[name] = f"another metric, {type(metric).__name__}"
        if metric.reduction not in REDUCTIONS:
            raise JobFileError(
                f"metric {name!r}: reduction: expected one of {', '.join(REDUCTIONS)}, "
                f"got {metric.reduction!r}{did_you_mean(str(metric.reduction), REDUCTIONS)}"
            )
        if metric.bounds is not None and not metric.bounds[0] < metric.bounds[1]:
            raise JobFileError(f"metric {name!r}: bounds: expected (lowest, highest), got {metric.bounds!r}")


def _validate_record(job: Job, simulator: Simulator) -> None:
    """Check what is to be filmed, and how."""
    rows, num_envs = job.record.video_environments or (), job.environment.num_envs
    if rows and max(rows) >= num_envs:
        raise job.problem(
            ("record", "video_environments"),
            f"expected numbers from 0 to {num_envs - 1}, got {max(rows)} (environment.num_envs: {num_envs})",
        )
    for camera in job.record.cameras or ():
        if simulator.named_cameras_only and camera not in job.environment.cameras:
            has = ", ".join(job.environment.cameras) or "none"
            raise job.problem(
                ("record", "cameras"),
                f"expected cameras of environment.cameras, which has {has}, got {camera!r}"
                f"{did_you_mean(camera, job.environment.cameras)}",
            )
    codec = job.record.video_codec
    if codec.name == "h264_nvenc" and codec.preset is not None:
        raise job.problem(
            ("record", "video_codec", "preset"),
            f"expected none beside h264_nvenc, got {codec.preset}, which is a preset of libx264",
        )


def validate_group(group: Group, jobs: Sequence[Job], metrics: Mapping[str, Sequence[Metric]]) -> None:
    """Check the thresholds of a *group* of *jobs*.

    Args:
        group: The group, with the texts of its thresholds.
        jobs: The jobs that have its tag.
        metrics: Name of each of *jobs* -> the metrics beside the standard ones.

    Raises:
        JobFileError: A job does not compute a metric that has a threshold, or a text is no threshold on it.
    """
    known_of = {job.name: known_metrics(job, metrics[job.name]) for job in jobs}
    for name, text in group.thresholds.items():
        for job in jobs:
            known, complete = known_of[job.name]
            if name not in known and complete:
                words = f"job {job.name!r}: {_unknown_metric(name, known)}"
                raise group.problem(name, words)
        if (wrong := _wrong_threshold(name, text, *metrics.values())) is not None:
            raise group.problem(name, wrong)


def _wrong_threshold(name: str, text: str, *metrics: Sequence[Metric]) -> str | None:
    """Say why *text* is no threshold on the metric *name*, of the standard ones or of *metrics*."""
    try:
        threshold = Threshold.parse(text)
    except ValueError as error:
        return str(error)
    found = (metric_named(name, some) for some in metrics or [()])
    metric = next((metric for metric in found if metric is not None), None)
    return threshold.fault_on_a_rate() if metric is not None and metric.reduction == "rate" else None


def known_metrics(job: Job, extra_metrics: Sequence[Metric]) -> tuple[set[str], bool]:
    """Return the names of the metrics that *job* computes, and whether these are all that it may have."""
    reported = find_simulator(job).metric_names(job)
    names = {metric.name for metric in (*standard_metrics(), *extra_metrics)}
    return names | (reported or set()), reported is not None


def _validate_regression(job: Job, extra_metrics: Sequence[Metric], known: set[str], complete: bool) -> None:
    """Check what can be known before the rollout of what the job compares."""
    regression = job.regression
    if regression is None:
        return
    if job.rollout.episodes is None:
        raise job.problem(
            ("regression",), "expected rollout.episodes: a number of steps favours short episodes"
        )
    metric = metric_named(regression.metric, extra_metrics)
    if metric is None:
        words = "a metric that the simulator reports has no value for each episode: it cannot be compared"
        if regression.metric not in known and complete:
            words = _unknown_metric(regression.metric, known)
        raise job.problem(("regression", "metric"), words)
    bounds = bounds_of(regression, metric, job.environment.max_episode_steps)
    if bounds is None and metric.unit == "steps":  # the environment will tell its horizon
        bounds = 0.0, math.inf
    if (problem := why_no_rule(regression, metric, bounds)) is not None:
        raise job.problem(("regression",), problem)


def _validate_gate(job: Job, metrics: Sequence[Metric]) -> None:
    """Refuse a gate that tests nothing, and one whose tests could not pass, or not fail, whatever happens."""
    gate = job.gate
    if gate is None:
        return
    tests = sequential_tests(job, metrics)
    if not tests:
        names = ", ".join(sorted(rates(metrics)))
        raise job.problem(("gate",), f'expected a threshold such as ">= 0.9" on one of the rates {names}')
    for name in job.thresholds if gate.stop_early else ():
        if metric_named(name, metrics) is None and name != P95_METRIC:
            raise job.problem(
                ("thresholds", name),
                "the simulator computes it over all episodes that finished, which beside a gate that stops "
                "early favours short ones: set gate.stop_early: false",
            )
    for name, test in tests.items():
        if not 1e-6 <= test.bound <= 1.0 - 1e-6:
            raise job.problem(
                ("thresholds", name),
                f"expected a bound between 0 and 1 beside a gate, got {test.bound:g}: no number of episodes "
                "can tell",
            )
        needed = {"pass": test.fewest_to_pass(), "fail": test.fewest_to_fail()}
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
