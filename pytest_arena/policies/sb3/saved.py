"""Zip files of Stable-Baselines3: which policy they hold, for which spaces, and its weights."""

from __future__ import annotations

import base64
import binascii
import importlib
import importlib.util
import inspect
import io
import pickle
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium

from pytest_arena.errors import MissingDependencyError, first_few
from pytest_arena.policies.archive import read_members, require_no_bomb
from pytest_arena.policies.sb3.plain_pickle import Unread, read_plain, unread_names, with_modules
from pytest_arena.policies.weights import load_saved, load_weights, require_state_dict
from pytest_arena.records.json_files import open_regular, parse_json

TRUST = "set trust: true if you trust whoever made the file; unpickling then runs whatever it says, as you"
_GYM = "gym.spaces."
_OF_TRAINING = ("optimizer_class", "optimizer_kwargs")
"""Arguments of policies that acting has no use for."""


@dataclass(frozen=True, slots=True)
class Saved:
    """What a zip file holds of a policy."""

    policy_class: type[Any]
    observation_space: gymnasium.Space[Any]
    action_space: gymnasium.Space[Any]
    arguments: Mapping[str, Any]
    """Of the policy's class, beside the spaces."""
    weights: Mapping[str, Any]
    """Name -> tensor, on the CPU."""
    normalized: bool
    """It was trained on observations that `VecNormalize` had normalized, as far as the file tells."""
    exploration_rate: float
    """Of DQN and QR-DQN: how often a sampled action is any one of the space. 0.0 for all others."""


def read_saved(path: Path, trust: bool, spaces: Mapping[str, gymnasium.Space[Any]]) -> Saved:
    """Read a zip file that an algorithm's ``save`` wrote.

    Args:
        path: The file.
        trust: Whether parts that are no plain values may be unpickled, which runs code of the file's choice.
        spaces: ``observation_space`` and ``action_space`` of the environment, which stand for those of gym,
            the package before gymnasium: nothing reads these any more.

    Returns:
        What it holds.

    Raises:
        OSError: It cannot be read.
        ValueError: It is no such file, or unpickling is needed and not allowed; one line without the path.
    """
    with open_regular(path) as file:
        members = read_members(file)
    lacks = [name for name in ("data", "policy.pth") if name not in members]
    if lacks:
        raise ValueError(f"expected a zip file of Stable-Baselines3, it has no {' and no '.join(lacks)}")
    entries = parse_json(members["data"], finite=False)
    if not isinstance(entries, dict):
        raise ValueError("expected a zip file of Stable-Baselines3, its data is no JSON object")
    wanted = ("policy_class", "policy_kwargs", "observation_space", "action_space")
    parts = {name: _entry(entries, name, trust) for name in wanted}
    if not isinstance(parts["policy_kwargs"], dict):
        raise ValueError(f"policy_kwargs: expected arguments, got {_kind(parts['policy_kwargs'])}")
    kwargs = {name: value for name, value in parts["policy_kwargs"].items() if name not in _OF_TRAINING}
    if unread := list(unread_names([parts["policy_class"], kwargs])):
        if unread[0].startswith("sb3_contrib.") and importlib.util.find_spec("sb3_contrib") is None:
            raise MissingDependencyError(
                f"the policy sb3 needs sb3-contrib for {unread[0]}: pip install 'pytest-arena[sb3]'"
            )
        raise ValueError(f"it needs {first_few(unread)}, which only unpickling gives: {TRUST}")
    policy_class = parts["policy_class"]
    rate = entries.get("exploration_rate", 0.0)
    return Saved(
        policy_class,
        _space(parts["observation_space"], "observation_space", spaces),
        _space(parts["action_space"], "action_space", spaces),
        {**kwargs, **_arguments_of_algorithm(policy_class, kwargs, entries)},
        _weights(members["policy.pth"]),
        # Algorithms that learn on-policy write this entry with `VecNormalize` only.
        "rollout_buffer_class" in entries and entries.get("_last_original_obs") is not None,
        float(rate) if isinstance(rate, (int, float)) else 0.0,
    )


