"""Jobs that are valid files, and still cannot be evaluated: refused before anything is simulated."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from pytest_arena import Episode, Metric
from pytest_arena.evaluation.validate import validate, validate_group
from pytest_arena.jobs.native import Group
from pytest_arena.rollout.metrics import RecordedMetric
from pytest_arena.simulators.registry import validate_simulation
from tests.jobs import make_job

GATED = [RecordedMetric("fell", {"reduction": "rate"}), RecordedMetric("speed", {"reduction": "max"})]
COMPARED = [
    RecordedMetric("speed", {"direction": "lower", "bounds": [0, 3]}),
    RecordedMetric("peak", {"direction": "lower", "reduction": "max"}),
    RecordedMetric("odd", {}),
    RecordedMetric("fast", {"direction": "lower", "skips_missing": True}),
]


class Own(Metric):
    """A user's metric."""

    name = "own"

    def end(self, row: int, episode: Episode) -> float | None:
        return 1.0


def own(**attributes: Any) -> Metric:
    made = Own()
    for name, value in attributes.items():
        setattr(made, name, value)
    return made


def check(metrics: Any = None, **changes: Any) -> None:
    validate(make_job(**changes), () if metrics is None else metrics)


def check_group(thresholds: dict[str, str], metrics: Sequence[Any] = COMPARED) -> None:
    group = Group("t", thresholds, Path("jobs.yaml"), dict.fromkeys(thresholds, 7))
    validate_group(group, [make_job()], {"job": metrics})


def check_metaworld(success: dict[str, Any] | None = None, **environment: Any) -> None:
    environment = {"id": "reach-v3", **environment}
    validate_simulation(make_job(simulator="metaworld", environment=environment, success=success or {}))


