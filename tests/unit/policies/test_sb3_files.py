"""Zip files and pickles of Stable-Baselines3 from anybody: what they hold is read, what they name is not run."""

from __future__ import annotations

import base64
import contextlib
import importlib
import io
import json
import os
import pickle
import sys
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import gymnasium
import numpy as np
import pytest

from pytest_arena import EvaluationError, MissingDependencyError
from pytest_arena.policies.archive import ALWAYS_ALLOWED
from pytest_arena.policies.sb3 import policy as module
from pytest_arena.policies.sb3.plain_pickle import _PLAIN, Unread, read_plain
from pytest_arena.policies.sb3.policy import Sb3Policy, Sb3Settings

pytest.importorskip("stable_baselines3")

import stable_baselines3
import torch
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

pytestmark = pytest.mark.real  # torch

Box = gymnasium.spaces.Box
PLANE = Box(-1, 1, (3,))
SMALL = {"net_arch": [8]}


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


class Still(gymnasium.Env[Any, Any]):
    def __init__(self, observations: Any = PLANE, actions: Any = None) -> None:
        self.observation_space = observations
        self.action_space = Box(-1, 1, (2,)) if actions is None else actions

    def reset(self, **kwargs: Any) -> Any:
        return self.observation_space.sample(), {}


def acting(path: Path, env: Still | None = None, num_envs: int = 3, **settings: Any) -> Sb3Policy:
    still = env or Still()
    rows: Any = SimpleNamespace(
        num_envs=num_envs,
        single_action_space=still.action_space,
        single_observation_space=still.observation_space,
        cameras=None,
    )
    return Sb3Policy(Sb3Settings(checkpoint=str(path), **settings), rows)


def saved(path: Path, env: Any = None, policy: str = "MlpPolicy", **kwargs: Any) -> Any:
    model = stable_baselines3.PPO(policy, env or Still(), policy_kwargs={**SMALL, **kwargs}, n_steps=8)
    model.save(path)
    return model


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sb3") / "policy.zip"
    saved(path)
    return path


class Trap:
    """Leaves a folder behind when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.mark),)


def changed(source: Path, target: Path, change: Callable[[dict[str, Any]], Any], **members: bytes) -> Path:
    """Copy a zip file with changes to its data, and other *members*."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "data":
                data = json.loads(content)
                change(data)
                content = json.dumps(data).encode()
            new.writestr(name, members.pop(name.replace(".", "_"), content))
    return target


def bomb() -> bytes:
    """An archive of a few kilobytes that unpacks to more than any checkpoint may."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(ALWAYS_ALLOWED + 1))
    return file.getvalue()


def legacy(file: Path) -> bytes:
    """The weights of *file* as torch saved them before version 1.6."""
    weights = io.BytesIO()
    torch.save(
        stable_baselines3.PPO.load(file).policy.state_dict(), weights, _use_new_zipfile_serialization=False
    )
    return weights.getvalue()


def pickled(value: Any) -> dict[str, str]:
    return {":type:": "any", ":serialized:": base64.b64encode(pickle.dumps(value)).decode()}


@pytest.mark.parametrize("entry", ["policy_class", "policy_kwargs", "observation_space", "action_space"])
def test_what_a_file_names_is_not_run(tmp_path: Path, file: Path, entry: str) -> None:
    mark = tmp_path / "mark"
    content = {"net_arch": Trap(mark)} if entry == "policy_kwargs" else Trap(mark)
    path = changed(file, tmp_path / "trap.zip", lambda data: data.update({entry: pickled(content)}))
    with pytest.raises(EvaluationError, match=r"trust: true|expected a space of gymnasium, got posix\.mkdir"):
        acting(path)
    assert not mark.exists()


def test_what_nobody_needs_is_not_asked_for(tmp_path: Path, file: Path) -> None:
    mark = tmp_path / "mark"
    path = changed(file, tmp_path / "trap.zip", lambda data: data.update(lr_schedule=pickled(Trap(mark))))
    assert acting(path).act(np.zeros((3, 3), np.float32)).shape == (3, 2)
    assert not mark.exists()


class Halved(BaseFeaturesExtractor):
    """A feature extractor of a user's own."""

    def __init__(self, observation_space: Any, features_dim: int = 3) -> None:
        super().__init__(observation_space, features_dim)

    def forward(self, observations: Any) -> Any:
        return observations / 2


