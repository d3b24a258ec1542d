"""Policies of rsl_rl: checkpoints beside its own loop, to the bit; exports; versions of before; mistakes."""

from __future__ import annotations

import functools
import operator
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gymnasium
import numpy as np
import pytest
import yaml

from pytest_arena import EvaluationError, MissingDependencyError
from pytest_arena.policies.rsl_rl import policy as module
from pytest_arena.policies.rsl_rl.policy import RslRlPolicy, RslRlSettings
from pytest_arena.policies.torch_module import TorchModule, TorchSettings
from tests.policy_runs import EPISODES, measured, one_torch_thread, run_policy

pytest.importorskip("rsl_rl")
pytest.importorskip("onnxruntime")

import torch
from tensordict import TensorDict

from tests.rsl_rl_runs import ACTORS, OneRow, Pictures, make_runner, save_run, their_rewards

pytestmark = pytest.mark.real  # torch

Box = gymnasium.spaces.Box
SEEN = np.random.default_rng(0).normal(size=(3, 3)).astype(np.float32)
KINDS = [kind for kind in ACTORS if kind != "cnn"]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    with one_torch_thread(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def acting(path: Path, seen: Any = None, num_envs: int = 3, actions: int = 1, **settings: Any) -> RslRlPolicy:
    env: Any = SimpleNamespace(
        num_envs=num_envs,
        single_action_space=Box(-9, 9, (actions,)),
        single_observation_space=seen or Box(-9, 9, (3,)),
        cameras=None,
    )
    return RslRlPolicy(RslRlSettings(checkpoint=str(path), **settings), env)


@pytest.mark.parametrize(("kind", "clip"), [("mlp", None), ("mlp", 0.1), ("lstm", None), ("gru", None)])
def test_equal_episodes_beside_its_own_loop(tmp_path: Path, kind: str, clip: float | None) -> None:
    runner = make_runner(kind, OneRow("Pendulum-v1"))
    policy = {"type": "rsl_rl", "checkpoint": str(save_run(tmp_path, runner, kind, clip))}
    one, three = (run_policy(tmp_path, "Pendulum-v1", policy, n) for n in (1, 3))
    env = OneRow("Pendulum-v1", [episode.seed for episode in one], clip)
    rewards = their_rewards(runner, env, EPISODES)
    assert measured(one) == [(len(r), functools.reduce(operator.add, r, 0.0)) for r in rewards]
    assert measured(three) == measured(one)
    assert len(set(measured(one))) > 1


def exported(folder: Path, runner: Any, form: str) -> Path:
    """Export as ``play.py`` does: into a folder below the run's."""
    (folder / "exported").mkdir(exist_ok=True)
    actor = runner.get_inference_policy(device="cpu")
    if form == "jit":
        path = folder / "exported" / "policy.pt"
        torch.jit.save(torch.jit.script(actor.as_jit()), path)
        return path
    path, model = folder / "exported" / "policy.onnx", actor.as_onnx(verbose=False).eval()
    torch.onnx.export(
        model,
        model.get_dummy_inputs(),
        path,
        opset_version=18,
        input_names=model.input_names,
        output_names=model.output_names,
        dynamo=False,
    )
    return path


@pytest.mark.parametrize("form", ["jit", "onnx"])
@pytest.mark.parametrize("kind", KINDS)
def test_exports_act_as_their_checkpoint(tmp_path: Path, kind: str, form: str) -> None:
    runner = make_runner(kind, OneRow("Pendulum-v1"))
    of_run = acting(save_run(tmp_path, runner, kind))
    of_export = acting(exported(tmp_path, runner, form))
    assert of_export.identity["config"] == str(tmp_path / "params" / "agent.yaml")
    for made in (of_run, of_export):
        assert made.batch == "single"
        assert made.reproducible
        assert made.deterministic
        made.reset(None, [1, 2, 3])
    for step in range(4):
        if step == 2:
            for made in (of_run, of_export):
                made.reset(np.array([1]), [7])
        np.testing.assert_allclose(of_export.act(SEEN), of_run.act(SEEN), atol=1e-5)


@pytest.mark.parametrize("batch", ["single", "all"])
@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_a_row_forgets_its_memory_alone(tmp_path: Path, kind: str, batch: str) -> None:
    made = acting(save_run(tmp_path, make_runner(kind, OneRow("Pendulum-v1")), kind), batch=batch)
    made.reset(None, [1, 2, 3])
    first, second = made.act(SEEN), made.act(torch.as_tensor(SEEN))
    assert isinstance(second, torch.Tensor)
    made.reset(np.array([1]), [4])
    third = made.act(SEEN)
    np.testing.assert_allclose(third[1], first[1], atol=1e-6)
    assert not np.allclose(third[[0, 2]], first[[0, 2]], atol=1e-6)
    assert not np.allclose(second, first, atol=1e-6)


def test_a_recurrent_export_takes_one_row_at_a_time(tmp_path: Path) -> None:
    path = exported(tmp_path, make_runner("lstm", OneRow("Pendulum-v1")), "jit")
    with pytest.raises(EvaluationError, match="it takes 1 rows at a time: batch: all cannot be"):
        acting(path, batch="all")


def old_names(weights: dict[str, Any]) -> dict[str, Any]:
    names = {"mlp.": "actor.", "obs_normalizer.": "actor_obs_normalizer.", "rnn.rnn.": "memory_a.rnn."}
    found = {}
    for name, value in weights.items():
        new = next((prefix for prefix in names if name.startswith(prefix)), "")
        found[names.get(new, "") + name.removeprefix(new)] = value
    for kind in ("std", "log_std"):
        if f"distribution.{kind}_param" in found:
            found[kind] = found.pop(f"distribution.{kind}_param")
    return {**found, "critic.0.weight": torch.zeros(1)}


@pytest.mark.parametrize("kind", ["mlp", "lstm"])
@pytest.mark.parametrize("version", [2, 3])
def test_checkpoints_of_versions_before(tmp_path: Path, kind: str, version: int) -> None:
    runner = make_runner(kind, OneRow("Pendulum-v1"))
    path = save_run(tmp_path / "new", runner, kind)
    old = old_names(runner.alg.get_policy().state_dict())
    section = {"class_name": "ActorCritic", "actor_hidden_dims": [16, 8], "activation": "elu"}
    section |= {"init_noise_std": 1.0, "noise_std_type": "scalar", "critic_hidden_dims": [16, 8]}
    if kind == "lstm":
        section |= {"class_name": "ActorCriticRecurrent", "rnn_type": "lstm"}
        section |= {"rnn_hidden_dim": 8, "rnn_num_layers": 2}
    config: dict[str, Any] = {"policy": section, "clip_actions": None}
    saved: dict[str, Any] = {"model_state_dict": old, "iter": 3, "infos": None}
    if version == 2:
        config["empirical_normalization"] = True
        begin = "actor_obs_normalizer."
        saved["obs_norm_state_dict"] = {
            name.removeprefix(begin): old.pop(name) for name in list(old) if name.startswith(begin)
        }
    else:
        config["obs_groups"] = {"policy": ["policy"], "critic": ["policy"]}
    torch.save(saved, tmp_path / "model_3.pt")
    (tmp_path / "agent.yaml").write_text(yaml.dump(config))
    groups = gymnasium.spaces.Dict(policy=Box(-9, 9, (3,)), extra=Box(-9, 9, (2,)))
    seen = {"policy": SEEN, "extra": SEEN[:, :2]}
    assert np.array_equal(acting(tmp_path / "model_3.pt", groups).act(seen), acting(path).act(SEEN))


def test_several_groups(tmp_path: Path) -> None:
    path = save_run(tmp_path, make_runner("mlp", OneRow("Pendulum-v1")), "mlp")
    config = yaml.load((tmp_path / "params/agent.yaml").read_text(), yaml.UnsafeLoader)
    config["obs_groups"] = {"actor": ("arm", "goal"), "critic": ("arm",)}
    (tmp_path / "other.yaml").write_text(yaml.dump(config))
    groups = gymnasium.spaces.Dict(goal=Box(-9, 9, (1,)), arm=Box(-9, 9, (2,)))
    seen = {"goal": SEEN[:, 2:], "arm": SEEN[:, :2]}
    made = acting(path, groups, config=str(tmp_path / "other.yaml"))
    assert np.array_equal(made.act(seen), acting(path).act(SEEN))
    mapped = acting(path, groups, observation={"policy": {"from": ["arm", "goal"]}})
    assert np.array_equal(mapped.act(seen), acting(path).act(SEEN))
    with pytest.raises(EvaluationError, match="sees policy, and the observation has no policy but arm, goal"):
        acting(path, groups).act({"arm": SEEN, "goal": SEEN})


@pytest.mark.parametrize(
    ("env", "words"),
    [
        ({"seen": Box(-1, 1, (4,))}, r"trained on policy with 3 values, .* Box\(.*\(4,\)"),
        ({"actions": 2}, r"trained for actions of 1 values, .* Box\(.*\(2,\)"),
    ],
)
def test_other_spaces_are_named_both(tmp_path: Path, env: dict[str, Any], words: str) -> None:
    path = save_run(tmp_path, make_runner("mlp", OneRow("Pendulum-v1")), "mlp")
    with pytest.raises(EvaluationError, match=words):
        acting(path, **env)


def changed(folder: Path, change: Any) -> Path:
    path = save_run(folder, make_runner("mlp", OneRow("Pendulum-v1")), "mlp")
    file = folder / "params" / "agent.yaml"
    config = yaml.load(file.read_text(), yaml.UnsafeLoader)
    change(config)
    file.write_text(yaml.dump(config))
    return path


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c["actor"].update(hidden_dims=[4]), r"mlp\.0\.weight has the shape \(16, 3\)"),
        (lambda c: c["actor"].update(class_name="os.system"), "expected a class of rsl_rl, mjlab"),
        (lambda c: c["actor"].update(class_name="Nothing"), "class_name: Could not resolve 'Nothing'"),
        (lambda c: c["actor"].update(class_name="PPO"), "expected a model, PPO is none"),
        (lambda c: c["actor"].update(novelty=3), "does not know novelty"),
        (lambda c: c["actor"].update(activation="none"), "MLPModel cannot be made: Invalid activation"),
        (lambda c: c.pop("actor"), r"config: .*agent\.yaml cannot be read: .*actor, student or policy"),
    ],
)
def test_another_configuration(tmp_path: Path, change: Any, words: str) -> None:
    path = changed(tmp_path, change)
    with pytest.raises(EvaluationError, match=words):
        acting(path)


