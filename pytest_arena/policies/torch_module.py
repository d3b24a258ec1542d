"""Policies stored as PyTorch programs, TorchScript or ``torch.export``, or as weights of a module of the job.

No Python code of the file is run. ``torch.jit.load`` builds the program with TorchScript's own interpreter
and never unpickles Python objects; what the program can do beside computing is looked for first
(`script_check`). ``torch.export.load`` does unpickle and evaluate, so only a checked copy is loaded
(`export_check`).
"""

from __future__ import annotations

import importlib
import importlib.util
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from pytest_arena.errors import EvaluationError, MissingDependencyError
from pytest_arena.jobs.model import Job
from pytest_arena.jobs.user_modules import named
from pytest_arena.policies.archive import read_members
from pytest_arena.policies.duck_typed import check_signature
from pytest_arena.policies.export_check import checked_export
from pytest_arena.policies.file_kinds import other_kind
from pytest_arena.policies.model_policy import FileSettings, ModelPolicy
from pytest_arena.policies.torchscript_check import checked_script
from pytest_arena.policies.torchscript_state import (
    export_keeps_nothing,
    module_keeps_nothing,
    script_keeps_nothing,
)
from pytest_arena.policies.weights import load_weights, read_weights
from pytest_arena.records.json_files import open_regular
from pytest_arena.simulators.array_types import IndexArray, Observation
from pytest_arena.simulators.base import SimEnv
from pytest_arena.simulators.devices import torch_device

EXPORTED_STATES = frozenset(("hidden_state", "cell_state"))
"""What a recurrent policy that rsl_rl exported keeps in itself, of one row."""
_KINDS = ("script", "program", "saved", "safetensors", "pickle")
_ACCEPTED = (
    "expected a TorchScript archive (torch.jit.save) or an exported program (torch.export.save); "
    "a pickled module is not accepted, since loading one can run any code; for a state dict name the class "
    "that it belongs to: module: my_module:MyClass"
)


class TorchSettings(FileSettings):
    """Settings of the policy ``torch``."""

    checkpoint: str = Field(
        min_length=1,
        description="TorchScript archive, exported program (.pt2), or weights (.pt, .safetensors)",
    )
    module: str | None = Field(
        default=None,
        description="module:Class of the job's own code whose weights the checkpoint has; default: the "
        "checkpoint is the whole program",
    )
    kwargs: dict[str, Any] = Field(default_factory=dict, description="arguments of module")
    observation_keys: tuple[str, ...] | None = Field(
        default=None,
        strict=False,
        min_length=1,
        description="of a dict observation: these entries, flattened and joined in this order",
    )


class TorchModule(ModelPolicy):
    """A module from observations (N, D) to actions (N, A)."""

    Settings = TorchSettings

    def __init__(self, settings: TorchSettings, env: SimEnv) -> None:
        """Load the checkpoint."""
        if importlib.util.find_spec("torch") is None:
            raise MissingDependencyError("the policy torch needs torch: pip install 'pytest-arena[torch]'")
        self._torch: Any = importlib.import_module("torch")
        super().__init__(settings, env)
        torch_device(self.device, "policy.device")
        self._keys = settings.observation_keys
        self._made = settings.module
        try:
            module, self._dtype, stateless = (
                load_program(self.file, self.device)
                if settings.module is None
                else _with_weights(settings.module, settings.kwargs, self.file, self.device)
            )
        except (OSError, ValueError) as error:
            raise self.unreadable(error) from None
        if settings.module is None and EXPORTED_STATES & {name for name, _ in module.named_buffers()}:
            raise EvaluationError(f"checkpoint {self.file}: it remembers one row: use type: rsl_rl")
        self._module: Any = module
        self.reproducible = self.deterministic = self.batch == "single" and stateless

    @classmethod
    def check(cls, settings: TorchSettings, job: Job) -> None:
        """Check that the job's own module can be imported and takes its arguments."""
        super().check(settings, job)
        if settings.observation is not None and settings.observation_keys is not None:
            raise job.problem(("policy", "observation_keys"), "expected no observation beside it")
        if settings.module is None:
            if settings.kwargs:
                raise job.problem(("policy", "kwargs"), "expected module beside it, which they are for")
            return
        try:
            made = named(settings.module, "policy.module")
        except EvaluationError as error:
            raise job.problem(("policy", "module"), str(error).removeprefix("policy.module: ")) from None
        if not callable(made):
            raise job.problem(("policy", "module"), f"expected a class, {settings.module} is none")
        if wrong := check_signature(made, settings.kwargs):
            key, expectation = wrong
            raise job.problem(("policy", "kwargs") if key is None else ("policy", "kwargs", key), expectation)

    def inputs(self, observation: Any) -> Any:
        """Return the observation as one tensor (N, …), of the dtype and on the device of the module.

        Where the job's ``observation`` has several entries, a dict of such: the module's named arguments.
        """
        if self.observed is None:
            return self._tensor(self._flat(observation))
        tensors = {name: self._tensor(part) for name, part in observation.items()}
        return next(iter(tensors.values())) if len(tensors) == 1 else tensors

    def compute(self, rows: IndexArray, inputs: Any) -> Any:
        """Return what the module makes of *inputs*, a tensor (K, …) or a dict of such."""
        with self._torch.inference_mode():
            return self._module(**inputs) if isinstance(inputs, Mapping) else self._module(inputs)

    @property
    def identity(self) -> Mapping[str, Any]:
        """The checkpoint's path and hash, and how it runs."""
        made = {} if self._made is None else {"module": self._made}
        return {**super().identity, "torch": str(self._torch.__version__), **made}

    def _tensor(self, part: Any) -> Any:
        return self._torch.as_tensor(part).to(device=self.device, dtype=self._dtype)

    def _flat(self, observation: Observation) -> Any:
        """Return the observation as one (N, …) array or tensor."""
        if not isinstance(observation, Mapping):
            return observation
        if self._keys is None:
            raise EvaluationError(
                "policy 'torch': the observation is a dict; set observation_keys to some of "
                + ", ".join(sorted(observation))
            )
        if missing := [key for key in self._keys if key not in observation]:
            raise EvaluationError(
                f"policy 'torch': the observation has no {', '.join(missing)}; it has "
                + ", ".join(sorted(observation))
            )
        parts = [observation[key] for key in self._keys]
        flat = [part.reshape(part.shape[0], -1) for part in parts]
        if isinstance(flat[0], self._torch.Tensor):
            return self._torch.cat(flat, dim=1)
        return np.concatenate(flat, axis=1)


