from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from jobs_examples import METAWORLD

from pytest_arena.jobs.editor_schema import SCHEMA_FILE, job_file_schema, schema_text
from pytest_arena.jobs.raw_job import merge

NESTED = st.recursive(
    st.none() | st.integers(0, 3) | st.lists(st.integers(0, 3), max_size=2),
    lambda below: st.dictionaries(st.sampled_from("abc"), below, max_size=3),
    max_leaves=8,
)
MAPPINGS = st.dictionaries(st.sampled_from("abc"), NESTED, max_size=3)


def test_the_example(load: Any) -> None:
    reach, door = load(METAWORLD)
    assert (reach.name, door.name) == ("reach", "door_open")
    assert reach.environment.id == "reach-v3"
    assert reach.environment.num_envs == door.environment.num_envs == 4
    assert reach.environment.cameras["corner2"].width == 256
    assert reach.thresholds == {"success_rate": ">= 0.95", "episode_length": "<= 200"}
    assert reach.tags == ("smoke",)
    assert door.tags == ()


@pytest.mark.parametrize(
    ("base", "top", "merged"),
    [
        ({"a": 1}, {"b": 2}, {"a": 1, "b": 2}),
        ({"a": 1}, {"a": 2}, {"a": 2}),
        ({"a": {"x": 1, "y": 1}}, {"a": {"y": 2}}, {"a": {"x": 1, "y": 2}}),
        ({"a": [1, 2]}, {"a": [3]}, {"a": [3]}),
        ({"a": 1}, {"a": None}, {}),
        ({"a": {"x": 1}}, {"a": {"x": None}}, {"a": {}}),
        ({"a": {"x": 1}}, {"a": 5}, {"a": 5}),
        ({"a": 5}, {"a": {"x": 1}}, {"a": {"x": 1}}),
        ({"a": None}, {"b": {"x": None}}, {"b": {}}),
        ({}, {"a": [{"x": None}]}, {"a": [{"x": None}]}),
    ],
)
def test_merging(base: dict[str, Any], top: dict[str, Any], merged: dict[str, Any]) -> None:
    assert merge(base, top) == merged


@given(base=MAPPINGS, top=MAPPINGS)
def test_merging_keeps_every_key_of_the_top_and_no_null(base: dict[str, Any], top: dict[str, Any]) -> None:
    before = json.dumps([base, top])
    merged = merge(base, top)
    assert json.dumps([base, top]) == before
    assert merge({}, merged) == merged
    assert merge(merged, top) == merged
    for key in {*base, *top}:
        value = top.get(key, base.get(key)) if key in top else base.get(key)
        assert (key in merged) == (value is not None)
        if not isinstance(value, dict) and value is not None:
            assert merged[key] == value


def test_jobs_do_not_share_what_the_defaults_gave_them(load: Any) -> None:
    text = METAWORLD.replace("seed: 0", "seed: 0, options: {a: {b: [1]}}")
    first, second = load(text)
    first.environment.options["a"]["b"].append(2)
    assert second.environment.options == {"a": {"b": [1]}}


def test_a_job_may_leave_everything_to_the_defaults(load: Any) -> None:
    text = METAWORLD.replace("num_envs: 4", "num_envs: 4, id: reach-v3") + "  again:\n"
    assert load(text)[-1].environment.id == "reach-v3"


def test_null_takes_a_default_away(load: Any) -> None:
    text = METAWORLD + "    rollout: {episodes: null, steps: 5}\n"
    assert load(text)[1].rollout.steps == 5


def test_yaml_merge_keys_and_anchors_are_understood(load: Any) -> None:
    text = METAWORLD + "  reach2: &r\n    <<: {tags: [a]}\n    environment: {id: x}\n  reach3: *r\n"
    jobs = load(text)
    assert jobs[2].tags == jobs[3].tags == ("a",)
    assert str(jobs[3].problem(("tags",), "bad")) == "jobs.yaml:15: jobs.reach3.tags: bad"


def test_numbers_with_an_exponent_and_dates_are_read_as_people_mean_them(load: Any) -> None:
    text = METAWORLD + "    policy: {rate: 1e-3, day: 2026-01-02, path: a/b}\n"
    assert load(text)[1].policy.settings == {"rate": 0.001, "day": "2026-01-02", "path": "a/b"}


def test_problems_found_later_name_the_line_of_the_key_or_of_its_default(load: Any) -> None:
    reach = load(METAWORLD)[0]
    assert str(reach.problem(("thresholds", "success_rate"), "bad")) == (
        "jobs.yaml:9: jobs.reach.thresholds.success_rate: bad"
    )
    assert str(reach.problem(("policy", "type"), "bad")) == "jobs.yaml:5: defaults.policy.type: bad"
    assert str(reach.problem(("success",), "bad")) == "jobs.yaml:7: jobs.reach.success: bad"


def test_the_shipped_schema_is_up_to_date() -> None:
    assert SCHEMA_FILE.read_text(encoding="utf-8") == schema_text()


def test_the_schema_accepts_the_example() -> None:
    schema = job_file_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    example = yaml.safe_load(METAWORLD)
    validator.validate(example)
    example["jobs"]["reach"]["thresholds"]["success_rate"] = None
    validator.validate(example)


@pytest.mark.parametrize(
    ("where", "key", "value"),
    [
        ("jobs", "../x", {}),
        ("reach", "rolout", {}),
        ("reach", "tags", ["a-b"]),
        ("reach", "thresholds", {"success_rate": 0.9}),
        ("reach", "environment", {"num_envs": 0}),
    ],
)
def test_the_schema_refuses_what_the_loader_refuses(where: str, key: str, value: object) -> None:
    example = yaml.safe_load(METAWORLD)
    (example["jobs"] if where == "jobs" else example["jobs"]["reach"])[key] = value
    assert not jsonschema.Draft202012Validator(job_file_schema()).is_valid(example)
