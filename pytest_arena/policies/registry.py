"""Policies by name or by class; validated before anything is simulated."""

from __future__ import annotations

import dataclasses
import inspect
import os
from collections.abc import Callable, Iterator
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from pytest_arena.errors import EvaluationError, RolloutTimeoutError, did_you_mean
from pytest_arena.guards.deadline import Deadline
from pytest_arena.guards.foreign_code import foreign_code
from pytest_arena.jobs.messages import plain_error
from pytest_arena.jobs.model import Job
from pytest_arena.jobs.user_modules import import_for, split_name
from pytest_arena.policies.base import Policy
from pytest_arena.policies.duck_typed import CustomPolicy, check_methods, check_signature
from pytest_arena.policies.fingerprints import sha256_of, source_sha256
from pytest_arena.policies.isaaclab_arena import ArenaPolicy, check_arena_settings, is_arena_style
from pytest_arena.simulators.base import SimEnv
from pytest_arena.simulators.registry import find_simulator

ENTRY_POINT_GROUP = "pytest_arena.policies"

BUILT_IN = {
    "gr00t": "pytest_arena.policies.servers.gr00t:Gr00t",
    "lerobot": "pytest_arena.policies.lerobot.policy:LeRobotPolicy",
    "metaworld_expert": "pytest_arena.policies.metaworld_expert:MetaworldExpert",
    "onnx": "pytest_arena.policies.onnx.policy:OnnxPolicy",
    "openpi": "pytest_arena.policies.servers.openpi:Openpi",
    "random": "pytest_arena.policies.untrained:RandomPolicy",
    "replay": "pytest_arena.policies.replay:ReplayPolicy",
    "roboarena": "pytest_arena.policies.servers.openpi:RoboArena",
    "rsl_rl": "pytest_arena.policies.rsl_rl.policy:RslRlPolicy",
    "sb3": "pytest_arena.policies.sb3.policy:Sb3Policy",
    "torch": "pytest_arena.policies.torch_module:TorchModule",
    "vla_eval": "pytest_arena.policies.servers.vla_eval:VlaEval",
    "zero": "pytest_arena.policies.untrained:ZeroPolicy",
    # IsaacLab-Arena's own names for the same policies, so that its job files run unchanged.
    "random_action": "pytest_arena.policies.untrained:RandomPolicy",
    "zero_action": "pytest_arena.policies.untrained:ZeroPolicy",
}


@cache
def _targets() -> dict[str, str]:
    found = {entry.name: entry.value for entry in entry_points(group=ENTRY_POINT_GROUP)}
    return {**found, **BUILT_IN}


def policy_names() -> list[str]:
    """Return the names of all registered policies."""
    return sorted(_targets())


def validate_policy(job: Job, *, may_import: bool, simulators_own: frozenset[str] = frozenset()) -> None:
    """Check the job's policy and its settings.

    Args:
        job: The job; of it the ``policy`` section is checked.
        may_import: Whether a class outside the registry is imported and checked: some simulators must start
            before the modules that their policies live in can be imported.
        simulators_own: Names of policies that are left to the simulator.

    Raises:
        JobFileError: There is no such policy, its class cannot be imported or has no way to act, or a
            setting is wrong.
    """
    kind = job.policy.type
    if kind in simulators_own:
        return
    if kind in _targets():
        cls = _import(_targets()[kind], job)
        cls.check(_settings(job, cls), job)
    elif not _is_path(kind):
        known = sorted({*policy_names(), *simulators_own})
        hint, names = did_you_mean(kind, known), ", ".join(known)
        raise job.problem(("policy", "type"), f"expected one of {names}, or module:Class, got {kind!r}{hint}")
    elif may_import:
        _check_class(job, _import(kind, job))


