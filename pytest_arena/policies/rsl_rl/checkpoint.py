"""Checkpoints of training runs, ``model_*.pt``: the model that acts, as rsl_rl makes it, with its weights."""

from __future__ import annotations

import copy
import importlib
import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pytest_arena.policies.row_states import FirstState, RowStates
from pytest_arena.policies.rsl_rl.runner_config import RunnerConfig
from pytest_arena.policies.weights import load_weights, read_saved
from pytest_arena.simulators.array_types import IndexArray

_PACKAGES = ("rsl_rl", "mjlab", "isaaclab_rl")
_OBSOLETE = ("stochastic", "init_noise_std", "noise_std_type", "state_dependent_std")
"""Keys of older configurations; the weights say the same."""
_OLD_CLASSES = {
    "ActorCritic": "MLPModel",
    "ActorCriticRecurrent": "RNNModel",
    "StudentTeacher": "MLPModel",
    "StudentTeacherRecurrent": "RNNModel",
}
_OLD_KEYS = {
    "class_name": "class_name",
    "activation": "activation",
    "actor_hidden_dims": "hidden_dims",
    "student_hidden_dims": "hidden_dims",
    "rnn_type": "rnn_type",
    "rnn_hidden_dim": "rnn_hidden_dim",
    "rnn_hidden_size": "rnn_hidden_dim",
    "rnn_num_layers": "rnn_num_layers",
}
"""Of the section ``policy`` before version 4 -> of the section of the model that acts."""
_KINDS_OF_STD = {"distribution.std_param": "scalar", "distribution.log_std_param": "log"}
_OLD_WEIGHTS = {"std": "distribution.std_param", "log_std": "distribution.log_std_param"}
_TWO_PER_ACTION = ("HeteroscedasticGaussianDistribution", "BetaDistribution")
"""Distributions of which the model gives two numbers an action."""

Weights = dict[str, Any]


class Checkpoint:
    """The model of a checkpoint, and what it remembers of each row."""

    def __init__(
        self,
        file: Path,
        config: RunnerConfig,
        device: str,
        num_envs: int,
        shapes: Mapping[str, tuple[int, ...]],
    ) -> None:
        """Make the model.

        Args:
            file: The checkpoint.
            config: The configuration of its run.
            device: Where the model runs.
            num_envs: N, the number of rows.
            shapes: Group of the environment's observation -> its shape. A model with images is made of them.

        Raises:
            OSError: The file cannot be read.
            ValueError: It is no such checkpoint, or not of this configuration; one line without the path.
        """
        self._torch: Any = importlib.import_module("torch")
        self._tensordict: Any = importlib.import_module("tensordict").TensorDict
        role, weights = _weights_of(read_saved(file))
        section = config.sections.get(role) or config.sections.get("policy")
        if section is None:
            raise ValueError(f"it has a model {role}, and {config.path} has none")
        self.groups = config.groups.get(role) or config.groups.get("policy")
        """The groups of the observation that it sees; None: the configuration does not say."""
        self._names = names = self.groups or (role,)
        arguments = _arguments(section, weights)
        self.size, self.actions = _sizes(weights, arguments)
        """Values of all groups together that are no images, and of an action."""
        if any(name.startswith("cnns.") for name in weights):
            example = _shown(names, shapes)
            self.size = sum(shape[0] for name in names if len(shape := shapes[name]) == 1)
        else:  # how the values are shared among groups makes no difference
            example = {name: (self.size if name == names[0] else 0,) for name in names}
        observation = {name: self._torch.zeros(1, *shape) for name, shape in example.items()}
        made = self._tensordict(observation, batch_size=[1])
        self._model = _made(role, arguments, made, names, self.actions)
        load_weights(self._model, weights)
        self._model.to(device).eval()
        self._states = RowStates(_first_states(self._model, device), num_envs)

    def forget(self, rows: IndexArray) -> None:
        """Let *rows* (K,) begin anew."""
        self._states.forget(rows)

    def __call__(self, rows: IndexArray, groups: Mapping[str, Any]) -> Any:
        """Return the actions (K, A), a tensor, for K rows whose observation is *groups*: name -> (K, d)."""
        with self._torch.inference_mode():
            if self._states:
                held = tuple(state.contiguous() for state in self._states.of(rows).values())
                self._model.reset(hidden_state=held if len(held) > 1 else held[0])
            seen = dict(zip(self._names, groups.values(), strict=True))
            actions = self._model(self._tensordict(seen, batch_size=[len(rows)]))
            if self._states:
                after = self._model.get_hidden_state()
                states = after if isinstance(after, tuple) else (after,)
                self._states.keep(rows, dict(zip(("hidden", "cell"), states, strict=False)))
        return actions


