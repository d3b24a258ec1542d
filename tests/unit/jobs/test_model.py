from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import BaseModel, Field, ValidationError

from pytest_arena import Job, StrictModel
from pytest_arena.errors import shown
from pytest_arena.jobs.messages import KeyPath, dotted, fields_at, place, plain_error, plain_errors
from pytest_arena.jobs.model import Source
from tests.jobs import make_job

MINIMAL = {
    "name": "reach",
    "simulator": "metaworld",
    "environment": {"id": "reach-v3"},
    "policy": {"type": "metaworld_expert", "noise": 0.1},
    "rollout": {"episodes": 2},
}


def job(**changes: object) -> Job:
    return Job.model_validate({**MINIMAL, **changes})


def test_every_default_is_filled_in() -> None:
    made = job()
    assert made.environment.num_envs == 1
    assert made.environment.seed == 0
    assert made.rollout.rebuilds == 1
    assert made.success.when == "once"
    assert made.record.video is None
    assert made.policy.settings == {"noise": 0.1}


def test_the_hash_does_not_depend_on_the_order_of_keys() -> None:
    turned = Job.model_validate(dict(reversed(MINIMAL.items())))
    assert turned.sha256() == job().sha256()
    assert turned.sha256() != job(language_instruction="reach").sha256()


def test_the_config_is_plain_json_and_gives_the_same_job() -> None:
    made = job(tags=["smoke"], record={"cameras": ["corner"]})
    assert made.config()["tags"] == ["smoke"]
    assert Job.model_validate(made.config()) == made


@pytest.mark.parametrize(("typed", "meant"), [(False, "off"), (True, "on"), ("off", "off")])
def test_yaml_switches_are_words(typed: object, meant: str) -> None:
    assert job(record={"video": typed}).record.video == meant


@pytest.mark.parametrize(
    "name", ["../x", "/x", "", ".", "..", "x" * 101, "a/b", "a\\b", "C:run", "x\n", "_x", "é", "a b"]
)
def test_names_that_are_no_safe_folder_are_refused(name: str) -> None:
    with pytest.raises(ValidationError, match="expected a name"):
        job(name=name)


@pytest.mark.parametrize("name", ["x", "0", "a.b-c_d", "x" * 100])
def test_safe_names(name: str) -> None:
    assert job(name=name).name == name


@pytest.mark.parametrize("tag", ["a-b", "1a", "", "a b", "skip", "skipif", "xfail", "arena", "trylast"])
def test_tags_that_are_no_mark_of_the_user_are_refused(tag: str) -> None:
    with pytest.raises(ValidationError, match="expected a tag"):
        job(tags=[tag])