def test_code_of_ones_own_needs_trust(tmp_path: Path) -> None:
    model = saved(tmp_path / "policy.zip", features_extractor_class=Halved)
    with pytest.raises(
        EvaluationError, match=r"it needs .*Halved, which only unpickling gives: set trust: true"
    ):
        acting(tmp_path / "policy.zip")
    seen = np.random.default_rng(0).normal(size=(3, 3)).astype(np.float32)
    actions = acting(tmp_path / "policy.zip", trust=True).act(seen)
    expected = [model.predict(row[None], deterministic=True)[0] for row in seen]
    assert np.array_equal(actions, np.concatenate(expected))


@pytest.mark.parametrize(
    ("change", "members", "words"),
    [
        (lambda d: d.pop("policy_class"), {}, "its data has no policy_class"),
        (lambda d: d.update(policy_kwargs={":serialized:": "!"}), {}, "policy_kwargs: expected base64"),
        (lambda d: d.update(policy_kwargs={":serialized:": "aGk="}), {}, "policy_kwargs: expected a pickle"),
        (lambda d: d.update(policy_kwargs=[]), {}, "policy_kwargs: expected arguments, got list"),
        (
            lambda d: d.update(policy_kwargs=pickled(os.getcwd)),
            {},
            "policy_kwargs: expected arguments, got type",
        ),
        (lambda d: d.update(policy_kwargs={"net_arch": "x"}), {}, "ActorCriticPolicy cannot be made"),
        (lambda d: d.update(policy_kwargs={"net_arch": [9]}), {}, "has the shape .*, the module"),
        (lambda d: None, {"policy_pth": b"no"}, "policy.pth: expected"),
        (lambda d: None, {"policy_pth": bomb()}, "policy.pth: it unpacks from .* which no checkpoint does"),
    ],
)
def test_broken_files_are_named(
    tmp_path: Path, file: Path, change: Any, members: dict[str, bytes], words: str
) -> None:
    path = changed(file, tmp_path / "broken.zip", change, **members)
    with pytest.raises(EvaluationError, match=rf"broken\.zip cannot be read: .*{words}"):
        acting(path)


def test_weights_of_an_early_torch(tmp_path: Path, file: Path) -> None:
    old = changed(file, tmp_path / "old.zip", lambda data: None, policy_pth=legacy(file))
    seen = np.ones((3, 3), np.float32)
    assert np.array_equal(acting(old).act(seen), acting(file).act(seen))


def test_weights_that_are_code_are_named_without_advice_to_run_it(tmp_path: Path, file: Path) -> None:
    content = io.BytesIO()
    torch.save({"bias": os.system}, content)
    path = changed(file, tmp_path / "code.zip", lambda data: None, policy_pth=content.getvalue())
    with pytest.raises(EvaluationError, match=r"policy\.pth: expected tensors .*: .*GLOBAL posix") as caught:
        acting(path)
    assert "weights_only" not in str(caught.value)


def test_several_inputs_of_a_policy_that_sees_one_array(file: Path) -> None:
    policy = acting(file, observation={"a": {"from": "."}, "b": {"from": "."}})
    with pytest.raises(EvaluationError, match=r"it sees one array, .*; policy\.observation has a, b"):
        policy.act(np.zeros((3, 3), np.float32))