CAMERAS = {"gymnasium": ("CartPole-v1", "render", "rendr"), "metaworld": ("reach-v3", "corner", "corner2")}
GATES: dict[str, tuple[dict[str, str], dict[str, Any]]] = {
    "can-never-pass": ({"success_rate": ">= 0.8"}, {"episodes_max": 13}),
    "can-never-pass-by-e-process": ({"success_rate": ">= 0.8"}, {"episodes_max": 19, "method": "e_process"}),
    "can-never-pass-in-per-cent": ({"success_rate": ">= 95%"}, {"episodes_max": 20}),
    "can-never-fail": ({"success_rate": ">= 0.1"}, {"episodes_max": 28}),
    "at-most-can-never-pass": ({"fell": "<= 0.05"}, {"episodes_max": 58}),
    "can-never-pass-at-99%": ({"success_rate": ">= 0.8"}, {"episodes_max": 14, "confidence": 0.99}),
    "bound-of-one": ({"success_rate": ">= 1"}, {"episodes_max": 50}),
    "no-rate": ({"speed": "< 2"}, {"episodes_max": 50}),
    "between": ({"success_rate": "0.2..0.4"}, {"episodes_max": 50}),
    "no-threshold": ({}, {"episodes_max": 50}),
}
THRESHOLDS = (
    *(">= 90", "<= 90", "0.5..95", ">= 900%", ">= -0.5"),
    *(">= 0", "<= 100%", "0..1", "> 1", "< 0"),
)
METRICS: dict[str, Any] = {
    "class": [Own],
    "text": ["own"],
    "no-list-but-None": None,
    "no-list-but-text": "own",
    "twice": [own(), own()],
    "name-of-a-standard-metric": [own(name="success_rate")],
    "no-name": [own(name="")],
    "reduction": [own(reduction="avg")],
    "bounds": [own(bounds=(5, 1))],
}
REGRESSIONS: dict[str, dict[str, Any]] = {
    "misspelled-metric": {"metric": "sucess_rate"},
    "maximum": {"metric": "peak"},
    "no-direction": {"metric": "odd"},
    "no-bounds": {"metric": "return"},
    "margin-as-wide-as-the-range": {"metric": "speed", "margin": 3.0},
    "metric-that-skips": {"metric": "time_to_success"},
    "metric-of-ones-own-that-skips": {"metric": "fast", "bounds": [0, 9]},
    "bounds-of-a-rate": {"bounds": [0, 1]},
    "margin-beyond-a-rate": {"margin": 1.5},
}
NAMES: dict[str, dict[str, Any]] = {
    "threshold-of-a-misspelled-metric": {"thresholds": {"sucess_rate": ">= 1"}},
    "threshold-without-a-number": {"thresholds": {"success_rate": "high"}},
    "policy-of-no-module": {"policy": {"type": "no_such_module:Policy"}},
    "policy-of-no-class": {"policy": {"type": "tests.registered:Nothing"}},
    "policy-misspelled-argument": {"policy": {"type": "tests.registered:Broken", "att": 1}},
    "policy-unknown-argument": {"policy": {"type": "tests.registered:ArenaStyle", "gian": 1}},
    "policy-that-is-none": {"policy": {"type": "collections:OrderedDict"}},
}
SERVERS: dict[str, dict[str, Any]] = {
    "no-address": {"type": "openpi"},
    "no-scheme": {"type": "openpi", "address": "localhost:8000"},
    "scheme-of-another-protocol": {"type": "gr00t", "address": "ws://localhost:5555"},
    "port": {"type": "vla_eval", "address": "ws://localhost:99999"},
    "password": {"type": "openpi", "address": "wss://me:secret@host:8000"},
    "serve-without-port": {"type": "openpi", "serve": "python server.py"},
    "serve-per": {"type": "openpi", "serve": {"command": "server {port}", "per": "job"}},
    "serve-misspelled": {"type": "openpi", "serve": {"command": "server {port}", "helth": "/"}},
    "serve-health": {"type": "openpi", "serve": {"command": "server {port}", "health": "healthz"}},
    "images": {"type": "vla_eval", "address": "ws://localhost:8000", "images": "gif"},
    "batch": {"type": "gr00t", "address": "tcp://localhost:1", "batch": "all", "reproducible": True},
    "timeout": {"type": "gr00t", "address": "tcp://localhost:1", "timeout": 0},
    "misspelled": {"type": "openpi", "adress": "ws://localhost:8000"},
}
METAWORLD: dict[str, dict[str, Any]] = {
    "misspelled-id": {"id": "raech-v3"},
    "old-id": {"id": "reach-v2"},
    "max_episode_steps": {"max_episode_steps": 501},
    "camera": {"cameras": {"corner5": {}}},
    "device": {"device": "cuda:0"},
    "variations": {"variations": {"light": {}}},
    "quality": {"options": {"quality": "best"}},
    "terminate_on_success": {"options": {"terminate_on_success": 1}},
    "images-without-camera": {"cameras": {"corner2": {}}, "options": {"images": ["corner"]}},
    "misspelled-option": {"options": {"qualty": "fast"}},
    "success-term": {"success": {"term": "done"}},
    "success-callable": {"success": {"callable": "a:b"}},
    "success-info_key": {"success": {"info_key": "near_object"}},
}
GYMNASIUM: dict[str, dict[str, Any]] = {
    "unknown-context": {"vectorization": "async", "make": {"vector_kwargs": {"context": "thread"}}},
    "autoreset_mode": {"make": {"vector_kwargs": {"autoreset_mode": "x"}}},
    "observation_mode": {"make": {"vector_kwargs": {"observation_mode": "different"}}},
    "list-of-arguments": {"make": {"vector_kwargs": [1]}},
    "arguments-of-an-entry-point": {"vectorization": "vector_entry_point", "make": {"vector_kwargs": {}}},
    "num_envs": {"make": {"num_envs": 2}},
    "vectorization_mode": {"make": {"vectorization_mode": "async"}},
    "id": {"make": {"id": "CartPole-v1"}},
    "wrappers": {"make": {"wrappers": []}},
    "misspelled-option": {"episode_options": "state"},
    "episode_option-of-a-vector": {"vectorization": "vector_entry_point", "episode_option": "state"},
    "episode_option-of-rows-that-reset-themselves": {"autoreset": "next_step", "episode_option": "state"},
    "wrapper-without-a-module": {"wrappers": ["FrameStackObservation"]},
    "wrapper-misspelled": {"wrappers": ["gymnasium.wrappers:FrameStakObservation"]},
    "wrapper-misspelled-argument": {
        "wrappers": [{"class": "gymnasium.wrappers:FrameStackObservation", "kwargs": {"stack": 4}}]
    },
    "wrapper-that-lacks-an-argument": {"wrappers": ["gymnasium.wrappers:FrameStackObservation"]},
    "wrapper-without-a-class": {"wrappers": [{"kwargs": {}}]},
}
FUNCTIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "that-is-not-there": ("make_jop", {}),
    "misspelled-argument": ("judged", {"make": {"recrd": 1}}),
    "that-lacks-arguments": ("judged", {}),
    "of-one-row": ("make_job", {"vectorization": "vector_entry_point"}),
}


