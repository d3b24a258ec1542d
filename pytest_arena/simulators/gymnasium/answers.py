"""What a vector environment of gymnasium must have, declare and answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv

from pytest_arena.errors import EvaluationError, described

Autoreset = Literal["manual", "next_step", "same_step"]
"""Who resets a row that ended, as job files and `Capabilities` name it."""
MODES: dict[Autoreset, AutoresetMode] = {
    "manual": AutoresetMode.DISABLED,
    "next_step": AutoresetMode.NEXT_STEP,
    "same_step": AutoresetMode.SAME_STEP,
}
_NAMES = {mode: name for name, mode in MODES.items()}

_OF_A_VECTOR = {
    "num_envs": ((int, np.integer), "a number of rows"),
    "single_action_space": ((gymnasium.Space,), "a space"),
    "single_observation_space": ((gymnasium.Space,), "a space"),
}


def require_vector(vec: Any) -> None:
    """Raise `EvaluationError`, which names what is wrong, where *vec* is no whole vector environment."""
    needed = ("unwrapped", "metadata", *_OF_A_VECTOR, "reset", "step", "close")
    name = f"the vector environment {type(getattr(vec, 'unwrapped', vec)).__name__}"
    if missing := [attribute for attribute in needed if not hasattr(vec, attribute)]:
        raise EvaluationError(
            f"{name} lacks {', '.join(missing)}: derive it from gymnasium.vector.VectorEnv, and set "
            f"{', '.join(_OF_A_VECTOR)} in its constructor"
        )
    for attribute, (types, expected) in _OF_A_VECTOR.items():
        if not isinstance(value := getattr(vec, attribute), types):
            raise EvaluationError(f"{name} has {described(value)} as its {attribute}, expected {expected}")


def declared_mode(vec: VectorEnv[Any, Any, Any]) -> Autoreset:
    """Return how *vec* says that it resets rows that ended; `EvaluationError` where it does not say."""
    metadata = vec.metadata if isinstance(vec.metadata, Mapping) else {}
    kind = type(vec.unwrapped).__name__
    modes = ", ".join(f"AutoresetMode.{mode.name}" for mode in AutoresetMode)
    if "autoreset_mode" not in metadata:
        raise EvaluationError(
            f"the vector environment {kind} does not declare its autoreset mode, and a wrong guess would "
            f"measure other episodes: set metadata['autoreset_mode'] to one of {modes}"
        )
    try:
        return _NAMES[AutoresetMode(metadata["autoreset_mode"])]
    except ValueError:
        raise EvaluationError(
            f"the vector environment {kind} declares the autoreset mode {metadata['autoreset_mode']!r}: "
            f"set metadata['autoreset_mode'] to one of {modes}"
        ) from None


def answer_of(result: Any, method: str, names: Sequence[str]) -> tuple[Any, ...]:
    """Return what a vector environment gave.

    Args:
        result: What its *method* returned.
        method: ``reset`` or ``step``, for messages.
        names: What the parts of *result* are; the last one is the info.

    Returns:
        *result*, which is a tuple of as many parts as there are *names*.

    Raises:
        EvaluationError: It is none, or its info is no dict.
    """
    call = f"the vector environment's {method}()"
    if not (isinstance(result, tuple) and len(result) == len(names)):
        expected = f"expected a tuple of {len(names)}: {', '.join(names)}"
        raise EvaluationError(f"{call} returned {described(result)}, {expected}")
    if not isinstance(result[-1], Mapping):
        raise EvaluationError(f"{call} gave {described(result[-1])} as its info, expected a dict")
    return result
