"""ONNX models: any batch or a fixed one, with states of each row, and files that are none."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gymnasium
import numpy as np
import pytest

from pytest_arena import EvaluationError, MissingDependencyError
from pytest_arena.policies.onnx import model as module
from pytest_arena.policies.onnx.policy import OnnxPolicy, OnnxSettings
from pytest_arena.policies.onnx.state_names import paired_states
from tests.policy_runs import measured, run_policy

pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")

import onnxruntime

from tests.onnx_models import counting, linear, noisy, two_inputs

Box = gymnasium.spaces.Box
SEEN = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)


def acting(path: Path, seen: Any = None, num_envs: int = 3, actions: int = 2, **settings: Any) -> OnnxPolicy:
    env: Any = SimpleNamespace(
        num_envs=num_envs,
        single_action_space=Box(-5, 5, (actions,)),
        single_observation_space=seen or Box(-9, 9, (4,)),
        cameras=None,
    )
    return OnnxPolicy(OnnxSettings(checkpoint=str(path), **settings), env)


def expected(path: Path, seen: Any) -> Any:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(["actions"], {"obs": seen})[0]


@pytest.mark.parametrize("rows", ["batch", 1, 3])
def test_any_batch_or_a_fixed_one(tmp_path: Path, rows: Any) -> None:
    path = linear(tmp_path / "policy.onnx", 4, 2, rows)
    made = acting(path)
    assert made.batch == ("all" if rows == 3 else "single")
    assert made.reproducible == made.deterministic == (rows != 3)
    actions = made.act(SEEN.astype(np.float64))
    singles = [expected(linear(tmp_path / "one.onnx", 4, 2), row[None]) for row in SEEN]
    if rows == 3:
        np.testing.assert_allclose(actions, np.concatenate(singles), atol=1e-6)
    else:
        assert np.array_equal(actions, np.concatenate(singles))
    assert actions.dtype == np.float32


def test_a_batch_of_another_size_is_refused(tmp_path: Path) -> None:
    path = linear(tmp_path / "policy.onnx", 4, 2, 7)
    with pytest.raises(EvaluationError, match="it takes 7 rows at a time, and the job has 3"):
        acting(path)
    with pytest.raises(
        EvaluationError, match="it takes 1 rows at a time, and the job has 3 rows with batch: all"
    ):
        acting(linear(path, 4, 2, 1), batch="all")


@pytest.mark.parametrize(
    ("rows", "batch"), [("batch", "auto"), ("batch", "all"), (1, "auto"), (3, "auto"), (3, "all")]
)
def test_a_row_forgets_its_state_alone(tmp_path: Path, rows: Any, batch: str) -> None:
    made = acting(counting(tmp_path / "policy.onnx", 4, 2, rows), batch=batch)
    made.reset(None, [1, 2, 3])
    first, second = made.act(SEEN), made.act(SEEN)
    made.reset(np.array([1]), [4])
    third = made.act(SEEN)
    w = np.random.default_rng(2).normal(size=(4, 2)).astype(np.float32) * 0.1
    times = np.array([[3], [1], [3]], np.float32)
    np.testing.assert_allclose(first, np.tanh(SEEN @ w), atol=1e-6)
    np.testing.assert_allclose(second, np.tanh(2 * SEEN @ w), atol=1e-6)
    np.testing.assert_allclose(third, np.tanh((times * SEEN) @ w), atol=1e-6)


def test_which_outputs_are_states() -> None:
    assert paired_states(["obs", "h_in", "c_in"], ["actions", "h_out", "c_out"]) == {
        "h_in": "h_out",
        "c_in": "c_out",
    }
    assert paired_states(["x", "h0", "c"], ["y", "hn", "next_c"]) == {"h0": "hn", "c": "next_c"}
    assert paired_states(["obs"], ["actions"]) == {}


def test_states_by_other_names(tmp_path: Path) -> None:
    path = counting(tmp_path / "policy.onnx", 4, 2, names=("memory", "kept"))
    with pytest.raises(EvaluationError, match="it has the inputs obs, memory: set observation for each"):
        acting(path).act(SEEN)
    made = acting(path, states={"memory": "kept"})
    assert not np.array_equal(made.act(SEEN), made.act(SEEN))
    with pytest.raises(EvaluationError, match=r"states: it has no output 'keep'; it has actions, kept"):
        acting(path, states={"memory": "keep"})
    with pytest.raises(EvaluationError, match=r"states: it has no input 'm'; it has obs, memory"):
        acting(path, states={"m": "kept"})


def test_several_inputs(tmp_path: Path) -> None:
    path = two_inputs(tmp_path / "policy.onnx", (3, 8, 6), 4, 2)
    images = np.random.default_rng(0).integers(0, 256, (3, 8, 6, 3), np.uint8)
    w = np.random.default_rng(3).normal(size=(4, 2)).astype(np.float32)
    right = np.clip(images.mean(axis=(1, 2, 3))[:, None] + SEEN @ w, -500, 500)
    space = gymnasium.spaces.Dict(camera=Box(0, 255, (8, 6, 3), np.uint8), state=Box(-9, 9, (4,)))
    seen = {"camera": images, "state": SEEN}
    entries = {"image": {"from": "camera"}, "state": {"from": "state"}}
    made = acting(path, space, observation=entries, clip=False)
    np.testing.assert_allclose(made.act(seen), right, rtol=1e-5)
    with pytest.raises(EvaluationError, match="has no image but camera, state: set observation"):
        acting(path, space).act(seen)
    turned = {**entries, "image": {"from": "camera", "rotate": 90}}
    with pytest.raises(EvaluationError, match=r"image takes the shape \(3, 8, 6\).* gives \(6, 8, 3\)"):
        acting(path, space, observation=turned).act(seen)


def test_several_outputs(tmp_path: Path) -> None:
    path = linear(tmp_path / "policy.onnx", 4, 2, extra=True)
    raw = acting(path, action={"from": "y", "scale": 2.0}).act(SEEN)
    np.testing.assert_allclose(np.tanh(raw / 2), acting(path).act(SEEN), atol=1e-6)


def test_random_numbers_are_found(tmp_path: Path) -> None:
    made = acting(noisy(tmp_path / "policy.onnx", 4), actions=4)
    assert not made.reproducible
    assert not made.deterministic
    assert made.act(SEEN).shape == (3, 4)


def test_files_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "text.onnx").write_text("no model")
    (tmp_path / "cut.onnx").write_bytes(linear(tmp_path / "a.onnx", 4, 2).read_bytes()[:60])
    for name in ("text", "cut"):
        with pytest.raises(EvaluationError, match=rf"{name}\.onnx cannot be read: expected an ONNX model"):
            acting(tmp_path / f"{name}.onnx")
    with pytest.raises(EvaluationError, match=r"nowhere\.onnx cannot be read: No such file"):
        acting(tmp_path / "nowhere.onnx")


def test_what_does_not_fit_is_named(tmp_path: Path) -> None:
    path = linear(tmp_path / "policy.onnx", 4, 2)
    with pytest.raises(EvaluationError, match=r"obs takes the shape \(4,\), the observation gives \(3,\)"):
        acting(path).act(SEEN[:, :3])
    with pytest.raises(EvaluationError, match=r"expected actions of shape \(3, 5\), got \(3, 2\)"):
        acting(path, actions=5).act(SEEN)
    broken = SEEN.copy()
    broken[1] = np.nan
    with pytest.raises(EvaluationError, match=r"rows \[1\] are not finite"):
        acting(path).act(broken)


def test_what_the_machine_lacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = linear(tmp_path / "policy.onnx", 4, 2)
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        with pytest.raises(MissingDependencyError, match="needs onnxruntime-gpu"):
            acting(path, device="cuda:0")
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'pytest-arena\[onnx\]'"):
        acting(path)


def test_equal_episodes_with_one_row_and_three(tmp_path: Path) -> None:
    path = counting(tmp_path / "policy.onnx", 3, 1)
    policy = {"type": "onnx", "checkpoint": str(path)}
    one, three = (run_policy(tmp_path, "Pendulum-v1", policy, n) for n in (1, 3))
    assert measured(one) == measured(three)
    assert len(set(measured(one))) > 1
