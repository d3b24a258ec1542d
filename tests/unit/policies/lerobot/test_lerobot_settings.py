"""What can be said of a job with a policy of LeRobot where LeRobot is not installed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pytest_arena import JobFileError, MissingDependencyError, Policy, StrictModel
from pytest_arena.policies import registry
from pytest_arena.policies.lerobot import policy as lerobot
from pytest_arena.policies.lerobot.checkpoint import FILES, load_checkpoint
from pytest_arena.policies.registry import policy_files, validate_policy
from pytest_arena.simulators.lerobot import LeRobotSimulator, reason_of
from tests.jobs import make_job


def job(folder: Path, **policy: Any) -> Any:
    return make_job(policy={"type": "lerobot", "checkpoint": str(folder), **policy})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = tmp_path / "pretrained_model"
    found.mkdir()
    for name in FILES:
        (found / name).write_text("{}")
    return found


def test_a_folder_with_all_files_is_accepted(folder: Path) -> None:
    validate_policy(job(folder), may_import=True)


@pytest.mark.parametrize("name", FILES)
def test_each_file_must_be_there(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(JobFileError, match=rf"policy\.checkpoint: .*has no {name}"):
        validate_policy(job(folder), may_import=True)


def test_the_folder_inside_of_a_training_run_is_suggested(folder: Path) -> None:
    with pytest.raises(JobFileError, match=rf"{folder} is such a folder"):
        validate_policy(job(folder.parent), may_import=True)


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"batch": "some"}, "batch"),
        ({"execute": 0}, "execute"),
        ({"ensemble": 0.1, "execute": 2}, "execute"),
        ({"chekpoint": "x"}, "chekpoint"),
        ({"observation": {"observation.state": {"form": "x"}}}, "form"),
    ],
)
def test_wrong_settings_are_named(folder: Path, settings: Any, key: str) -> None:
    with pytest.raises(JobFileError, match=key):
        validate_policy(job(folder, **settings), may_import=True)


def test_the_simulators_job_is_checked_as_far_as_possible_without_lerobot(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    made = make_job(
        simulator="lerobot", environment={"id": "no such environment", "options": {"anything": 1}}
    )
    LeRobotSimulator().validate(made)
    with pytest.raises(MissingDependencyError, match=r"pip install 'pytest-arena\[lerobot\]'"):
        LeRobotSimulator().launch(made)
    with pytest.raises(MissingDependencyError, match=r"policy lerobot needs lerobot"):
        load_checkpoint(Path("x"), "cpu")
    for key in ({"device": "cuda"}, {"variations": {"light": 1}}):
        with pytest.raises(JobFileError, match=next(iter(key))):
            LeRobotSimulator().validate(make_job(simulator="lerobot", environment={"id": "pusht", **key}))
    with pytest.raises(JobFileError, match=r"success\.term"):
        LeRobotSimulator().validate(
            make_job(simulator="lerobot", environment={"id": "pusht"}, success={"term": "done"})
        )


def test_a_reason_has_its_cause_once() -> None:
    cause = ValueError("Unknown\n obs_type")
    error = TypeError("cannot be made")
    error.__cause__ = cause
    assert reason_of(error) == "cannot be made Unknown obs_type"
    assert reason_of(KeyError()) == "KeyError"


class Settings(StrictModel):
    model: str
    spare: str | None = None


class Foldered(Policy):
    """A built-in policy that is loaded from a folder."""

    Settings = Settings
    folder_settings = ("model", "spare")

    def act(self, observation: Any) -> Any:
        raise NotImplementedError


class TestFolderSettings:
    @pytest.fixture(autouse=True)
    def built_in(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        monkeypatch.setitem(registry.BUILT_IN, "foldered", f"{__name__}:Foldered")
        registry._targets.cache_clear()
        monkeypatch.setattr(registry, "_import", lambda kind, job: Foldered)
        yield
        registry._targets.cache_clear()

    def test_must_be_folders(self, folder: Path) -> None:
        good = make_job(policy={"type": "foldered", "model": str(folder)})
        validate_policy(good, may_import=True)
        for wrong in (folder / FILES[0], folder / "nothing"):
            made = make_job(policy={"type": "foldered", "model": str(wrong)})
            with pytest.raises(JobFileError, match=r"policy\.model: expected a folder, there is none at"):
                validate_policy(made, may_import=True)

    def test_every_file_in_them_counts(self, folder: Path) -> None:
        made = make_job(policy={"type": "foldered", "model": str(folder)})
        before = policy_files(made)
        assert list(before) == ["model"]
        (folder / FILES[-1]).write_text("[]")
        assert policy_files(made) != before


def test_parts_of_an_observation_are_nested_as_lerobot_has_them() -> None:
    state = np.zeros((2, 3))
    nested = lerobot._nested({"pixels.top": state, "pixels.side": state, "agent_pos": state})
    assert nested == {"pixels": {"top": state, "side": state}, "agent_pos": state}