def load_program(path: Path, device: str, remembered: frozenset[str] = frozenset()) -> tuple[Any, Any, bool]:
    """Load a TorchScript archive or an exported program: what the file is decides how.

    Args:
        path: The file.
        device: Where it is to run.
        remembered: Attributes of the program that its caller sets and keeps for it.

    Returns:
        The module, the dtype that it computes in, and whether it computes from its input, and from what is
        *remembered*, alone.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is broken.
        EvaluationError: It is no program, or reaches beyond tensors.
    """
    torch: Any = importlib.import_module("torch")
    if other := other_kind(path, *_KINDS):
        raise EvaluationError(f"checkpoint {path}: {_ACCEPTED}{other}")
    members = _members(path)
    try:
        if "constants.pkl" in members and any(name.startswith("code/") for name in members):
            script = checked_script(members)
            with warnings.catch_warnings():
                # torch 2.13 deprecates TorchScript; files written by others are still worth evaluating.
                warnings.simplefilter("ignore", DeprecationWarning)
                module = torch.jit.load(script, map_location=device).eval()
            stateless = script_keeps_nothing(module, remembered)
        elif members.get("archive_format") == b"pt2":
            program = torch.export.load(checked_export(members, path))
            if device != "cpu":
                program = importlib.import_module("torch.export.passes").move_to_device_pass(program, device)
            module = program.module(check_guards=False)
            stateless = export_keeps_nothing(program)
        else:
            raise EvaluationError(f"checkpoint {path}: {_ACCEPTED}")
    except (RuntimeError, AssertionError, ValueError, KeyError) as error:
        raise EvaluationError(f"checkpoint {path} cannot be loaded on {device}: {error}") from error
    return module, _dtype(torch, module), stateless


def _with_weights(
    path: str, arguments: Mapping[str, Any], checkpoint: Path, device: str
) -> tuple[Any, Any, bool]:
    """Return the job's own module with the weights of *checkpoint*, and the rest as `load_program`."""
    torch: Any = importlib.import_module("torch")
    module = named(path, "policy.module")(**arguments)
    if not isinstance(module, torch.nn.Module):
        raise EvaluationError(f"policy.module: expected a torch.nn.Module, {path} is {type(module).__name__}")
    load_weights(module, read_weights(checkpoint))
    module = module.to(device).eval()
    stateless = getattr(module, "reproducible", False) is True or module_keeps_nothing(module)
    return module, _dtype(torch, module), stateless


def _dtype(torch: Any, module: Any) -> Any:
    floating = (p.dtype for p in module.parameters() if p.dtype.is_floating_point)
    return next(floating, torch.float32)


def _members(path: Path) -> dict[str, bytes]:
    """Return the archive's files by their name below its one root folder; OSError, ValueError."""
    with open_regular(path) as file:
        if not zipfile.is_zipfile(file):
            raise EvaluationError(f"checkpoint {path}: {_ACCEPTED}")
        found = read_members(file)
    members = {name.partition("/")[2]: data for name, data in found.items()}
    if len(members) < len(found):
        raise ValueError("a name is in it twice")
    return members