def check_gymnasium(options: dict[str, Any], env_id: str = "CartPole-v1") -> None:
    validate_simulation(make_job(environment={"id": env_id, "options": options}))


def check_seeds(simulator: str, **options: Any) -> None:
    environment = {"id": "CartPole-v1", "seeds": {"start": 1000}, "options": options}
    validate_simulation(make_job(simulator=simulator, environment=environment))


def check_only(simulator: str, **options: Any) -> None:
    environment = {"id": "CartPole-v1", "options": options}
    job = make_job(simulator=simulator, environment=environment, rollout={"episodes": 4, "only": [3]})
    validate_simulation(job)


MISTAKES: dict[str, Callable[[], object]] = {
    **{name: partial(check, **changes) for name, changes in NAMES.items()},
    **{f"gate-{name}": partial(check, GATED, thresholds=t, gate=g) for name, (t, g) in GATES.items()},
    **{f"seeds-in-{name}": partial(check_seeds, name) for name in ("isaaclab", "isaaclab_arena", "mjlab")},
    **{f"only-in-{name}": partial(check_only, name) for name in ("isaaclab", "isaaclab_arena", "mjlab")},
    "only-of-rows-that-reset-themselves": partial(check_only, "gymnasium", autoreset="same_step"),
    "seeds-of-rows-that-reset-themselves": partial(check_seeds, "gymnasium", autoreset="same_step"),
    "metric-of-the-job-that-is-standard": partial(
        validate, make_job(metrics={"return": {"info": "episode_return"}})
    ),
    "success-length-beyond-the-limit": partial(
        check,
        environment={"id": "CartPole-v1", "max_episode_steps": 100},
        success={"length": ">= 200"},
    ),
    "gate-on-some-of-the-episodes": partial(
        check,
        [RecordedMetric("grasped", {"reduction": "rate", "skips_missing": True})],
        thresholds={"grasped": ">= 0.5"},
        gate={"episodes_max": 50},
    ),
    "gate-beside-what-the-simulator-computes": partial(
        check,
        simulator="isaaclab_arena",
        environment={"id": "counting"},
        thresholds={"success_rate": ">= 0.5", "moved": ">= 0.5"},
        gate={"episodes_max": 50},
    ),
    **{f"threshold-{text}": partial(check, thresholds={"success_rate": text}) for text in THRESHOLDS},
    **{f"metrics-{name}": partial(validate, make_job(), given) for name, given in METRICS.items()},
    **{f"regression-{name}": partial(check, COMPARED, regression=r) for name, r in REGRESSIONS.items()},
    "regression-of-steps": partial(check, COMPARED, regression={}, rollout={"steps": 50}),
    "group-misspelled-metric": partial(check_group, {"sucess_rate": ">= 0.9"}),
    "group-no-threshold": partial(check_group, {"success_rate": "0.9"}),
    "group-threshold-that-cannot-fail": partial(check_group, {"success_rate": ">= 0"}),
    "films-of-no-environment": partial(
        check,
        environment={"id": "CartPole-v1", "num_envs": 4},
        record={"video_environments": [0, 4]},
    ),
    **{
        f"films-of-no-camera-{simulator}": partial(
            check,
            simulator=simulator,
            environment={"id": id_, "cameras": {camera: {}}},
            record={"cameras": [camera, other]},
        )
        for simulator, (id_, camera, other) in CAMERAS.items()
    },
    "preset-of-another-encoder": partial(
        check, record={"video_codec": {"name": "h264_nvenc", "preset": "slow"}}
    ),
    **{f"gymnasium-{name}": partial(check_gymnasium, options) for name, options in GYMNASIUM.items()},
    **{
        f"gymnasium-function-{name}": partial(check_gymnasium, options, f"tests.jobs:{function}")
        for name, (function, options) in FUNCTIONS.items()
    },
    **{f"server-{name}": partial(check, policy=given) for name, given in SERVERS.items()},
    **{f"metaworld-{name}": partial(check_metaworld, **changes) for name, changes in METAWORLD.items()},
}