def make_policy(
    job: Job, env: SimEnv, give_up: Callable[[RolloutTimeoutError], None] | None = None
) -> Policy:
    """Make the job's policy; call after `validate_policy`.

    Args:
        job: Its ``policy`` section is made.
        env: The environment that the policy acts in.
        give_up: Saves what is known where nothing can interrupt the making; then the process ends.

    Returns:
        The policy.

    Raises:
        JobFileError: Its settings are not valid, or its class cannot be imported.
        RolloutTimeoutError: Making it took longer than the job's ``rollout.timeout``.
        Exception: What its class raises.
    """
    with foreign_code("the policy"), Deadline(job.rollout.timeout, "while the policy was made", give_up):
        return _make_policy(job, env)


def _make_policy(job: Job, env: SimEnv) -> Policy:
    simulator, kind = find_simulator(job), job.policy.type
    if kind in simulator.policy_names:
        cls = simulator.policy_class(kind)
    else:
        cls = _import(_targets().get(kind, kind), job)
    if kind in simulator.policy_names or kind not in _targets():
        _check_class(job, cls)  # it may be one that could not be imported any earlier
    if is_arena_style(cls):
        return ArenaPolicy.make(cls, job.policy.settings, env)
    if issubclass(cls, Policy):
        policy: Policy = cls(_settings(job, cls), env)  # type: ignore[call-arg]
        return policy
    return CustomPolicy.make(cls, job.policy.settings, env)


def as_policy(given: Any, env: SimEnv) -> Policy:
    """Return what a fixture gave as a policy: an object with `act` alone, or one of Arena's, is wrapped.

    Raises `EvaluationError` where it is none of them.
    """
    if isinstance(given, Policy):
        return given
    if isinstance(given, type):
        raise EvaluationError(f"arena_policy: expected a policy, got the class {given.__name__} itself")
    if is_arena_style(given):
        return ArenaPolicy(given, env)
    return CustomPolicy(given)


def policy_files(job: Job, hashes: dict[Path, str] | None = None) -> dict[str, str]:
    """Return the SHA-256 of each file that the job's policy is loaded from, by setting.

    *hashes* holds those that are known already, for jobs share files, and gets the others.
    """
    hashes = {} if hashes is None else hashes
    files = dict(_files(job))
    for path in files.values():
        if path not in hashes:
            try:
                hashes[path] = sha256_of(path)
            except (OSError, ValueError) as error:  # the policy itself says it better
                hashes[path] = f"cannot be read: {type(error).__name__}"
    return {name: hashes[path] for name, path in files.items()}


def _files(job: Job) -> Iterator[tuple[str, Path]]:
    """Yield (setting, file or folder) of what the job's policy is loaded from.

    Of a class that is not registered these are its ``file_settings`` and whatever else names a file: most
    classes do not declare any. What a job does not set has the class's own default.
    """
    kind, cls = job.policy.type, _class_of(job)
    declared = (*getattr(cls, "file_settings", ()), *getattr(cls, "folder_settings", ()))
    for setting, given in {**_defaults(cls), **job.policy.settings}.items():
        for name, value in _texts(setting, given):
            if not value or "\0" in value:
                continue
            # Settings of our own are files where they say so; ``kwargs`` are for code of the job's own.
            any_file = kind not in BUILT_IN or setting == "kwargs"
            try:
                path = job.path(value)
                is_one = setting in declared or (any_file and path.is_file())
            except OSError:  # a text that is too long for a name
                continue
            if is_one:
                yield name, path


def policy_source(job: Job) -> str | None:
    """Return the SHA-256 of the file that defines the job's own policy class; None for one of ours."""
    cls = _class_of(job)
    return None if cls is None else source_sha256(cls)


def _class_of(job: Job) -> type[Any] | None:
    """Return the class of the job's policy; None where it is the simulator's or needs its app."""
    simulator, kind = find_simulator(job), job.policy.type
    if kind in _targets() and kind not in simulator.policy_names:
        return _import(_targets()[kind], job)
    if _is_path(kind) and not simulator.app_first:
        return _import(kind, job)
    return None


