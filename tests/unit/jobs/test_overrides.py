from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jobs_examples import METAWORLD, SHARED_RUNS

from pytest_arena import JobFileError
from pytest_arena.jobs.overrides import Override, parse_override


@pytest.mark.parametrize(
    ("text", "job", "key", "value"),
    [
        ("rollout.episodes=2", None, ("rollout", "episodes"), 2),
        ("reach:rollout.episodes=2", "reach", ("rollout", "episodes"), 2),
        ("policy.checkpoint=run42.pt", None, ("policy", "checkpoint"), "run42.pt"),
        ("policy.url=http://host:80/?a=b", None, ("policy", "url"), "http://host:80/?a=b"),
        ("policy.prompt=pick: the cube # 2", None, ("policy", "prompt"), "pick: the cube # 2"),
        ("thresholds.success_rate=>= 0.9", None, ("thresholds", "success_rate"), ">= 0.9"),
        ("thresholds.r=0.2..0.4", None, ("thresholds", "r"), "0.2..0.4"),
        ("tags=[a, b]", None, ("tags",), ["a", "b"]),
        ("environment={num_envs: 2}", None, ("environment",), {"num_envs": 2}),
        ("policy.a='1'", None, ("policy", "a"), "1"),
        ("policy.a=''", None, ("policy", "a"), ""),
        ("policy.a=1e-3", None, ("policy", "a"), 0.001),
        ("policy.a=null", None, ("policy", "a"), None),
        ("policy.a=~", None, ("policy", "a"), None),
        ("policy.a=*.pt", None, ("policy", "a"), "*.pt"),
        ("policy.a=!x", None, ("policy", "a"), "!x"),
        ("record.video=off", None, ("record", "video"), False),
        (" policy.a = 3 ", None, ("policy", "a"), 3),
    ],
)
def test_parsing(text: str, job: str | None, key: tuple[str, ...], value: object) -> None:
    assert parse_override(text) == Override(job, key, value, text)


def test_a_number_of_thousands_of_digits_is_refused() -> None:
    with pytest.raises(JobFileError, match=r"^--arena-set policy.a=999.*expected a number"):
        parse_override("policy.a=" + "9" * 5000)


def refusal(text: str) -> str | None:
    try:
        parse_override(text)
    except JobFileError as error:
        return str(error)
    return None


@given(st.text())
def test_any_text_is_an_override_or_an_error_of_one_line(text: str) -> None:
    message = refusal(text)
    assert message is None or (message.startswith("--arena-set ") and message.isprintable())


@given(st.text(min_size=1))
def test_any_value_is_read_or_refused_in_one_line(value: str) -> None:
    message = refusal(f"policy.a={value}")
    assert message is None or message.isprintable()


def test_all_jobs_or_one(load: Any) -> None:
    reach, door = load(METAWORLD, overrides=["rollout.episodes=2", "reach:environment.seed=7"])
    assert (reach.rollout.episodes, door.rollout.episodes) == (2, 2)
    assert (reach.environment.seed, door.environment.seed) == (7, 0)


def test_the_last_one_wins(load: Any) -> None:
    reach, door = load(METAWORLD, overrides=["door_open:rollout.episodes=3", "rollout.episodes=2"])
    assert (reach.rollout.episodes, door.rollout.episodes) == (2, 2)


def test_a_mapping_is_merged_and_null_removes(load: Any) -> None:
    overrides = ["environment={seed: 1}", "thresholds.episode_length=null", "record.video=off"]
    reach = load(METAWORLD, overrides=overrides)[0]
    assert reach.environment.num_envs == 4
    assert reach.environment.seed == 1
    assert reach.thresholds == {"success_rate": ">= 0.95"}
    assert reach.record.video == "off"


def test_one_limit_replaces_the_other(load: Any) -> None:
    assert load(METAWORLD, overrides=["rollout.steps=5"])[0].rollout.model_dump() == {
        "episodes": None,
        "steps": 5,
        "rebuilds": 1,
        "shards": 1,
        "only": None,
        "timeout": None,
    }
    assert load(SHARED_RUNS, overrides=["rollout={episodes: 5}"])[0].rollout.steps is None


def test_an_override_mends_a_file(load: Any) -> None:
    broken = METAWORLD.replace("episodes: 20", "episodes: ten")
    assert load(broken, overrides=["rollout.episodes=2"])[0].rollout.episodes == 2


def test_problems_found_later_name_the_override(load: Any) -> None:
    job = load(METAWORLD, overrides=["policy.type=nope"])[0]
    assert str(job.problem(("policy", "type"), "unknown")) == "--arena-set policy.type=nope: unknown"
