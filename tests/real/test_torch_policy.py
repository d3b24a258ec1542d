"""Policies from PyTorch checkpoints: the right numbers, and never the file's own code."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import json
import os
import pickle
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gymnasium
import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from pytest_arena import EvaluationError, MissingDependencyError
from pytest_arena.policies.torch_module import TorchModule, TorchSettings

OBSERVATIONS = np.random.default_rng(0).normal(size=(8, 6))


def network(outputs: int = 4, scale: float = 1.0) -> Any:
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Linear(6, 32), torch.nn.Tanh(), torch.nn.Linear(32, outputs))
    with torch.no_grad():
        module[2].weight *= scale
    return module.eval()


def save_script(module: Any, path: Path) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.save(torch.jit.script(module), path)
    return path


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_script(network(), tmp_path_factory.mktemp("script") / "policy.pt")


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("program") / "policy.pt2"
    rows = ({0: torch.export.Dim("rows")},)
    torch.export.save(torch.export.export(network(), (torch.zeros(2, 6),), dynamic_shapes=rows), path)
    return path


def policy(
    path: Path, limit: float = 1.0, num_envs: int = 8, seen: dict[str, int] | None = None, **settings: Any
) -> TorchModule:
    box = gymnasium.spaces.Box
    parts = {key: box(-9, 9, (size,)) for key, size in (seen or {}).items()}
    env: Any = SimpleNamespace(
        num_envs=num_envs,
        single_action_space=box(-limit, limit, (4,)),
        single_observation_space=gymnasium.spaces.Dict(parts),
        cameras=None,
    )
    return TorchModule(TorchSettings.model_validate({"checkpoint": str(path), **settings}), env)


@pytest.mark.parametrize("kind", ["script", "program"])
@pytest.mark.parametrize("batch", ["all", "single"])
def test_both_kinds_give_the_modules_own_actions(request: Any, kind: str, batch: Any) -> None:
    path = request.getfixturevalue(kind)
    kept = OBSERVATIONS.copy()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        actions = policy(path, batch=batch).act(OBSERVATIONS)
    with torch.no_grad():
        expected = network()(torch.as_tensor(OBSERVATIONS, dtype=torch.float32)).clamp(-1, 1)
    assert actions.dtype == np.float32
    np.testing.assert_allclose(actions, expected.numpy(), atol=1e-6)
    assert np.array_equal(OBSERVATIONS, kept)


@pytest.mark.parametrize("kind", ["script", "program"])
def test_alone_or_in_a_batch_a_row_gets_the_same_action(request: Any, kind: str) -> None:
    eight, one = (policy(request.getfixturevalue(kind), num_envs=n) for n in (8, 1))
    together = eight.act(OBSERVATIONS)
    for i in range(8):
        assert np.array_equal(one.act(OBSERVATIONS[i : i + 1])[0], together[i])
    assert np.array_equal(eight.act(OBSERVATIONS[::-1].copy()), together[::-1])


def test_what_it_says_of_itself(script: Path) -> None:
    threads = torch.get_num_threads()
    single, together = policy(script), policy(script, batch="all")
    assert (single.reproducible, together.reproducible) == (True, False)
    assert single.identity["sha256"] == hashlib.sha256(script.read_bytes()).hexdigest()
    assert single.identity["checkpoint"] == str(script)
    assert single.identity["batch"] == "single"
    assert json.loads(json.dumps(dict(single.identity))) == dict(single.identity)
    assert torch.get_num_threads() == threads


def test_actions_are_clipped_to_the_space_unless_told_otherwise(tmp_path: Path) -> None:
    path = save_script(network(scale=50.0), tmp_path / "wild.pt")
    assert np.abs(policy(path, limit=0.5).act(OBSERVATIONS)).max() == 0.5
    assert np.abs(policy(path, limit=0.5, clip=False).act(OBSERVATIONS)).max() > 1.0


def test_tensors_in_tensors_out(script: Path) -> None:
    actions = policy(script).act(torch.as_tensor(OBSERVATIONS))
    assert isinstance(actions, torch.Tensor)
    assert np.array_equal(actions.numpy(), policy(script).act(OBSERVATIONS))


@pytest.mark.parametrize("convert", [np.asarray, torch.as_tensor])
def test_dicts_are_joined_in_the_order_asked_for(script: Path, convert: Callable[..., Any]) -> None:
    parts = {
        "hand": convert(OBSERVATIONS[:, :4].reshape(8, 2, 2)),
        "goal": convert(OBSERVATIONS[:, 4:]),
        "unused": convert(OBSERVATIONS),
    }
    actions = policy(script, observation_keys=("hand", "goal")).act(parts)
    assert np.array_equal(np.asarray(actions), policy(script).act(OBSERVATIONS))
    with pytest.raises(EvaluationError, match="set observation_keys to some of goal, hand, unused"):
        policy(script).act(parts)
    with pytest.raises(EvaluationError, match="has no arm; it has goal, hand, unused"):
        policy(script, observation_keys=("hand", "arm")).act(parts)


def test_wrong_outputs_are_named(tmp_path: Path, script: Path) -> None:
    three = save_script(network(outputs=3), tmp_path / "three.pt")
    with pytest.raises(EvaluationError, match=r"three\.pt: expected actions of shape \(8, 4\), got \(8, 3\)"):
        policy(three).act(OBSERVATIONS)
    broken = OBSERVATIONS.copy()
    broken[5, 0] = np.nan
    with pytest.raises(EvaluationError, match=r"rows \[5\] are not finite"):
        policy(script).act(broken)
    with pytest.raises(EvaluationError, match=r"failed on observations of shape \(8, 5\)"):
        policy(script).act(OBSERVATIONS[:, :5])


class Trap:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.mark),)


def refuse_or_ignore(path: Path, mark: Path, expected: str | None) -> None:
    if expected is None:
        policy(path).act(OBSERVATIONS)
    else:
        with pytest.raises(EvaluationError, match=expected):
            policy(path)
    assert not mark.exists()


@pytest.mark.parametrize("kind", ["module", "state dict", "pickle", "text"])
def test_pickles_are_refused_unopened(tmp_path: Path, kind: str) -> None:
    path, mark = tmp_path / "policy.pt", tmp_path / "mark"
    if kind == "module":
        torch.save(Trap(mark), path)
    elif kind == "state dict":
        torch.save(network().state_dict(), path)
    else:
        path.write_bytes(pickle.dumps(Trap(mark)) if kind == "pickle" else b"not a checkpoint")
    refuse_or_ignore(path, mark, r"policy\.pt: expected a TorchScript archive .* or an exported program")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match=r"nowhere\.pt cannot be read: No such file"):
        policy(tmp_path / "nowhere.pt")


def forged(source: Path, target: Path, forge: Callable[[str, bytes], bytes], **added: bytes) -> Path:
    """Copy an exported program with parts replaced and added."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        root = old.namelist()[0].partition("/")[0]
        for name in old.namelist():
            new.writestr(name, forge(name.partition("/")[2], old.read(name)))
        for name, data in added.items():
            new.writestr(f"{root}/{name}", data)
    return target