def _defaults(cls: type[Any] | None) -> dict[str, Any]:
    """Return the defaults of a policy's settings: those of its model, else of the arguments of its class."""
    if cls is None:
        return {}
    if issubclass(cls, Policy):
        return {
            name: field.get_default(call_default_factory=True, validated_data={})
            for name, field in cls.Settings.model_fields.items()
        }
    try:
        signature = inspect.signature(cls).parameters.items()
    except (TypeError, ValueError):  # of a class that is written in C
        return {}
    found = {name: argument.default for name, argument in signature}
    if dataclasses.is_dataclass(cls):
        for field in dataclasses.fields(cls):
            if field.name in found and field.default_factory is not dataclasses.MISSING:
                found[field.name] = field.default_factory()
    return found


def _texts(name: str, value: Any) -> Iterator[tuple[str, str]]:
    """Yield each text in the setting, which may be a list or dict of such: ``heads[0]``, ``heads.left``."""
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    elif isinstance(value, BaseModel):
        value = dict(value)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, str):
        yield name, value
    elif isinstance(value, dict):
        for key, part in value.items():
            yield from _texts(f"{name}.{key}", part)
    elif isinstance(value, list | tuple):
        for index, part in enumerate(value):
            yield from _texts(f"{name}[{index}]", part)


def _is_path(kind: str) -> bool:
    module, _, name = split_name(kind)
    return bool(module) and all(part.isidentifier() for part in [*module.split("."), name])


def _import(kind: str, job: Job) -> type[Any]:
    module, _, name = split_name(kind)
    held = import_for(job, ("policy", "type"), module)
    found = getattr(held, name, None)
    if not isinstance(found, type):
        acting = [key for key, value in vars(held).items() if hasattr(value, "act") or is_arena_style(value)]
        hint = did_you_mean(name, acting)
        raise job.problem(("policy", "type"), f"expected a class, {module!r} has no class {name!r}{hint}")
    return found


def _settings(job: Job, cls: type[Any]) -> BaseModel:
    model: type[BaseModel] = cls.Settings
    try:
        settings = model.model_validate(job.policy.settings)
        named = (*cls.file_settings, *cls.folder_settings)
        given = [key for key in named if getattr(settings, key) is not None]
        found = {key: _file(job, cls, getattr(settings, key), (key,)) for key in given}
        return settings.model_copy(update=found)
    except ValidationError as error:
        key, expectation = plain_error(error, model)
        raise job.problem(("policy", *key), expectation) from None


def _file(job: Job, cls: type[Any], value: Any, key: tuple[str | int, ...]) -> Any:
    """Return the full path of what *value*, a setting of *cls*, names; of each, in a list or dict of them."""
    if isinstance(value, dict):
        return {name: _file(job, cls, part, (*key, name)) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_file(job, cls, part, (*key, index)) for index, part in enumerate(value))
    if not isinstance(value, str | Path):
        return value
    path = job.path(str(value))
    folder = key[0] in cls.folder_settings
    either = not folder and job.policy.type not in BUILT_IN
    if not ((path.is_file() and not folder) or (path.is_dir() and (folder or either))):
        kind = "a folder" if folder else "a file"
        raise job.problem(("policy", *key), f"expected {kind}, there is none at {path}")
    return str(path)


def _check_class(job: Job, cls: type[Any]) -> None:
    """Check the settings against whatever the class says of them: a model, or its signature."""
    if is_arena_style(cls):
        try:
            check_arena_settings(cls, job.policy.settings)
        except (TypeError, ValueError) as error:
            raise job.problem(("policy",), f"{cls.__name__}: {error}") from None
    elif issubclass(cls, Policy):
        cls.check(_settings(job, cls), job)
    elif not callable(getattr(cls, "act", None)):
        expected = "expected a class with act(observation) or get_action(env, observation)"
        raise job.problem(("policy", "type"), f"{expected}, {cls.__name__} has neither")
    elif (misfit := check_methods(cls)) is not None:
        raise job.problem(("policy", "type"), misfit)
    elif wrong := check_signature(cls, job.policy.settings):
        key, expectation = wrong
        raise job.problem(("policy",) if key is None else ("policy", key), expectation)
