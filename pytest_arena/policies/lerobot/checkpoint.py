"""The folder of a policy that LeRobot saved, read by its own code: no network, and none of the folder's code.

Weights and statistics are safetensors, all else is JSON. LeRobot's reader of processors would import and call
any class that such a file names, and would fetch from a model hub what a configuration names: neither is let
happen.
"""

from __future__ import annotations

import importlib
import importlib.metadata
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_arena.errors import EvaluationError, MissingDependencyError
from pytest_arena.records.json_files import read_json
from pytest_arena.simulators.lerobot import import_lerobot, reason_of

CONFIG, WEIGHTS = "config.json", "model.safetensors"
PROCESSORS = ("policy_preprocessor.json", "policy_postprocessor.json")
FILES = (CONFIG, WEIGHTS, *PROCESSORS)

_REFUSED = {
    "tdmpc": "plans from its last plan, which it keeps of all rows together",
    "lingbot_va": "keeps what it saw of all rows together",
}
"""Policies of LeRobot that cannot be asked row by row -> why."""


@dataclass(frozen=True, slots=True)
class LoadedPolicy:
    """A policy of LeRobot, with what turns observations into its inputs and its outputs into actions."""

    model: Any
    before: Any
    """Its pre-processor: features of a batch to inputs."""
    after: Any
    """Its post-processor: actions (K, A) to those of the environment."""

    @property
    def config(self) -> Any:
        """LeRobot's configuration of the policy."""
        return self.model.config


def load_checkpoint(folder: Path, device: str, execute: int | None = None) -> LoadedPolicy:
    """Load a policy.

    Args:
        folder: What ``save_pretrained`` of LeRobot wrote: configuration, weights, and both processors.
        device: Where it runs, as torch names it.
        execute: Steps of a chunk that are executed, in place of the policy's own number.

    Returns:
        The policy, in evaluation mode.

    Raises:
        EvaluationError: The folder cannot be loaded, or the policy cannot be asked row by row.
        MissingDependencyError: LeRobot, or what this policy needs beside it, is not installed.
    """
    import_lerobot("the policy lerobot")
    configs: Any = importlib.import_module("lerobot.configs.policies")
    factory: Any = importlib.import_module("lerobot.policies.factory")
    draccus: Any = importlib.import_module("draccus")
    migration: Any = importlib.import_module("lerobot.processor.pipeline").ProcessorMigrationError
    wrong = (OSError, ValueError, KeyError, RuntimeError, TypeError, migration, draccus.ParsingError)
    try:
        with _offline():
            config = configs.PreTrainedConfig.from_pretrained(
                folder, local_files_only=True, cli_overrides=[f"--device={device}"]
            )
            _check_config(folder, config, device, execute)
            _check_processors(folder)
            cls = factory.get_policy_class(config.type)
            model = cls.from_pretrained(folder, config=config, local_files_only=True, strict=True)
            before, after = factory.make_pre_post_processors(
                config, str(folder), preprocessor_overrides={"device_processor": {"device": device}}
            )
    except ImportError as error:
        raise MissingDependencyError(f"checkpoint {folder}: {' '.join(str(error).split())}") from error
    except wrong as error:
        raise EvaluationError(f"checkpoint {folder} cannot be loaded: {reason_of(error)}") from error
    return LoadedPolicy(model.eval(), before, after)


def _check_config(folder: Path, config: Any, device: str, execute: int | None) -> None:
    """Raise `EvaluationError` where the policy cannot be used so; what it need not fetch is taken out."""
    if config.type in _REFUSED:
        raise EvaluationError(f"checkpoint {folder}: LeRobot's {config.type} {_REFUSED[config.type]}")
    if config.use_peft:
        raise EvaluationError(
            f"checkpoint {folder} is an adapter (PEFT) of another policy: merge it into that policy first"
        )
    if str(config.device).partition(":")[0] != device.partition(":")[0]:
        raise EvaluationError(f"policy.device: torch has no {device!r} here")
    if execute is not None and hasattr(config, "n_action_steps"):
        if getattr(config, "temporal_ensemble_coeff", None) is not None and execute != 1:
            raise EvaluationError(
                f"policy.execute: checkpoint {folder} averages its chunks at every step "
                f"(temporal_ensemble_coeff), got {execute}"
            )
        config.n_action_steps = execute  # some cut their chunks to that length
    # They would be downloaded, only for the checkpoint's own to replace them.
    if hasattr(config, "pretrained_backbone_weights"):
        config.pretrained_backbone_weights = None


def _check_processors(folder: Path) -> None:
    """Raise `EvaluationError` for a step that is not LeRobot's: its reader calls whatever is named."""
    step_class: Any = importlib.import_module("lerobot.processor").ProcessorStep
    for name in PROCESSORS:
        content = read_json(folder / name)
        steps = content.get("steps", ()) if isinstance(content, dict) else ()
        for step in steps if isinstance(steps, list) else ():
            path = step.get("class") if isinstance(step, dict) and "registry_name" not in step else None
            if path is None:
                continue
            module, _, cls = str(path).rpartition(".")
            found = None
            if module.partition(".")[0] == "lerobot":
                found = getattr(importlib.import_module(module), cls, None)
            if not (isinstance(found, type) and issubclass(found, step_class)):
                raise EvaluationError(
                    f"checkpoint {folder}: {name} names {path!r}, which is no processor step of LeRobot: "
                    "loading it would run whatever it is"
                )


@contextmanager
def _offline() -> Iterator[None]:
    """Let nothing be fetched from a model hub; what its cache on this machine has can be used."""
    constants: Any = importlib.import_module("huggingface_hub.constants")
    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before
