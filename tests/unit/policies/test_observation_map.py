"""The map from an environment's observation to a model's inputs."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box
from pydantic import ValidationError

from pytest_arena import EvaluationError
from pytest_arena.policies.images import fitted
from pytest_arena.policies.observation import ObservationEntry, ObservationMap, describe_inputs, whole
from pytest_arena.simulators.tensor_cameras import TensorCameras

torch = pytest.importorskip("torch")

SPACE = gymnasium.spaces.Dict(
    pixels=gymnasium.spaces.Dict(top=Box(0, 255, (4, 6, 3), np.uint8)),
    agent_pos=Box(-1, 1, (4,), np.float64),
    gripper=Box(-1, 1, (1,), np.float64),
)
ROWS = np.array([0, 2])


class Cameras:
    names = ("front",)

    def frames(self, env_ids: Any) -> Any:
        return {"front": np.stack([np.full((2, 2, 3), row, np.uint8) for row in env_ids])}


def env(space: Any = SPACE) -> Any:
    return SimpleNamespace(single_observation_space=space, cameras=Cameras())


def observation() -> Any:
    rng = np.random.default_rng(0)
    return {
        "pixels": {"top": rng.integers(0, 256, (3, 4, 6, 3), np.uint8)},
        "agent_pos": np.arange(12.0).reshape(3, 4),
        "gripper": np.array([[7.0], [8.0], [9.0]]),
    }


def mapped(given: Any = None, **entries: Any) -> Any:
    made = ObservationMap({k: ObservationEntry.model_validate(v) for k, v in entries.items()}, env())
    made.task_description = "push"
    return made(observation() if given is None else given, ROWS)


def test_gives_the_rows_that_are_asked_for_under_the_models_names() -> None:
    inputs = mapped(
        state={"from": ["agent_pos", "gripper"]}, image={"from": "pixels.top"}, prompt={"instruction": True}
    )
    assert inputs["state"].tolist() == [[0, 1, 2, 3, 7], [8, 9, 10, 11, 9]]
    assert (inputs["image"] == observation()["pixels"]["top"][ROWS]).all()
    assert inputs["prompt"] == ["push", "push"]


def test_images_of_cameras_are_inputs() -> None:
    assert mapped(image={"camera": "front"})["image"][:, 0, 0, 0].tolist() == [0, 2]


def test_a_camera_is_an_input_whatever_was_chosen_for_films() -> None:
    """By a job before in the same environment, or by a recorder of this one."""
    images = {"front": torch.full((3, 2, 2, 3), 5, dtype=torch.uint8), "top": torch.zeros(3, 2, 2, 3)}
    cameras = TensorCameras(("front", "top"), images.__getitem__, 3, "cpu")
    cameras.choose(["top"])
    given: Any = SimpleNamespace(single_observation_space=SPACE, cameras=cameras)
    made = ObservationMap({"image": ObservationEntry(camera="front")}, given)
    assert (made(observation(), ROWS)["image"] == 5).all()
    assert set(cameras.frames(ROWS)) == {"front", "top"}


def test_takes_scales_and_converts() -> None:
    (entry,) = mapped(
        q={"from": "agent_pos", "take": [3, 0], "scale": [1.0, -1.0], "dtype": "float32"}
    ).values()
    assert (entry.tolist(), entry.dtype) == ([[3, -0.0], [11, -8]], np.float32)


def test_turns_and_mirrors_images() -> None:
    image = observation()["pixels"]["top"][ROWS]
    assert (mapped(i={"from": "pixels.top", "rotate": 180})["i"] == image[:, ::-1, ::-1]).all()
    assert (mapped(i={"from": "pixels.top", "flip": "horizontal"})["i"] == image[:, :, ::-1]).all()
    assert (mapped(i={"from": "pixels.top", "flip": "vertical"})["i"] == image[:, ::-1]).all()
    assert mapped(i={"from": "pixels.top", "rotate": 90})["i"].shape == (2, 6, 4, 3)


def test_resizes_with_and_without_padding() -> None:
    white = np.full((1, 10, 20, 3), 255, np.uint8)
    assert (fitted(white, (8, 8), pad=False) == 255).all()
    padded = fitted(white, (8, 8), pad=True)
    assert (padded[0, 2:6] == 255).all()
    assert (padded[0, :2] == 0).all()
    assert (padded[0, 6:] == 0).all()


def test_tensors_leave_their_device_and_keep_their_rows() -> None:
    given = {k: torch.as_tensor(v) if k != "pixels" else v for k, v in observation().items()}
    assert mapped(given, state={"from": "gripper"})["state"].tolist() == [[7], [9]]


def test_the_inputs_are_owned() -> None:
    given = observation()
    mapped(given, state={"from": "gripper"})["state"][:] = 0
    assert given["gripper"].tolist() == [[7], [8], [9]]


def test_without_a_map_every_part_has_its_path() -> None:
    assert set(whole(env())) == {"pixels.top", "agent_pos", "gripper"}
    assert set(whole(env(Box(0, 1, (2,))))) == {"."}


def test_says_what_a_model_was_given() -> None:
    text = describe_inputs(mapped(s={"from": "gripper"}, p={"instruction": True}))
    assert text == "s: (1,) float64 in 7 .. 9; p: text 'push'"


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (
            {"from": "agent_poss"},
            r"policy.observation.x: the observation has no 'agent_poss' \(did you mean 'agent_pos'",
        ),
        ({"camera": "back"}, "no camera 'back'; it has front"),
    ],
)
def test_what_the_environment_lacks_is_said_before_the_first_episode(entry: Any, words: str) -> None:
    with pytest.raises(EvaluationError, match=words):
        ObservationMap({"x": ObservationEntry.model_validate(entry)}, env())


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (
            {"from": "gripper", "rotate": 90},
            r"policy.observation.x: expected images, got values of shape \(1,\)",
        ),
        ({"from": "gripper", "take": [5]}, "policy.observation.x: index 5 is out of bounds"),
        (
            {"from": "agent_pos", "scale": [1.0, 2.0]},
            "policy.observation.x: expected 4 numbers to scale by, one for each value, got 2",
        ),
    ],
)
def test_what_cannot_be_done_is_named(entry: Any, words: str) -> None:
    with pytest.raises(EvaluationError, match=words):
        mapped(x=entry)


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({}, "exactly one of from, camera and instruction"),
        ({"from": "a", "camera": "b"}, "exactly one of"),
        ({"from": "a", "pad": True}, "expected resize beside pad"),
        ({"from": []}, "at least one path"),
        ({"from": "a", "resize": [0, 3]}, "height, width"),
        ({"instruction": True, "resize": [2, 2]}, "nothing beside instruction"),
    ],
)
def test_entries_are_validated(entry: Any, words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        ObservationEntry.model_validate(entry)


@pytest.mark.parametrize("entry", [{"take": [0, 0]}, {"scale": [1.0, 2.0]}])
def test_a_single_number_has_no_values_to_choose(entry: Any) -> None:
    """Else rows would be taken in place of values: two rows would both get what the first one saw."""
    found = ObservationMap(
        {"x": ObservationEntry.model_validate({"from": ".", **entry})}, env(gymnasium.spaces.Discrete(5))
    )
    with pytest.raises(EvaluationError, match=r"policy\.observation\.x: .* got a single number"):
        found(np.arange(3), ROWS)


@pytest.mark.parametrize("entry", [{"scale": 2.0}, {"dtype": "float32"}])
def test_texts_are_no_numbers(entry: Any) -> None:
    found = ObservationMap(
        {"x": ObservationEntry.model_validate({"from": ".", **entry})}, env(gymnasium.spaces.Text(3))
    )
    with pytest.raises(EvaluationError, match=r"policy\.observation\.x: "):
        found(("a", "b", "c"), ROWS)