def _shown(names: Sequence[str], shapes: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the groups *names*; ValueError where the environment has no such."""
    if missing := [name for name in names if name not in shapes]:
        raise ValueError(f"it sees images, and the environment shows no {', '.join(missing)} of its own")
    return {name: shapes[name] for name in names}


def _weights_of(saved: Any) -> tuple[str, Weights]:
    """Return the role of the model that acts, and its weights by their present names; ValueError."""
    if not isinstance(saved, Mapping):
        raise ValueError(f"expected a checkpoint of rsl_rl, got {type(saved).__name__}")
    for role in ("actor", "student"):
        if isinstance(saved.get(f"{role}_state_dict"), Mapping):
            return role, _renamed(saved[f"{role}_state_dict"], {})
    old = saved.get("model_state_dict")
    if not isinstance(old, Mapping):
        known = ", ".join(list(map(str, saved))[:5])
        raise ValueError(f"expected a checkpoint of rsl_rl, with an actor_state_dict; it has {known}")
    role = "student" if any(str(name).startswith("student.") for name in old) else "actor"
    prefixes = {
        f"{role}.": "mlp.",
        f"{role}_obs_normalizer.": "obs_normalizer.",
        f"memory_{role[0]}.rnn.": "rnn.rnn.",
    }
    statistics = saved.get("obs_norm_state_dict") or {}
    weights = _renamed({name: old[name] for name in old if _begins(str(name), prefixes)}, prefixes)
    return role, {**weights, **{f"obs_normalizer.{name}": value for name, value in statistics.items()}}


def _begins(name: str, prefixes: Mapping[str, str]) -> bool:
    return name in _OLD_WEIGHTS or name.startswith(tuple(prefixes))


def _renamed(weights: Mapping[Any, Any], prefixes: Mapping[str, str]) -> Weights:
    found = {}
    for given, value in weights.items():
        name = _OLD_WEIGHTS.get(given, str(given))
        old = next((prefix for prefix in prefixes if name.startswith(prefix)), "")
        found[prefixes.get(old, "") + name.removeprefix(old)] = value
    return found


def _arguments(section: Mapping[str, Any], weights: Weights) -> dict[str, Any]:
    """Return the arguments of the model's class, and ``class_name``, as version 5 has them."""
    given = {name: value for name, value in section.items() if value is not None}
    if "hidden_dims" not in given:  # of versions before 4, whose section is for two models
        given = {_OLD_KEYS[name]: value for name, value in given.items() if name in _OLD_KEYS}
    kind = given.get("class_name", "MLPModel")
    given["class_name"] = _OLD_CLASSES.get(kind, kind)
    given["obs_normalization"] = any(name.startswith("obs_normalizer.") for name in weights)
    if "distribution_cfg" not in given:
        found = [kind for name, kind in _KINDS_OF_STD.items() if name in weights]
        if found:
            given["distribution_cfg"] = {"class_name": "GaussianDistribution", "std_type": found[0]}
        elif section.get("state_dependent_std") is True:
            given["distribution_cfg"] = {"class_name": _TWO_PER_ACTION[0]}
    dropped = {*_OBSOLETE} | ({"rnn_hidden_dim", "rnn_num_layers"} if "rnn_type" not in given else set())
    return {name: value for name, value in given.items() if name not in dropped}


def _sizes(weights: Weights, arguments: Mapping[str, Any]) -> tuple[int, int]:
    """Return how many values the observation without images has, and an action; ValueError."""
    if not all(hasattr(value, "shape") for value in weights.values()):
        raise ValueError("expected a checkpoint of rsl_rl, its weights are no tensors")
    layers = {
        int(name.split(".")[1]): value
        for name, value in weights.items()
        if name.startswith("mlp.") and name.endswith(".weight") and name.split(".")[1].isdigit()
    }
    if not layers:
        raise ValueError("expected a checkpoint of rsl_rl, its model has no weights mlp.0.weight")
    first = weights.get("obs_normalizer._mean", weights.get("rnn.rnn.weight_ih_l0", layers[min(layers)]))
    kind = (arguments.get("distribution_cfg") or {}).get("class_name", "")
    outputs = int(layers[max(layers)].shape[0])
    return int(first.shape[-1]), outputs // 2 if str(kind).endswith(_TWO_PER_ACTION) else outputs


def _made(role: str, arguments: dict[str, Any], example: Any, groups: Sequence[str], actions: int) -> Any:
    """Return a new model; ValueError where rsl_rl makes none of these arguments."""
    torch: Any = importlib.import_module("torch")
    utils: Any = importlib.import_module("rsl_rl.utils")
    kind = arguments.pop("class_name")
    for name in (kind, (arguments.get("distribution_cfg") or {}).get("class_name", "")):
        package = str(name).replace(":", ".").partition(".")[0]
        if package != name and package not in _PACKAGES:
            raise ValueError(f"class_name: expected a class of {', '.join(_PACKAGES)}, got {name!r}")
    try:
        cls = utils.resolve_callable(kind)
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise ValueError(f"class_name: {error}") from None
    if not (isinstance(cls, type) and issubclass(cls, torch.nn.Module)):
        raise ValueError(f"class_name: expected a model, {kind} is none")
    known = inspect.signature(cls).parameters
    if unknown := [name for name in arguments if name not in known]:
        raise ValueError(f"{cls.__name__} of the installed rsl_rl does not know {', '.join(unknown)}")
    try:
        with torch.random.fork_rng(devices=[]):  # its first weights are drawn
            made = cls(example, {role: list(groups)}, role, actions, **copy.deepcopy(arguments))
    except (AssertionError, AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise ValueError(f"{cls.__name__} cannot be made: {error}") from error
    return made


def _first_states(model: Any, device: str) -> dict[str, FirstState]:
    if not model.is_recurrent:
        return {}
    torch: Any = importlib.import_module("torch")
    rnn = model.rnn.rnn
    zeros = torch.zeros(rnn.num_layers, 1, rnn.hidden_size, device=device)
    names = ("hidden", "cell") if isinstance(rnn, torch.nn.LSTM) else ("hidden",)
    return {name: FirstState(zeros, 1) for name in names}
