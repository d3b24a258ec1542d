"""Gates that could not decide are refused before anything is simulated."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pytest_arena import EvaluationError, JobFileError
from pytest_arena.evaluation.validate import validate, validate_group
from pytest_arena.jobs.native import Group
from pytest_arena.rollout.metrics import RecordedMetric, checked_value
from tests.jobs import make_job
from tests.messages.validation import CAMERAS, THRESHOLDS, own


def check(thresholds: dict[str, str], **gate: Any) -> None:
    job = make_job(thresholds=thresholds, gate=gate)
    validate(
        job, [RecordedMetric("fell", {"reduction": "rate"}), RecordedMetric("speed", {"reduction": "max"})]
    )


@pytest.mark.parametrize("text", THRESHOLDS)
@pytest.mark.parametrize("name", ["success_rate", "success_at_end_rate", "fell"])
def test_a_threshold_on_a_rate_that_can_never_hold_or_never_fail(name: str, text: str) -> None:
    fell = [RecordedMetric("fell", {"reduction": "rate"})]
    job = make_job(thresholds={name: text})
    with pytest.raises(JobFileError, match=rf"^jobs\.job\.thresholds\.{name}: expected "):
        validate(job, fell)
    group = Group("all", {name: text}, Path("jobs.yaml"), {name: 3})
    with pytest.raises(JobFileError, match=rf"^jobs\.yaml:3: groups\.all\.{name}: expected "):
        validate_group(group, [job], {job.name: fell})


@pytest.mark.parametrize("text", [">= 1", "<= 0", "> 0", "< 1", "1..1", "0..0.2", "99%..100%"])
def test_a_threshold_on_a_rate_that_can_do_both(text: str) -> None:
    validate(make_job(thresholds={"success_rate": text}))


def test_other_metrics_have_values_beyond_one() -> None:
    validate(make_job(thresholds={"episode_length": ">= 0", "return": "<= 90"}))


@pytest.mark.parametrize(
    ("value", "reduction", "expected"),
    [
        (None, "rate", None), (True, "rate", 1.0), (np.float32(0), "rate", 0.0), (np.array([1]), "rate", 1.0),
        (2.5, "mean", 2.5), (2.0, "rate", "a rate has 0 or 1"), (0.5, "rate", "a rate has 0 or 1"),
        ("1", "mean", "expected a number or None"), (1j, "mean", "expected a number or None"),
        (np.zeros(3), "mean", "expected a number or None"), (10**400, "mean", "a number that no float can hold"),
    ],
)  # fmt: skip
def test_what_a_metric_says_of_an_episode(value: Any, reduction: Any, expected: Any) -> None:
    if not isinstance(expected, str):
        assert checked_value(own(reduction=reduction), value) == expected
        return
    with pytest.raises(EvaluationError, match=f"metric 'own': end.*{expected}"):
        checked_value(own(reduction=reduction), value)


def test_accepted() -> None:
    check({"success_rate": ">= 0.8"}, episodes_max=14)
    check(
        {"success_rate": ">= 0.8", "speed": "< 2", "episode_length": "10..20"}, episodes_max=14, look_every=50
    )
    check({"fell": "<= 0.05"}, episodes_max=59)
    check({"success_rate": "> 0.8"}, episodes_max=20, method="e_process")


def test_the_time_of_a_policy_is_suggested_where_it_is_misspelt() -> None:
    with pytest.raises(JobFileError, match=r"did you mean 'inference_ms_p95'"):
        validate(make_job(thresholds={"inference_ms_p99": "< 50"}))


def test_what_a_simulator_reports_is_not_judged_beside_an_early_stop() -> None:
    """It is over all episodes that finished, also those beyond the verdict: the first ones, so the short ones."""
    job = make_job(
        simulator="isaaclab_arena",
        environment={"id": "counting"},
        thresholds={"success_rate": ">= 0.5", "moved": ">= 0.5"},
        gate={"episodes_max": 50},
    )
    with pytest.raises(JobFileError, match=r"thresholds\.moved: "):
        validate(job)
    whole = job.model_copy(update={"gate": job.gate.model_copy(update={"stop_early": False})})  # type: ignore[union-attr]
    validate(whole)


def test_a_rate_over_some_of_the_episodes_cannot_be_gated() -> None:
    some = RecordedMetric("grasped", {"reduction": "rate", "skips_missing": True})
    job = make_job(thresholds={"grasped": ">= 0.5"}, gate={"episodes_max": 50})
    with pytest.raises(JobFileError, match="gate: "):
        validate(job, [some])


def test_films_of_environments_that_there_are_not() -> None:
    environment = {"id": "CartPole-v1", "num_envs": 4}
    validate(make_job(environment=environment, record={"video_environments": [0, 3]}))
    with pytest.raises(JobFileError, match=r"record\.video_environments: "):
        validate(make_job(environment=environment, record={"video_environments": [0, 4]}))


@pytest.mark.parametrize(
    ("simulator", "id_", "camera", "other"),
    [(simulator, *names) for simulator, names in CAMERAS.items()],
)
def test_cameras_that_the_environment_will_not_have(
    simulator: str, id_: str, camera: str, other: str
) -> None:
    job = {"simulator": simulator, "environment": {"id": id_, "cameras": {camera: {}}}}
    validate(make_job(**job, record={"cameras": [camera]}))
    with pytest.raises(
        JobFileError,
        match=r"record\.cameras: ",
    ):
        validate(make_job(**job, record={"cameras": [camera, other]}))
    # Other simulators tell their cameras when they are built.
    validate(make_job(simulator="isaaclab", environment={"id": "Isaac-Reach"}, record={"cameras": ["front"]}))


def test_a_preset_of_libx264_beside_another_encoder() -> None:
    with pytest.raises(JobFileError, match=r"record\.video_codec\.preset: "):
        validate(make_job(record={"video_codec": {"name": "h264_nvenc", "preset": "slow"}}))
    validate(make_job(record={"video_codec": {"name": "auto", "preset": "slow"}}))