def test_pickled_sample_inputs_are_never_opened(tmp_path: Path, program: Path) -> None:
    mark, payload = tmp_path / "mark", io.BytesIO()
    torch.save(((Trap(mark),), {}), payload)
    path = forged(
        program,
        tmp_path / "forged.pt2",
        lambda name, data: payload.getvalue() if name.startswith("data/sample_inputs") else data,
    )
    refuse_or_ignore(path, mark, None)


@pytest.mark.parametrize(
    ("config", "entry", "file"),
    [
        ("weights/model_weights_config", {"use_pickle": True, "path_name": "weight_0"}, "weights/weight_0"),
        ("constants/model_constants_config", {"use_pickle": True, "path_name": "opaque_obj_0"}, "x"),
        ("constants/model_constants_config", {"use_pickle": False, "path_name": "custom_obj_0"}, "x"),
    ],
)
def test_pickled_weights_and_constants_are_refused(
    tmp_path: Path, program: Path, config: str, entry: dict[str, Any], file: str
) -> None:
    mark = tmp_path / "mark"

    def forge(name: str, data: bytes) -> bytes:
        if name == f"data/{config}.json":
            forged_entry = {"is_param": False, "tensor_meta": None, **entry}
            return json.dumps({"config": {"0.weight": forged_entry}}).encode()
        return pickle.dumps(Trap(mark)) if name == f"data/{file}" else data

    added = {f"data/constants/{entry['path_name']}": pickle.dumps(Trap(mark))}
    path = forged(program, tmp_path / "forged.pt2", forge, **added)
    refuse_or_ignore(path, mark, "is not accepted")


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("torch.ops.aten.tanh.default", "torch.os.mkdir", "target 'torch.os.mkdir' is not accepted"),
        ("positive=True", "positive=exec(chr(49))", "expr_str .* is not accepted"),
        ('"forward_arg_names": ["input"]', '"forward_arg_names": ["input=print()"]', "is not accepted"),
        ('\\"builtins.dict\\"', '\\"collections.defaultdict\\"', "in_spec .* is not accepted"),
        ('"guards_code": []', "\"guards_code\": [\"__import__('os').mkdir('MARK')\"]", None),
    ],
)
def test_code_in_the_description_is_refused_or_dropped(
    tmp_path: Path, program: Path, old: str, new: str, expected: str | None
) -> None:
    mark = tmp_path / "mark"

    def forge(name: str, data: bytes) -> bytes:
        if name != "models/model.json":
            return data
        text = data.decode()
        assert old in text
        return text.replace(old, new.replace("MARK", str(mark))).encode()

    refuse_or_ignore(forged(program, tmp_path / "forged.pt2", forge), mark, expected)