def test_configurations_run_nothing(tmp_path: Path) -> None:
    path = changed(tmp_path, lambda config: None)
    file = tmp_path / "params" / "agent.yaml"
    mark = tmp_path / "mark"
    file.write_text(f"{file.read_text()}\ntrap: !!python/object/apply:os.mkdir [{mark}]\n")
    assert acting(path).act(SEEN).shape == (3, 1)
    assert not mark.exists()
    file.write_text("actor: [")
    with pytest.raises(EvaluationError, match=r"agent\.yaml cannot be read: expected YAML"):
        acting(path)


def test_files_that_are_none(tmp_path: Path) -> None:
    path = save_run(tmp_path, make_runner("mlp", OneRow("Pendulum-v1")), "mlp")
    saved = torch.load(path, weights_only=True)
    saved["actor_state_dict"]["mlp.0.bias"][0] = torch.nan
    torch.save(saved, tmp_path / "nan.pt")
    torch.save({"weights": torch.zeros(1)}, tmp_path / "other.pt")
    torch.save(SimpleNamespace(), tmp_path / "pickled.pt")
    (tmp_path / "alone").mkdir()
    torch.save(saved, tmp_path / "alone" / "model_0.pt")
    (tmp_path / "sb3.zip").write_bytes(b"no")
    for name, words in {
        "nan.pt": r"mlp\.0\.bias has NaN in it",
        "other.pt": "with an actor_state_dict; it has weights",
        "pickled.pt": "expected tensors and plain containers only",
        "sb3.zip": "expected a checkpoint of rsl_rl, or a policy that was exported",
        "nowhere.pt": "No such file",
    }.items():
        with pytest.raises(EvaluationError, match=rf"{name} cannot be read: .*{words}"):
            acting(tmp_path / name)
    (tmp_path / "params" / "agent.yaml").unlink()
    with pytest.raises(EvaluationError, match=r"expected params/agent\.yaml beside it"):
        acting(tmp_path / "alone" / "model_0.pt")


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save_run(tmp_path, make_runner("mlp", OneRow("Pendulum-v1")), "mlp")
    found = module.importlib.util.find_spec
    monkeypatch.setattr(
        module.importlib.util, "find_spec", lambda name: None if name == "rsl_rl" else found(name)
    )
    with pytest.raises(MissingDependencyError, match=r"rsl-rl-lib: pip install 'pytest-arena\[rsl_rl\]'"):
        acting(path)


