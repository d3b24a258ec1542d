"""An ONNX model: its inputs and outputs, and what it remembers of each row."""

from __future__ import annotations

import importlib
import importlib.util
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_arena.errors import MissingDependencyError
from pytest_arena.policies.onnx.state_names import paired_states, require_states
from pytest_arena.policies.row_states import FirstState, RowStates
from pytest_arena.records.json_files import open_regular
from pytest_arena.simulators.array_types import IndexArray

_DTYPES = {
    "tensor(bool)": np.bool_,
    "tensor(double)": np.float64,
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(int32)": np.int32,
    "tensor(int64)": np.int64,
    "tensor(int8)": np.int8,
    "tensor(uint8)": np.uint8,
}
_DRAWS = (b"RandomNormal", b"RandomUniform", b"Multinomial", b"Bernoulli")
"""Beginnings of the names of operators that draw random numbers."""


@dataclass(frozen=True, slots=True)
class Slot:
    """An input."""

    shape: tuple[int | None, ...]
    """None: any size, as the rows of a batch have."""
    symbols: tuple[str | None, ...]
    """The names of the sizes that are not fixed, such as ``batch``."""
    dtype: Any

    @property
    def row(self) -> tuple[int | None, ...]:
        """The shape of one row."""
        return self.shape[1:]


class OnnxModel:
    """Runs on one thread, so that its numbers do not depend on the machine's load."""

    def __init__(
        self, file: Path, device: str, num_envs: int, states: Mapping[str, str] | None = None
    ) -> None:
        """Load *file*.

        Args:
            file: The model; weights that it keeps in other files lie beside it.
            device: ``cpu`` or ``cuda:N``.
            num_envs: N, the number of rows.
            states: Input -> output that is its next value; None: as their names tell.

        Raises:
            OSError: It cannot be read.
            ValueError: It is no model, or one whose inputs cannot be given; one line without the path.
            MissingDependencyError: onnxruntime is not installed, or not the one for GPUs.
        """
        with open_regular(file) as opened:
            content = opened.read()
        self.draws = any(name in content for name in _DRAWS)
        """It may draw random numbers: it has names of operators that do."""
        self._session = _session(file, device)
        every = {given.name: _slot(given) for given in self._session.get_inputs()}
        names = [given.name for given in self._session.get_outputs()]
        if states is not None:
            require_states(states, list(every), names)
        self._next = dict(paired_states(list(every), names) if states is None else states)
        self.inputs = {name: slot for name, slot in every.items() if name not in self._next}
        """Those that are no states."""
        self.outputs = [name for name in names if name not in self._next.values()]
        if not self.inputs or not self.outputs:
            kind = "input" if not self.inputs else "output"
            raise ValueError(f"it has no {kind} that is no state ({self._next}): set states")
        self.rows = _rows_of(self.inputs)
        """How many rows it takes at a time; None: any number."""
        if any(None not in every[name].shape for name in self._next):
            self.rows = self.rows or 1  # whatever the other inputs say
        self._without_rows = self.rows == 1
        self._states = RowStates({name: self._first(name, every[name]) for name in self._next}, num_envs)

    def forget(self, rows: IndexArray) -> None:
        """Let *rows* (K,) begin anew: their states are zeros."""
        self._states.forget(rows)

    def __call__(self, rows: IndexArray, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Return the outputs for K rows.

        Args:
            rows: (K,) their indices: whose states are used and kept.
            inputs: Name -> (K, …) array of the input's type.

        Returns:
            Name -> array of each output that is no state.

        Raises:
            ValueError: The model does not take these inputs, or fails; one line.
        """
        held = self._states.of(rows)
        given = {name: state[0] if self._without_rows else state for name, state in held.items()}
        names = [*self.outputs, *self._next.values()]
        try:
            found = dict(zip(names, self._session.run(names, {**inputs, **given}), strict=True))
        except Exception as error:  # classes of onnxruntime have no base of their own
            raise ValueError(str(error).strip().replace("\n", " ")) from error
        after = {name: found.pop(target) for name, target in self._next.items()}
        self._states.keep(
            rows, {name: state[None] if self._without_rows else state for name, state in after.items()}
        )
        return found

    def _first(self, name: str, slot: Slot) -> FirstState:
        """Return the zeros that a state begins with; ValueError where their size is not known."""
        if self._without_rows:  # whatever axis its one row is at
            axis, shape = 0, (1, *slot.shape)
        else:
            batch = next(iter(self.inputs.values())).symbols[0]
            fixed = [i for i, size in enumerate(slot.shape) if size == self.rows]
            named = [i for i, symbol in enumerate(slot.symbols) if symbol is not None and symbol == batch]
            at = (fixed if self.rows else named) or [i for i, size in enumerate(slot.shape) if size is None]
            if not at:
                raise ValueError(f"the state {name} has no axis for {self.rows} rows: {slot.shape}")
            axis = at[0]
            shape = tuple(1 if i == axis else size for i, size in enumerate(slot.shape))
        if None in shape:
            raise ValueError(f"the state {name} has no fixed shape: {slot.symbols}")
        return FirstState(np.zeros([size or 0 for size in shape], slot.dtype), axis)


def _session(file: Path, device: str) -> Any:
    if importlib.util.find_spec("onnxruntime") is None:
        raise MissingDependencyError(
            "the policy onnx needs onnxruntime: pip install 'pytest-arena[onnx]', or onnxruntime-gpu"
        )
    runtime: Any = importlib.import_module("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.use_deterministic_compute = True
    options.log_severity_level = 4
    providers: list[Any] = ["CPUExecutionProvider"]
    if device != "cpu":
        matched = re.fullmatch(r"cuda(?::(\d+))?", device)
        if matched is None:
            raise ValueError(f"expected device as cpu or cuda:N, got {device!r}")
        if "CUDAExecutionProvider" not in runtime.get_available_providers():
            raise MissingDependencyError(
                f"the policy onnx on {device} needs onnxruntime-gpu: pip install onnxruntime-gpu"
            )
        providers.insert(0, ("CUDAExecutionProvider", {"device_id": int(matched[1] or 0)}))
    try:
        session = runtime.InferenceSession(str(file), options, providers=providers)
    except Exception as error:  # classes of onnxruntime have no base of their own
        raise ValueError(f"expected an ONNX model: {str(error).strip().splitlines()[0]}") from error
    if device != "cpu" and "CUDAExecutionProvider" not in session.get_providers():
        raise ValueError(f"onnxruntime cannot use {device}: its CUDA libraries do not load")
    return session


def _slot(given: Any) -> Slot:
    if given.type not in _DTYPES:
        raise ValueError(f"the input {given.name} is {given.type}, which cannot be given")
    shape = tuple(size if isinstance(size, int) else None for size in given.shape)
    symbols = tuple(None if isinstance(size, int) else str(size) for size in given.shape)
    return Slot(shape, symbols, _DTYPES[given.type])


def _rows_of(inputs: Mapping[str, Slot]) -> int | None:
    sizes = {name: slot.shape[0] for name, slot in inputs.items() if slot.shape}
    if len(sizes) < len(inputs):
        raise ValueError(
            f"its inputs have no axis for rows: {', '.join(n for n in inputs if n not in sizes)}"
        )
    fixed = {size for size in sizes.values() if size is not None}
    if len(fixed) > 1:
        raise ValueError(f"its inputs are for different numbers of rows: {sizes}")
    return fixed.pop() if fixed else None
