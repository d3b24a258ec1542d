"""What ``play.py`` exports: a TorchScript archive that keeps its state in itself, or an ONNX model."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytest_arena.policies.onnx.model import OnnxModel
from pytest_arena.policies.row_states import FirstState, RowStates
from pytest_arena.policies.torch_module import EXPORTED_STATES, load_program
from pytest_arena.simulators.array_types import IndexArray


class ExportedScript:
    """A TorchScript archive. Where it remembers something, it gets each row's memory before it acts."""

    def __init__(self, file: Path, device: str, num_envs: int) -> None:
        """Load *file* for N rows; raises as `load_program`."""
        self._torch: Any = importlib.import_module("torch")
        self._module, _, self.stateless = load_program(file, device, EXPORTED_STATES)
        buffers = dict(self._module.named_buffers())
        self._buffers = {name: buffers[name] for name in EXPORTED_STATES if name in buffers}
        first = {name: FirstState(self._torch.zeros_like(held), 1) for name, held in self._buffers.items()}
        self._states = RowStates(first, num_envs)
        self.rows = 1 if self._buffers else None
        """How many rows it takes at a time; None: any number."""

    def forget(self, rows: IndexArray) -> None:
        """Let *rows* (K,) begin anew."""
        self._states.forget(rows)

    def __call__(self, rows: IndexArray, groups: Mapping[str, Any]) -> Any:
        """Return the actions (K, A), a tensor, for K rows whose observation is *groups*: name -> (K, d)."""
        with self._torch.inference_mode():
            for name, state in self._states.of(rows).items():
                self._buffers[name].copy_(state)
            actions = self._module(joined(groups))
            self._states.keep(rows, self._buffers)
        return actions


class ExportedOnnx:
    """An ONNX model with one input beside its states."""

    stateless = True

    def __init__(self, file: Path, device: str, num_envs: int) -> None:
        """Load *file* for N rows; raises as `OnnxModel`, and ValueError where it has several inputs."""
        self._model = OnnxModel(file, device, num_envs)
        if len(self._model.inputs) > 1 or "actions" not in self._model.outputs:
            names = ", ".join([*self._model.inputs, *self._model.outputs])
            raise ValueError(f"expected one input and the output actions, got {names}: use type: onnx")
        self.rows = self._model.rows
        """How many rows it takes at a time; None: any number."""

    def forget(self, rows: IndexArray) -> None:
        """Let *rows* (K,) begin anew."""
        self._model.forget(rows)

    def __call__(self, rows: IndexArray, groups: Mapping[str, Any]) -> Any:
        """Return the actions (K, A), an array, for K rows whose observation is *groups*: name -> (K, d)."""
        (name,) = self._model.inputs
        return self._model(rows, {name: joined(groups).cpu().numpy()})["actions"]


def joined(groups: Mapping[str, Any]) -> Any:
    """Return the groups of an observation, tensors (K, d), as one."""
    torch: Any = importlib.import_module("torch")
    parts = list(groups.values())
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=-1)