def test_a_missing_torch_is_named(monkeypatch: pytest.MonkeyPatch, script: Path) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'pytest-arena\[torch\]'"):
        policy(script)


class Two(torch.nn.Module):
    """Named by a job as ``tests.real.test_torch_policy:Two``."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(4, 4)

    def forward(self, hand: torch.Tensor, goal: torch.Tensor) -> torch.Tensor:
        return self.layer(hand) + goal.mean(dim=1, keepdim=True)


@pytest.mark.parametrize("batch", ["single", "all"])
def test_entries_of_a_map_are_named_arguments(tmp_path: Path, batch: str) -> None:
    module = Two()
    torch.save(module.state_dict(), tmp_path / "weights.pt")
    parts = {"a": OBSERVATIONS[:, :4], "b": OBSERVATIONS[:, 4:]}
    made = policy(
        tmp_path / "weights.pt",
        limit=9,
        seen={"a": 4, "b": 2},
        batch=batch,
        module=f"{__name__}:Two",
        observation={"goal": {"from": "b"}, "hand": {"from": "a"}},
        action={"take": [3, 2, 1, 0]},
    )
    with torch.no_grad():
        hand, goal = (torch.as_tensor(parts[key], dtype=torch.float32) for key in ("a", "b"))
        expected = module(hand, goal).flip(1).numpy()
    np.testing.assert_allclose(made.act(parts), expected, atol=1e-6)
    with pytest.raises(EvaluationError, match=r"failed on observations hand: \(4,\) float64 in .*'aim'"):
        policy(
            tmp_path / "weights.pt",
            seen={"a": 4, "b": 2},
            module=f"{__name__}:Two",
            observation={"hand": {"from": "a"}, "aim": {"from": "b"}},
        ).act(parts)


def test_files_of_other_families_are_named(tmp_path: Path) -> None:
    path = tmp_path / "policy.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("data", "{}")
        archive.writestr("policy.pth", "")
    with pytest.raises(EvaluationError, match="this is a zip file of Stable-Baselines3: use type: sb3"):
        policy(path)