def make_policy(saved: Saved, device: str) -> Any:
    """Return the policy of *saved* on *device*, ready to act; ValueError where it cannot be made."""
    torch: Any = importlib.import_module("torch")
    # Its first weights are drawn; they are replaced at once.
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.simplefilter("ignore")  # about spaces, at every load
        try:
            policy = saved.policy_class(saved.observation_space, saved.action_space, **saved.arguments)
        except (AssertionError, AttributeError, TypeError, ValueError, RuntimeError, KeyError) as error:
            raise ValueError(f"{saved.policy_class.__name__} cannot be made: {error}") from error
    load_weights(policy, _with_copies(saved.weights, policy.state_dict()))
    policy.set_training_mode(False)
    return policy.to(device)


def _with_copies(weights: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Return *weights* with the names that versions before 1.7 had only one of, for both networks."""
    shared = "features_extractor."
    copies = {
        name: weights[name[3:]]
        for name in wanted
        if name.startswith((f"pi_{shared}", f"vf_{shared}")) and name not in weights and name[3:] in weights
    }
    return {**weights, **copies}


def _entry(entries: Mapping[str, Any], name: str, trust: bool) -> Any:
    """Return the entry *name* of a file's data; ValueError where it has none or a broken one."""
    if name not in entries:
        raise ValueError(f"expected a zip file of Stable-Baselines3, its data has no {name}")
    value = entries[name]
    if not (isinstance(value, dict) and ":serialized:" in value):
        return value
    try:
        data = base64.b64decode(str(value[":serialized:"]), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"{name}: expected base64") from None
    try:
        plain = with_modules(read_plain(data))
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    unread = list(unread_names(_acting(plain)))
    if not trust or not unread or unread[0].startswith(_GYM):
        return plain
    try:
        return pickle.loads(data)
    except Exception as error:  # whatever the file's code raises
        raise ValueError(f"{name} cannot be unpickled: {type(error).__name__}: {error}") from error


def _acting(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {name: part for name, part in value.items() if name not in _OF_TRAINING}


def _space(found: Any, name: str, spaces: Mapping[str, gymnasium.Space[Any]]) -> gymnasium.Space[Any]:
    if isinstance(found, Unread) and found.name.startswith(_GYM) and name in spaces:
        return _as_trained(spaces[name])
    if not isinstance(found, gymnasium.Space):
        raise ValueError(f"{name}: expected a space of gymnasium, got {_kind(found)}")
    for part in [found, *(found.spaces.values() if isinstance(found, gymnasium.spaces.Dict) else ())]:
        part._np_random = None  # unread: a space makes another when it is first drawn from
    return found


def _as_trained(space: gymnasium.Space[Any]) -> gymnasium.Space[Any]:
    """Return *space* as algorithms have it: images with their channels first."""
    if isinstance(space, gymnasium.spaces.Dict):
        return gymnasium.spaces.Dict({key: _as_trained(part) for key, part in space.spaces.items()})
    preprocessing: Any = importlib.import_module("stable_baselines3.common.preprocessing")
    if not preprocessing.is_image_space(space) or preprocessing.is_image_space_channels_first(space):
        return space
    vector: Any = importlib.import_module("stable_baselines3.common.vec_env")
    turned: gymnasium.Space[Any] = vector.VecTransposeImage.transpose_space(space)
    return turned


def _kind(value: Any) -> str:
    return value.name if isinstance(value, Unread) else type(value).__name__


def _arguments_of_algorithm(
    policy_class: type[Any], kwargs: Mapping[str, Any], entries: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what an algorithm gives its policy beside ``policy_kwargs``."""
    if not (isinstance(policy_class, type) and isinstance(kwargs, Mapping)):
        raise ValueError("expected a zip file of Stable-Baselines3, its policy_class is no class")
    known = inspect.signature(policy_class).parameters
    given: dict[str, Any] = {"lr_schedule": _no_learning} if "lr_schedule" in known else {}
    if "use_sde" in known and "use_sde" not in kwargs and isinstance(entries.get("use_sde"), bool):
        given["use_sde"] = entries["use_sde"]
    return given


def _no_learning(progress_remaining: float) -> float:
    return 0.0


def _weights(data: bytes) -> Mapping[str, Any]:
    file = io.BytesIO(data)
    try:
        if zipfile.is_zipfile(file):  # what torch saved before version 1.6 is none
            require_no_bomb(file)
        return require_state_dict(load_saved(file))
    except ValueError as error:
        raise ValueError(f"policy.pth: {error}") from None
