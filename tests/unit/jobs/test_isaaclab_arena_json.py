from __future__ import annotations

import json
from typing import Any

import pytest
from jobs_examples import GETTING_STARTED, GR00T, VARIATIONS_JSON, ZERO_ACTION

from pytest_arena import JobFileError

JOB = '{"name":"a","arena_env_args":{"environment":"e"%s},"policy_type":"zero_action"%s}'

MICROWAVE: dict[str, Any] = {
    "name": "microwave",
    "arena_env_args": {
        "environment": "gr1_open_microwave",
        "embodiment": "gr1_joint",
        "objects": ["cracker_box", "mug"],
        "num_envs": 3,
        "placement_seed": 7,
        "enable_cameras": True,
    },
    "num_episodes": 4,
    "policy_type": "zero_action",
}


def one(load: Any, arguments: str = "", keys: str = "") -> Any:
    (job,) = load('{"jobs":[' + JOB % (arguments, keys) + "]}", "jobs.json")
    return job


def test_the_smallest_example(load: Any) -> None:
    (job,) = load(ZERO_ACTION, "jobs.json")
    assert job.simulator == "isaaclab_arena"
    assert job.environment.id == "gr1_open_microwave"
    assert job.environment.num_envs == 1
    assert job.environment.seed == 42
    assert job.environment.options == {"args": {"object": "cracker_box", "embodiment": "gr1_joint"}}
    assert job.policy.type == "zero_action"
    assert job.policy.settings == {}
    assert job.rollout.episodes == 4
    assert job.rollout.rebuilds == 2


def test_several_jobs_and_environments(load: Any) -> None:
    jobs = load(GETTING_STARTED, "jobs.json")
    assert [job.name for job in jobs] == [
        "01_baseline",
        "02_swap_objects",
        "03_change_background_hdr",
        "04_parallel_envs",
    ]
    assert [job.environment.num_envs for job in jobs] == [1, 1, 1, 64]
    assert {job.rollout.steps for job in jobs} == {50}
    assert "num_envs" not in jobs[3].environment.options["args"]


def test_the_old_name_of_the_policys_settings(load: Any) -> None:
    job = load(GR00T, "jobs.json")[0]
    assert job.policy.type.endswith("Gr00tClosedloopPolicy")
    assert job.policy.settings["policy_device"] == "cuda:0"
    assert job.environment.options["args"]["enable_cameras"] is True
    problem = str(job.problem(("policy", "policy_device"), "bad"))
    assert problem == "jobs.json:8: jobs[0].policy_args.policy_device: bad"


def test_variations(load: Any) -> None:
    (job,) = load(VARIATIONS_JSON, "jobs.json")
    assert job.environment.variations["light"]["hdr_image"] == {"enabled": True}


def test_the_same_shape_in_yaml(load: Any) -> None:
    (in_yaml,) = load(VARIATIONS_JSON, "jobs.yaml")
    assert in_yaml.config() == load(VARIATIONS_JSON, "jobs.json")[0].config()


def test_fields_of_the_environment_builder_are_kept_apart(load: Any) -> None:
    job = one(load, ',"seed":7,"device":"cpu","env_spacing":3.0,"mimic":true,"object":"o"')
    assert job.environment.seed == 7
    assert job.environment.device == "cpu"
    assert job.environment.options == {
        "args": {"object": "o"},
        "builder": {"env_spacing": 3.0, "mimic": True},
    }


def test_without_a_limit_the_policys_own_length_counts(load: Any) -> None:
    assert one(load).rollout.steps == "policy"
    assert one(load, keys=',"num_steps":null').rollout.steps == "policy"


def test_language_instruction(load: Any) -> None:
    assert one(load, keys=',"language_instruction":"pick"').language_instruction == "pick"


def test_only_pending_jobs_are_loaded(load: Any) -> None:
    states = ["pending", "running", "completed", "failed"]
    written = [JOB.replace('"a"', f'"{state}"') % ("", f',"status":"{state}"') for state in states]
    written.append(JOB.replace('"a"', '"plain"') % ("", ""))
    jobs = load('{"jobs":[' + ",".join(written) + "]}", "jobs.json")
    assert [job.name for job in jobs] == ["pending", "plain"]


def test_problems_found_later_have_arenas_keys_and_lines(load: Any) -> None:
    job = load(ZERO_ACTION, "jobs.json")[0]
    for key, place in [
        (("environment", "id"), "jobs.json:2: jobs[0].arena_env_args.environment"),
        (("environment", "num_envs"), "jobs.json:2: jobs[0].arena_env_args.num_envs"),
        (("environment", "options", "args", "object"), "jobs.json:2: jobs[0].arena_env_args.object"),
        (("policy", "type"), "jobs.json:3: jobs[0].policy_type"),
        (("rollout", "rebuilds"), "jobs.json:3: jobs[0].num_rebuilds"),
        (("name",), "jobs.json:1: jobs[0].name"),
        (("thresholds", "x"), "jobs.json:1: jobs[0].thresholds.x"),
    ]:
        assert str(job.problem(key, "bad")) == f"{place}: bad"


def test_lines_are_left_out_where_json_is_not_yaml(load: Any) -> None:
    text = ZERO_ACTION.replace("gr1_joint", "\\ud83d\\ude00").replace('"num_episodes":4', '"num_episodes":0')
    with pytest.raises(
        JobFileError, match=r"^jobs\.json: jobs\[0\]\.num_episodes: expected at least 1, got 0$"
    ):
        load(text, "jobs.json")


def test_arguments_of_the_environment_are_serialized_once(load: Any) -> None:
    """The job has the arguments themselves, with their types."""
    (job,) = load(json.dumps({"jobs": [MICROWAVE]}), "jobs.json")
    config = json.loads(json.dumps(job.config()))
    environment = config["environment"]
    assert environment["id"] == "gr1_open_microwave"
    assert environment["num_envs"] == 3
    assert environment["options"]["args"]["embodiment"] == "gr1_joint"
    assert environment["options"]["args"]["objects"] == ["cracker_box", "mug"]
    assert environment["options"]["args"]["enable_cameras"] is True
    for told in ("gr1_open_microwave", "gr1_joint", "cracker_box", "placement_seed"):
        assert json.dumps(config).count(told) == 1, told
