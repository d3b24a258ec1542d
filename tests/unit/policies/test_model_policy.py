"""What policies from files share: rows without an episode, tensors that stay where they are, the maps."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gymnasium
import numpy as np
import pytest
from pydantic import ValidationError

from pytest_arena import EvaluationError, JobFileError
from pytest_arena.evaluation.validate import validate
from pytest_arena.policies.file_kinds import kind_of_file, other_kind
from pytest_arena.policies.model_policy import FileSettings, ModelPolicy
from tests.jobs import make_job

Box = gymnasium.spaces.Box
SEEN = np.arange(6, dtype=np.float32).reshape(3, 2)


class Doubling(ModelPolicy):
    """Gives twice what it sees, and notes for whom."""

    def __init__(self, settings: FileSettings, env: Any) -> None:
        super().__init__(settings, env)
        self.asked: list[list[int]] = []
        self.begun: list[tuple[list[int], list[int]]] = []

    def compute(self, rows: Any, inputs: Any) -> Any:
        self.asked.append(rows.tolist())
        return {k: v * 2 for k, v in inputs.items()} if isinstance(inputs, dict) else inputs * 2

    def forget(self, rows: Any, seeds: Any) -> None:
        self.begun.append((rows.tolist(), list(seeds)))


def acting(folder: Path, space: Any = None, seen: Any = None, **settings: Any) -> Doubling:
    (folder / "file").write_text("x")
    env: Any = SimpleNamespace(
        num_envs=3,
        single_action_space=space or Box(-99, 99, (2,)),
        single_observation_space=seen or Box(-9, 9, (2,)),
        cameras=None,
    )
    return Doubling(FileSettings.model_validate({"checkpoint": str(folder / "file"), **settings}), env)


def test_rows_without_an_episode_are_not_computed(tmp_path: Path) -> None:
    made = acting(tmp_path)
    made.reset(None, [4, 5, 6])
    made.end_episodes(np.array([0, 2]), [])
    seen = SEEN.copy()
    seen[0] = np.nan
    assert made.act(seen).tolist() == [[0, 0], [4, 6], [0, 0]]
    made.reset(np.array([2]), [7])
    assert made.act(seen).tolist() == [[0, 0], [4, 6], [8, 10]]
    assert made.asked == [[1], [1], [2]]
    assert made.begun == [([0, 1, 2], [4, 5, 6]), ([2], [7])]


@pytest.mark.parametrize("batch", ["single", "all"])
def test_while_no_row_has_an_episode_nothing_is_computed(tmp_path: Path, batch: str) -> None:
    """As when all rows have ended in one step, and reset themselves in the next: a model may take one only."""
    made = acting(tmp_path, batch=batch)
    made.reset(None, [4, 5, 6])
    made.end_episodes(np.array([0, 1, 2]), [])
    actions = made.act(SEEN)
    assert (actions.tolist(), actions.dtype, made.asked) == ([[0, 0]] * 3, np.float32, [])


def test_all_rows_together_may_have_anything_where_no_episode_is(tmp_path: Path) -> None:
    made = acting(tmp_path, batch="all")
    made.reset(None, [4, 5, 6])
    seen = SEEN.copy()
    seen[0] = np.nan
    with pytest.raises(EvaluationError, match=r"the actions of rows \[0\] are not finite"):
        made.act(seen)
    made.end_episodes(np.array([0]), [])
    assert made.act(seen)[1:].tolist() == [[4, 6], [8, 10]]
    assert made.asked == [[0, 1, 2]] * 2


def test_limits_of_the_action_space(tmp_path: Path) -> None:
    box = Box(-1, 3, (2,))
    assert acting(tmp_path, box).act(SEEN).max() == 3
    assert acting(tmp_path, box, clip=False).act(SEEN).max() == 10
    assert acting(tmp_path, box, action={"clip": False}).act(SEEN).max() == 10
    assert acting(tmp_path, box, action={"scale": 0.1}).act(SEEN).max() == 1
    with pytest.raises(ValidationError, match="expected clip in action"):
        acting(tmp_path, box, clip=False, action={})


def test_the_maps_of_the_job(tmp_path: Path) -> None:
    space = gymnasium.spaces.Dict(a=Box(-9, 9, (1,)), b=Box(-9, 9, (1,)))
    entries = {"x": {"from": ["b", "a"]}}
    made = acting(tmp_path, seen=space, observation=entries, action={"from": "x", "take": [1, 0]})
    actions = made.act({"a": SEEN[:, :1], "b": SEEN[:, 1:]})
    assert actions.tolist() == (SEEN * 2).tolist()
    both = acting(tmp_path, seen=space, observation={"x": {"from": "a"}, "y": {"from": "b"}})
    with pytest.raises(EvaluationError, match=r"it has the outputs x, y: say which, action: \{from: …\}"):
        both.act({"a": SEEN[:, :1], "b": SEEN[:, 1:]})
    with pytest.raises(EvaluationError, match=r"policy\.observation\.x: the observation has no 'c'"):
        acting(tmp_path, seen=space, observation={"x": {"from": "c"}})


def test_more_than_one_step_is_refused(tmp_path: Path) -> None:
    made = acting(tmp_path, seen=Box(-9, 9, (4, 2)), action={})
    with pytest.raises(EvaluationError, match="expected one action a row, got a chunk of 4"):
        made.act(np.zeros((3, 4, 2), np.float32))


@pytest.mark.parametrize("batch", ["single", "all"])
def test_tensors_stay_on_their_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch: str) -> None:
    torch = pytest.importorskip("torch")
    made = acting(tmp_path, Box(-1, 3, (2,)), batch=batch)
    seen = torch.as_tensor(SEEN)

    def refuse(*args: Any) -> Any:
        raise AssertionError("a copy on the host")

    for name in ("cpu", "numpy", "tolist", "__array__"):
        monkeypatch.setattr(torch.Tensor, name, refuse)
    actions = made.act(seen)
    monkeypatch.undo()
    assert actions.tolist() == np.clip(SEEN * 2, -1, 3).tolist()


@pytest.mark.parametrize("kind", ["sb3", "rsl_rl", "onnx", "torch"])
def test_missing_files_are_found_before_anything_runs(kind: str) -> None:
    with pytest.raises(JobFileError, match=r"policy\.checkpoint: expected a file, there is none at"):
        validate(make_job(policy={"type": kind, "checkpoint": "nowhere.bin"}))


def test_kinds_of_files(tmp_path: Path) -> None:
    for name, content, kind in [
        ("a", b"\x89HDF\r\n\x1a\n....", "hdf5"),
        ("b", b"\x80\x04K\x01.", "pickle"),
        ("c", b"\x08\x09\x12\x04some", "onnx"),
        ("d", b"\x10\x00\x00\x00\x00\x00\x00\x00{}", "safetensors"),
        ("e", b"text", None),
        ("f", b"", None),
    ]:
        (tmp_path / name).write_bytes(content)
        assert kind_of_file(tmp_path / name) == kind
    assert kind_of_file(tmp_path) is None
    assert other_kind(tmp_path / "c", "sb3") == "; this is an ONNX model: use type: onnx"
    assert other_kind(tmp_path / "c", "onnx") == ""
    assert other_kind(tmp_path / "e") == ""