def test_a_recurrent_export_is_none_of_torchs(tmp_path: Path) -> None:
    path = exported(tmp_path, make_runner("lstm", OneRow("Pendulum-v1")), "jit")
    env: Any = SimpleNamespace(num_envs=3, single_action_space=Box(-9, 9, (1,)))
    with pytest.raises(EvaluationError, match="it remembers one row: use type: rsl_rl"):
        TorchModule(TorchSettings(checkpoint=str(path)), env)


def test_images_are_groups_of_the_environment(tmp_path: Path) -> None:
    runner = make_runner("cnn", Pictures())
    path = save_run(tmp_path, runner, "cnn", groups=["policy", "camera"])
    space = gymnasium.spaces.Dict(policy=Box(-9, 9, (3,)), camera=Box(0, 1, (1, 8, 8)))
    images = np.random.default_rng(1).random((3, 1, 8, 8)).astype(np.float32)
    made = acting(path, space)
    theirs = runner.get_inference_policy(device="cpu")
    with torch.inference_mode():
        rows = [
            theirs(
                TensorDict(
                    {"policy": torch.as_tensor(SEEN[[i]]), "camera": torch.as_tensor(images[[i]])}, [1]
                )
            )
            for i in range(3)
        ]
    assert np.array_equal(made.act({"policy": SEEN, "camera": images}), torch.cat(rows).numpy())
    with pytest.raises(EvaluationError, match="it sees images, and the environment shows no policy, camera"):
        acting(path)