def test_inputs_that_a_policy_does_not_have_are_named(tmp_path: Path) -> None:
    space = gymnasium.spaces.Dict(state=gymnasium.spaces.Box(-1, 1, (3,)))
    saved(tmp_path / "dict.zip", Still(space), "MultiInputPolicy")
    entries = {"state": {"from": "state"}, "stat": {"from": "state"}}
    policy = acting(tmp_path / "dict.zip", Still(space), observation=entries)
    with pytest.raises(
        EvaluationError, match=r"policy\.observation\.stat: the policy has no such input .*'state'"
    ):
        policy.act({"state": np.zeros((3, 3), np.float32)})


def test_a_device_that_is_not_there_is_named(file: Path) -> None:
    with pytest.raises(EvaluationError, match=r"policy\.device: expected cpu or cuda:N, got 'gpu'"):
        acting(file, device="gpu")


def test_weights_that_are_no_numbers(tmp_path: Path, file: Path) -> None:
    model = stable_baselines3.PPO.load(file)
    with torch.no_grad():
        model.policy.action_net.bias[0] = torch.nan
    model.save(tmp_path / "nan.zip")
    with pytest.raises(EvaluationError, match=r"nan\.zip cannot be read: .*action_net\.bias has NaN in it"):
        acting(tmp_path / "nan.zip")


def test_files_of_other_families_are_named(tmp_path: Path, file: Path) -> None:
    script = tmp_path / "policy.pt"
    torch.jit.save(torch.jit.script(torch.nn.Linear(3, 2)), script)
    (tmp_path / "text.zip").write_text("no zip")
    with pytest.raises(EvaluationError, match="this is a TorchScript archive: use type: torch"):
        acting(script)
    with pytest.raises(EvaluationError, match=r"text\.zip cannot be read: it is no zip archive$"):
        acting(tmp_path / "text.zip")
    with pytest.raises(EvaluationError, match=r"nowhere\.zip cannot be read: No such file"):
        acting(tmp_path / "nowhere.zip")
    with pytest.raises(EvaluationError, match=r"normalize: .*this is a zip file of Stable-Baselines3"):
        acting(file, normalize=str(file))


@pytest.mark.parametrize(
    ("env", "words"),
    [
        (
            Still(Box(-1, 1, (4,))),
            r"trained on observations of Box\(.*\(3,\).* environment are Box\(.*\(4,\)",
        ),
        (Still(gymnasium.spaces.Dict(a=PLANE)), r"trained on observations of Box.* environment are Dict"),
        (
            Still(actions=Box(-1, 1, (3,))),
            r"trained for actions of Box\(.*\(2,\).* environment are Box\(.*\(3,\)",
        ),
        (Still(actions=Box(-2, 2, (2,))), r"trained for actions of Box\(-1.* environment are Box\(-2"),
        (Still(actions=gymnasium.spaces.Discrete(2)), r"trained for actions of Box.* are Discrete\(2\)"),
    ],
)
def test_other_spaces_are_named_both(file: Path, env: Still, words: str) -> None:
    with pytest.raises(EvaluationError, match=words):
        acting(file, env)


def statistics(path: Path, env: Still | None = None) -> Path:
    VecNormalize(DummyVecEnv([lambda: env or Still()])).save(str(path))
    return path


def test_statistics_from_anybody(tmp_path: Path, file: Path) -> None:
    mark = tmp_path / "mark"
    for name, content in (("trap", Trap(mark)), ("list", [1, 2])):
        (tmp_path / name).write_bytes(pickle.dumps(content))
        with pytest.raises(EvaluationError, match=r"expected a pickled VecNormalize, got .*trust: true"):
            acting(file, normalize=str(tmp_path / name))
    assert not mark.exists()
    other = statistics(tmp_path / "other.pkl", Still(Box(-1, 1, (4,))))
    with pytest.raises(EvaluationError, match=r"observations of the shape \(4,\), the policy has \(3,\)"):
        acting(file, normalize=str(other))