@pytest.mark.parametrize(
    "rollout",
    [
        {},
        {"episodes": 1, "steps": 1},
        {"episodes": 0},
        {"episodes": True},
        {"episodes": 2.0},
        {"episodes": 1, "rebuilds": 2},
        {"steps": "all"},
        {"episodes": 1, "timeout": 0},
        {"episodes": 1, "timeout": float("inf")},
    ],
)
def test_impossible_rollouts(rollout: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        job(rollout=rollout)


def test_steps_may_be_the_policys() -> None:
    assert job(rollout={"steps": "policy"}).rollout.steps == "policy"


def test_a_job_made_in_python_names_its_key() -> None:
    assert str(job().problem(("policy", "noise"), "expected 0")) == "jobs.reach.policy.noise: expected 0"


def test_a_job_knows_where_it_was_written() -> None:
    def locate(key: KeyPath) -> tuple[int | None, str]:
        return 7, dotted(("jobs", "reach", *key))

    written = job().written_in(Source(Path("jobs.yaml"), locate))
    assert str(written.problem(("environment", "id"), "expected x")) == (
        "jobs.yaml:7: jobs.reach.environment.id: expected x"
    )


def test_a_key_set_on_the_command_line_has_that_as_its_place() -> None:
    overridden: tuple[tuple[KeyPath, str], ...] = (
        (("policy", "noise"), "policy.noise=1"),
        (("policy", "noise"), "policy.noise=2"),
    )
    source = Source(Path("jobs.yaml"), lambda key: (7, dotted(key)), overridden)
    assert str(source.problem(("policy", "noise"), "bad")) == "--arena-set policy.noise=2: bad"
    assert str(source.problem(("policy", "noise", 0), "bad")) == "--arena-set policy.noise=2: [0]: bad"
    assert str(source.problem(("policy",), "bad")) == "--arena-set policy.noise=2: jobs.yaml:7: policy: bad"
    assert str(source.problem(("rollout",), "bad")) == "jobs.yaml:7: rollout: bad"


def test_names_of_keys_and_values_stay_on_one_line() -> None:
    assert dotted(("jobs", 0, "a b", "x\n", "id")) == "jobs[0]['a b']['x\\n'].id"
    assert shown("a\nb") == "'a\\nb'"
    assert shown("x" * 1000).endswith("…'")
    assert shown(10**400) == "a huge integer"
    assert shown(None) == "null"
    assert shown([]) == "an empty list"


def test_a_place_is_relative_where_that_is_shorter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert place(tmp_path / "a.yaml", 3) == "a.yaml:3"
    assert place(Path("/a")) == "/a"
    assert place(Path("a\nb")) == r"'a\nb'"


class Inner(StrictModel):
    size: int | str | None = None


class Empty(StrictModel):
    pass


class Settings(BaseModel):
    nothing: Empty = Empty()
    said: Literal[True] | None = None
    inner: Inner = Inner()
    many: dict[str, Inner] = Field(default_factory=dict)
    listed: list[Inner] | None = None
    path: str = Field(description="where it is")


class Policy(StrictModel):
    checkpoint: str


@pytest.mark.parametrize(
    ("data", "key", "expectation"),
    [
        ({"inner": {"size": []}}, ("inner", "size"), "expected an integer or text, got an empty list"),
        ({"many": {"a": {"sise": 1}}}, ("many", "a", "sise"), "unknown key (did you mean 'size'?)"),
        ({"listed": [{"zzz": 1}]}, ("listed", 0, "zzz"), "unknown key; known: size"),
        ({"inner": 3}, ("inner",), "expected a mapping, got 3"),
        ({"nothing": {"x": 1}}, ("nothing", "x"), "unknown key; known: none"),
        ({"said": False}, ("said",), "expected true, got false"),
        ({}, ("path",), "required, but missing (where it is)"),
        ({"path": 3}, ("path",), "expected text, got 3 (put it in quotes)"),
    ],
)
def test_findings_in_plain_words(data: dict[str, object], key: KeyPath, expectation: str) -> None:
    full = {"path": "x", **data} if data else data
    with pytest.raises(ValidationError) as caught:
        Settings.model_validate(full)
    assert plain_error(caught.value, Settings) == (key, expectation)
    assert len(plain_errors(caught.value, Settings)) == 1


def test_a_misspelt_key_is_said_before_the_one_that_is_missing_for_it() -> None:
    with pytest.raises(ValidationError) as caught:
        Policy.model_validate({"chekpoint": "policy.pt"})
    assert plain_error(caught.value, Policy) == (
        ("chekpoint",),
        "unknown key (did you mean 'checkpoint'?)",
    )


def test_known_keys_of_a_place() -> None:
    assert fields_at(Settings, ("listed", 0)) == {"size"}
    assert fields_at(Settings, ("path",)) is None
    assert fields_at(Job, ("policy",)) is None
    assert fields_at(Job, ("environment", "cameras", "corner")) == {"width", "height"}


def test_a_part_of_a_job_has_no_verdict() -> None:
    rules: dict[str, Any] = {"thresholds": {"success_rate": ">= 0.5"}, "regression": {}}
    job = make_job(rollout={"episodes": 9, "only": [7, 2]}, **rules)
    for part in (job, job.as_run):
        assert [*part.wanted_episodes] == [2, 7]
    assert (job.as_run.thresholds, job.as_run.gate, job.as_run.regression) == ({}, None, None)
    assert make_job(rollout={"episodes": 9, "only": [2, 7]}, **rules).sha256() == job.sha256()
    whole = make_job(rollout={"episodes": 9}, **rules)
    assert whole.as_run is whole
    assert whole.config()["rollout"]["only"] is None
