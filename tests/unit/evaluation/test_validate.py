"""Gates that could not decide are refused before anything is simulated."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pytest_arena import Episode, EvaluationError, JobFileError, Metric
from pytest_arena.evaluation.validate import validate, validate_group
from pytest_arena.jobs.native import Group
from pytest_arena.rollout.metrics import RecordedMetric, checked_value
from tests.jobs import make_job


def check(thresholds: dict[str, str], **gate: Any) -> None:
    job = make_job(thresholds=thresholds, gate=gate)
    validate(
        job, [RecordedMetric("fell", {"reduction": "rate"}), RecordedMetric("speed", {"reduction": "max"})]
    )


@pytest.mark.parametrize(
    ("thresholds", "gate", "words"),
    [
        (
            {"success_rate": ">= 0.8"},
            {"episodes_max": 13},
            "gate.episodes_max: expected at least 14: in 13 episodes success_rate >= 0.8 can never pass",
        ),
        ({"success_rate": ">= 0.8"}, {"episodes_max": 19, "method": "e_process"}, "expected at least 20"),
        ({"success_rate": ">= 95%"}, {"episodes_max": 20}, "expected at least 59"),
        ({"success_rate": ">= 0.1"}, {"episodes_max": 28}, "at least 29: in 28 episodes success_rate >= 0.1 can never fail"),
        ({"fell": "<= 0.05"}, {"episodes_max": 58}, "at least 59: in 58 episodes fell <= 0.05 can never pass"),
        ({"success_rate": ">= 0.8"}, {"episodes_max": 14, "confidence": 0.99}, "expected at least 21"),
        ({"success_rate": ">= 1"}, {"episodes_max": 50}, "thresholds.success_rate: expected a bound between 0 and 1 beside a gate"),
        ({"speed": "< 2"}, {"episodes_max": 50}, "gate: expected a threshold such as \">= 0.9\" on one of the rates fell, success_at_end_rate, success_rate"),
        ({"success_rate": "0.2..0.4"}, {"episodes_max": 50}, "gate: expected a threshold"),
        ({}, {"episodes_max": 50}, "gate: expected a threshold"),
    ],
)  # fmt: skip
def test_refused(thresholds: dict[str, str], gate: dict[str, Any], words: str) -> None:
    with pytest.raises(JobFileError) as caught:
        check(thresholds, **gate)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (">= 90", "expected bounds from 0 to 1 for a rate, got 90; 90 per cent is 90%"),
        ("<= 90", "expected bounds from 0 to 1 for a rate, got 90; 90 per cent is 90%"),
        ("0.5..95", "expected bounds from 0 to 1 for a rate, got 95; 95 per cent is 95%"),
        (">= 900%", "expected bounds from 0 to 1 for a rate, got 9"),
        (">= -0.5", "expected bounds from 0 to 1 for a rate, got -0.5"),
        (">= 0", "expected a threshold that can fail: every rate is >= 0"),
        ("<= 100%", "expected a threshold that can fail: every rate is <= 100%"),
        ("0..1", "expected a threshold that can fail: every rate is 0..1"),
        ("> 1", "expected a threshold that can hold: no rate is > 1"),
        ("< 0", "expected a threshold that can hold: no rate is < 0"),
    ],
)
@pytest.mark.parametrize("name", ["success_rate", "success_at_end_rate", "fell"])
def test_a_threshold_on_a_rate_that_can_never_hold_or_never_fail(name: str, text: str, words: str) -> None:
    fell = [RecordedMetric("fell", {"reduction": "rate"})]
    job = make_job(thresholds={name: text})
    with pytest.raises(JobFileError) as caught:
        validate(job, fell)
    assert f"thresholds.{name}: {words}" in str(caught.value)
    group = Group("all", {name: text}, Path("jobs.yaml"), {name: 3})
    with pytest.raises(JobFileError) as caught:
        validate_group(group, [job], {job.name: fell})
    assert words in str(caught.value)


@pytest.mark.parametrize("text", [">= 1", "<= 0", "> 0", "< 1", "1..1", "0..0.2", "99%..100%"])
def test_a_threshold_on_a_rate_that_can_do_both(text: str) -> None:
    validate(make_job(thresholds={"success_rate": text}))


def test_other_metrics_have_values_beyond_one() -> None:
    validate(make_job(thresholds={"episode_length": ">= 0", "return": "<= 90"}))


class Own(Metric):
    name = "own"

    def end(self, row: int, episode: Episode) -> float | None:
        return 1.0


def own(**attributes: Any) -> Metric:
    made = Own()
    for name, value in attributes.items():
        setattr(made, name, value)
    return made


@pytest.mark.parametrize(
    ("metrics", "words"),
    [
        ([Own], "expected objects of a subclass of Metric, got the class Own"),
        (["own"], "expected objects of a subclass of Metric, got 'own'"),
        (None, "expected a list of metrics, got None"),
        ("own", "expected a list of metrics, got the text 'own'"),
        ([own(), own()], "metric 'own' (Own): another metric, Own has this name"),
        ([own(name="success_rate")], "metric 'success_rate' (Own): a standard metric has this name"),
        ([own(name="")], "metric Own: expected a name, got ''"),
        ([own(reduction="avg")], "metric 'own': reduction: expected one of rate, mean, median, max, min, sum, got 'avg'"),
        ([own(bounds=(5, 1))], "metric 'own': bounds: expected (lowest, highest), got (5, 1)"),
    ],
)  # fmt: skip
def test_metrics_of_plugins_are_checked_before_anything_runs(metrics: Any, words: str) -> None:
    with pytest.raises(JobFileError) as caught:
        validate(make_job(), metrics)
    assert words in str(caught.value)


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


def test_what_a_simulator_reports_is_not_judged_beside_an_early_stop() -> None:
    """It is over all episodes that finished, also those beyond the verdict: the first ones, so the short ones."""
    job = make_job(
        simulator="isaaclab_arena",
        environment={"id": "counting"},
        thresholds={"success_rate": ">= 0.5", "moved": ">= 0.5"},
        gate={"episodes_max": 50},
    )
    with pytest.raises(
        JobFileError, match=r"thresholds.moved: the simulator computes it.*gate.stop_early: false"
    ):
        validate(job)
    whole = job.model_copy(update={"gate": job.gate.model_copy(update={"stop_early": False})})  # type: ignore[union-attr]
    validate(whole)


def test_a_rate_over_some_of_the_episodes_cannot_be_gated() -> None:
    some = RecordedMetric("grasped", {"reduction": "rate", "skips_missing": True})
    job = make_job(thresholds={"grasped": ">= 0.5"}, gate={"episodes_max": 50})
    with pytest.raises(JobFileError, match="gate: expected a threshold"):
        validate(job, [some])


def test_films_of_environments_that_there_are_not() -> None:
    environment = {"id": "CartPole-v1", "num_envs": 4}
    validate(make_job(environment=environment, record={"video_environments": [0, 3]}))
    with pytest.raises(JobFileError, match=r"record.video_environments: expected numbers from 0 to 3, got 4"):
        validate(make_job(environment=environment, record={"video_environments": [0, 4]}))


@pytest.mark.parametrize(
    ("simulator", "id_", "camera", "other"),
    [("gymnasium", "CartPole-v1", "render", "rendr"), ("metaworld", "reach-v3", "corner", "corner2")],
)
def test_cameras_that_the_environment_will_not_have(
    simulator: str, id_: str, camera: str, other: str
) -> None:
    job = {"simulator": simulator, "environment": {"id": id_, "cameras": {camera: {}}}}
    validate(make_job(**job, record={"cameras": [camera]}))
    with pytest.raises(
        JobFileError,
        match=rf"record\.cameras: expected cameras of environment\.cameras, which has {camera}, got '{other}' "
        rf"\(did you mean '{camera}'\?\)",
    ):
        validate(make_job(**job, record={"cameras": [camera, other]}))
    # Other simulators tell their cameras when they are built.
    validate(make_job(simulator="isaaclab", environment={"id": "Isaac-Reach"}, record={"cameras": ["front"]}))


def test_a_preset_of_libx264_beside_another_encoder() -> None:
    with pytest.raises(
        JobFileError, match=r"record\.video_codec\.preset: expected none beside h264_nvenc, got slow"
    ):
        validate(make_job(record={"video_codec": {"name": "h264_nvenc", "preset": "slow"}}))
    validate(make_job(record={"video_codec": {"name": "auto", "preset": "slow"}}))