def test_forgotten_statistics_are_noted(tmp_path: Path) -> None:
    vector = VecNormalize(DummyVecEnv([Still]))
    model = stable_baselines3.PPO("MlpPolicy", vector, policy_kwargs={**SMALL}, n_steps=8)
    model._setup_learn(8)
    model.save(tmp_path / "policy.zip")
    vector.save(str(tmp_path / "statistics.pkl"))
    (note,) = acting(tmp_path / "policy.zip").review([])
    assert "VecNormalize" in note
    assert acting(tmp_path / "policy.zip", normalize=str(tmp_path / "statistics.pkl")).review([]) == []


@pytest.mark.parametrize("as_tensors", [False, True])
@pytest.mark.parametrize("batch", ["single", "all"])
def test_images_with_their_channels_last(tmp_path: Path, as_tensors: bool, batch: str) -> None:
    env = Still(Box(0, 255, (36, 40, 3), np.uint8))
    model = saved(tmp_path / "policy.zip", env, "CnnPolicy")
    images = np.random.default_rng(0).integers(0, 256, (3, 36, 40, 3), np.uint8)
    made = acting(tmp_path / "policy.zip", env, batch=batch)
    actions = made.act(torch.as_tensor(images) if as_tensors else images)
    assert isinstance(actions, torch.Tensor if as_tensors else np.ndarray)
    expected = np.concatenate([model.predict(image[None], deterministic=True)[0] for image in images])
    np.testing.assert_allclose(np.asarray(actions), expected, atol=1e-5)
    assert made.reproducible == made.deterministic == (batch == "single")


def test_a_map_of_the_observation(tmp_path: Path, file: Path) -> None:
    env = Still(gymnasium.spaces.Dict(hand=Box(-1, 1, (2,)), goal=Box(-1, 1, (1,))))
    entry = {"x": {"from": ["goal", "hand"], "dtype": "float32"}}
    made = acting(file, env, observation=entry, action={"scale": "env"})
    seen = {"hand": np.ones((3, 2)), "goal": np.zeros((3, 1))}
    row = np.array([[0, 1, 1]], np.float32)
    expected = stable_baselines3.PPO.load(file).predict(row, deterministic=True)[0]
    assert np.array_equal(made.act(seen), np.repeat(expected, 3, axis=0))
    with pytest.raises(EvaluationError, match=r"expected observations of the shape \(3,\), got \(2,\)"):
        acting(file, env, observation={"x": {"from": "hand"}}).act(seen)


def test_a_row_forgets_its_memory_alone(tmp_path: Path) -> None:
    contrib = pytest.importorskip("sb3_contrib")
    kwargs = {**SMALL, "lstm_hidden_size": 4}
    contrib.RecurrentPPO("MlpLstmPolicy", Still(), policy_kwargs=kwargs, n_steps=8).save(
        tmp_path / "policy.zip"
    )
    for batch in ("single", "all"):
        made = acting(tmp_path / "policy.zip", batch=batch)
        made.reset(None, [1, 2, 3])
        seen = np.ones((3, 3), np.float32)
        first, second = made.act(seen), made.act(seen)
        made.reset(np.array([1]), [4])
        third = made.act(seen)
        assert not np.allclose(first, second)
        np.testing.assert_allclose(third[1], first[1], atol=1e-6)
        assert not np.allclose(third[0], first[0])
        made.end_episodes(np.array([0, 2]), [])
        made.reset(np.array([2]), [5])
        np.testing.assert_allclose(made.act(seen)[2], first[2], atol=1e-6)


def test_a_pickle_takes_nothing_but_plain_values() -> None:
    found = read_plain(pickle.dumps([gymnasium.Space, PLANE, np.arange(3), {"a": Trap(Path("x"))}]))
    assert issubclass(found[0], Unread)
    assert found[1] == PLANE
    assert found[2].tolist() == [0, 1, 2]
    assert isinstance(found[3]["a"], Unread)
    assert not Path("x").exists()


@pytest.mark.parametrize(
    ("module", "name"), sorted((module, name) for module, names in _PLAIN.items() for name in names)
)
def test_a_pickle_changes_nothing_that_it_names(module: str, name: str) -> None:
    present = module.replace("numpy.core", "numpy._core")
    found = getattr(importlib.import_module(present), name)
    before = {key: getattr(found, key, None) for key in ("__defaults__", "__doc__", "__init__")}
    attributes = b"}S'__defaults__'\n(I1\ntsS'__init__'\nI1\nsS'__doc__'\nI1\ns"
    for state in (attributes, b"(N" + attributes + b"t"):  # of its dict, and of its slots
        with contextlib.suppress(ValueError):
            read_plain(f"c{module}\n{name}\n".encode() + state + b"b.")
    assert {key: getattr(found, key, None) for key in before} == before


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'pytest-arena\[sb3\]'"):
        acting(file)


class Older(VecNormalize):
    """A user's own."""


def test_statistics_of_ones_own_class_need_trust(tmp_path: Path, file: Path) -> None:
    vector = Older(DummyVecEnv([Still]))
    vector.obs_rms.update(np.random.default_rng(0).normal(1, 3, size=(50, 3)))
    vector.save(str(tmp_path / "own.pkl"))
    with pytest.raises(EvaluationError, match=r"got .*Older; if it is one of your own, set trust: true"):
        acting(file, normalize=str(tmp_path / "own.pkl"))
    seen = np.ones((3, 3), np.float32)
    actions = acting(file, normalize=str(tmp_path / "own.pkl"), trust=True).act(seen)
    expected = acting(file).act(vector.normalize_obs(seen))
    assert np.array_equal(actions, expected)


def gym_space(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Return a space as a file has it that was saved before gymnasium."""
    box = type("Box", (), {"__module__": "gym.spaces.box"})
    module = ModuleType("gym.spaces.box")
    module.Box = box  # type: ignore[attr-defined]
    with monkeypatch.context() as patch:
        for name, there in (("gym", ModuleType("gym")), ("gym.spaces", ModuleType("gym.spaces"))):
            patch.setitem(sys.modules, name, there)
        patch.setitem(sys.modules, "gym.spaces.box", module)
        made = box()
        made.shape = (3,)
        return pickled(made)


@pytest.mark.parametrize("trust", [False, True])
def test_spaces_of_gym_are_those_of_the_environment(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch, trust: bool
) -> None:
    space = gym_space(monkeypatch)
    path = changed(
        file, tmp_path / "old.zip", lambda data: data.update(observation_space=space, action_space=space)
    )
    seen = np.random.default_rng(0).normal(size=(3, 3)).astype(np.float32)
    assert np.array_equal(acting(path, trust=trust).act(seen), acting(file).act(seen))
    with pytest.raises(EvaluationError, match=r"has the shape .*, the module"):
        acting(path, Still(Box(-1, 1, (4,))))
    with pytest.raises(EvaluationError, match=r"expected a space of gymnasium, got gym\.spaces\.box\.Box"):
        acting(path, observation={"x": {"from": "."}})


def test_images_of_gym_and_weights_that_were_shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    env = Still(Box(0, 255, (36, 40, 3), np.uint8))
    saved(tmp_path / "policy.zip", env, "CnnPolicy")
    with zipfile.ZipFile(tmp_path / "policy.zip") as archive, archive.open("policy.pth") as stream:
        weights = torch.load(stream, weights_only=True)
    content = io.BytesIO()
    once = {k: v for k, v in weights.items() if not k.startswith(("pi_features", "vf_features"))}
    torch.save(once, content)
    assert len(once) < len(weights)
    space = gym_space(monkeypatch)
    path = changed(
        tmp_path / "policy.zip",
        tmp_path / "old.zip",
        lambda data: data.update(observation_space=space),
        policy_pth=content.getvalue(),
    )
    images = np.random.default_rng(0).integers(0, 256, (3, 36, 40, 3), np.uint8)
    assert np.array_equal(acting(path, env).act(images), acting(tmp_path / "policy.zip", env).act(images))
