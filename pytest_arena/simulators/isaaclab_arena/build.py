"""Environments by Arena's own builder, from its typed configurations or from command-line arguments.

Imports Arena, so it is used only once the app runs.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import importlib
import inspect
import warnings
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from gymnasium.vector import AutoresetMode

from pytest_arena.errors import EvaluationError, did_you_mean
from pytest_arena.jobs.model import Job
from pytest_arena.simulators.base import SimEnv
from pytest_arena.simulators.cfg_overrides import set_given
from pytest_arena.simulators.isaaclab.config import (
    device_of,
    kept_if_built,
    redirect_dataset,
    rerender_on_reset,
    set_horizon,
)
from pytest_arena.simulators.isaaclab_arena.arguments import (
    argument_list,
    command_line,
    hydra_tokens,
    parser_errors,
    typed,
)
from pytest_arena.simulators.isaaclab_arena.env import ArenaEnv, tear_down
from pytest_arena.simulators.isaaclab_arena.registry import environment_types
from pytest_arena.simulators.tensor_env import SEEDS

APP_ARGUMENTS = ("disable_pinocchio",)
"""Arguments that say how the app starts: an environment does not know them."""
GRAPH_FLAGS = ("env_graph_spec_yaml", "env_spec")
"""The argument that names a graph's file, as releases call it."""
RECORDED = "recorded_variation_samples_path"
"""The builder's field for the file whose variations an environment replays."""
_IMPORTED: set[str] = set()
"""Environments of one's own that Arena's parser has registered in this process: it refuses to do it twice."""


def build(job: Job, arguments: Mapping[str, Any], builder: Mapping[str, Any], *, cameras: bool) -> SimEnv:
    """Build the job's environment; what is left of one that cannot be built is torn down.

    Args:
        job: The job that it is built for.
        arguments: The environment's own arguments by name: ``environment.options.args``. Those of the
            app are left out.
        builder: Values for Arena's builder: ``environment.options.builder``. They replace what the job says
            elsewhere.
        cameras: Whether any are on.

    Returns:
        The adapter of the environment.

    Raises:
        EvaluationError: The installed IsaacLab-Arena lacks what the job asks for, or refuses one of its
            values.
        Exception: What Arena raises while it builds.
    """
    arguments = {key: value for key, value in arguments.items() if key not in APP_ARGUMENTS}
    builder = {
        "num_envs": job.environment.num_envs,
        "seed": job.environment.seed % SEEDS,
        "device": device_of(job),
        "language_instruction": job.language_instruction,
        **builder,
    }
    made = _builder(job, arguments, builder, cameras=cameras)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*Overriding environment")  # every job registers it anew
        _, configuration, *rest = made.build_registered()
    _configure(configuration, job, cameras=cameras)
    env = None
    with kept_if_built(configuration) as scratch:
        try:
            env = made.make_registered(configuration, *rest)
            return ArenaEnv(env, job.success, tuple(job.environment.cameras) or None, scratch, job.name)
        except BaseException:
            tear_down(suppress_exceptions=True)
            if env is not None:
                env.close()
            raise


def _builder(job: Job, arguments: dict[str, Any], builder: Mapping[str, Any], *, cameras: bool) -> Any:
    name, variations = job.environment.id, hydra_tokens(job.environment.variations)
    if _is_graph(name):
        return _from_graph(job, arguments, builder, variations, cameras=cameras)
    types = None if ":" in name else environment_types(name)
    if types is None:
        return _from_command_line(job, arguments, builder, variations, cameras=cameras)
    factory, configuration_type = types
    known = {field.name for field in dataclasses.fields(configuration_type)}
    if cameras and "enable_cameras" in known:
        arguments = {"enable_cameras": True, **arguments}
    settings, arguments = _settings_apart(builder, arguments, known)
    with _refusals("environment.options.args"):
        configuration = typed(configuration_type, arguments)
    return _typed_builder(job, factory().build(configuration), settings, variations)


def _from_graph(
    job: Job, arguments: dict[str, Any], builder: Mapping[str, Any], variations: list[str], *, cameras: bool
) -> Any:
    """A graph's own arguments go through Arena's parser; how it is built is a typed configuration."""
    cli = importlib.import_module("isaaclab_arena_environments.cli")
    if not hasattr(cli, "arena_env_from_graph_spec"):
        return _from_command_line(job, arguments, builder, variations, cameras=cameras)
    settings, arguments = _settings_apart(builder, arguments)
    parsed = _parsed(job, arguments, cameras=cameras)
    flag = next(flag for flag in GRAPH_FLAGS if hasattr(parsed, flag))
    with _refusals("environment.options.args"):
        described = cli.arena_env_from_graph_spec(getattr(parsed, flag), parsed)
    return _typed_builder(job, described, settings, variations)


def _settings_apart(
    builder: Mapping[str, Any], arguments: Mapping[str, Any], own: Collection[str] = ()
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what configures the builder, and the environment's *arguments*.

    Arena's older files write both together: what its builder has a field for is the builder's, unless the
    environment has a field of its own of that name.
    """
    fields = {field.name for field in dataclasses.fields(_builder_configuration())}
    theirs = {key: value for key, value in arguments.items() if key in fields and key not in own}
    return {**theirs, **builder}, {key: value for key, value in arguments.items() if key not in theirs}


def _builder_configuration() -> Any:
    return importlib.import_module("isaaclab_arena.environments.arena_env_builder_cfg").ArenaEnvBuilderCfg


def _typed_builder(job: Job, described: Any, settings: Mapping[str, Any], variations: list[str]) -> Any:
    """Return Arena's builder of the environment that is *described*."""
    cls = _builder_configuration()
    known = {field.name for field in dataclasses.fields(cls)}
    with _refusals("environment.options.builder"):
        configuration = typed(cls, _with_files(job, _with_trajectories(job, settings, known), known))
    builders = importlib.import_module("isaaclab_arena.environments.arena_env_builder")
    return builders.ArenaEnvBuilder(described, configuration, hydra_overrides=variations)


def _with_files(job: Job, settings: Mapping[str, Any], known: Collection[str]) -> dict[str, Any]:
    """Return *settings* with files as they are found beside the job file."""
    if RECORDED in settings and RECORDED not in known:
        raise EvaluationError(
            "environment.options.recorded_variations: this IsaacLab-Arena cannot replay variations"
        )
    return {
        key: str(job.path(value)) if key.endswith("_path") and isinstance(value, str) else value
        for key, value in settings.items()
    }


def _from_command_line(
    job: Job, arguments: dict[str, Any], builder: Mapping[str, Any], variations: list[str], *, cameras: bool
) -> Any:
    cli = importlib.import_module("isaaclab_arena_environments.cli")
    leading = {key: builder[key] for key in ("num_envs", "env_spacing", "placement_seed") if key in builder}
    parsed = _parsed(job, {**leading, **arguments}, cameras=cameras)
    for key, value in _with_trajectories(job, builder, vars(parsed)).items():
        if key != "language_instruction" and not hasattr(parsed, key):
            near = did_you_mean(key, vars(parsed))
            raise EvaluationError(f"environment.options.builder: this IsaacLab-Arena has no {key!r}{near}")
        setattr(parsed, key, value)
    get_builder = cli.get_arena_builder_from_cli
    if not variations:
        return get_builder(parsed)
    if "hydra_overrides" not in inspect.signature(get_builder).parameters:
        raise EvaluationError("environment.variations: this IsaacLab-Arena has no variations")
    return get_builder(parsed, hydra_overrides=variations)


def _parsed(job: Job, arguments: dict[str, Any], *, cameras: bool) -> argparse.Namespace:
    """Parse *arguments* with the parser of the environment that the job names."""
    base = importlib.import_module("isaaclab_arena.cli.isaaclab_arena_cli")
    cli = importlib.import_module("isaaclab_arena_environments.cli")
    with command_line(()):
        general = vars(base.get_isaaclab_arena_cli_parser().parse_known_args([])[0])
    if cameras:
        arguments = {"enable_cameras": True, **arguments}
    words = argument_list(_selection(job, general), arguments, general)
    # The parser reads the process's arguments while it is made: a graph or a class adds some of its own.
    with _refusals("environment.options.args"), command_line(words), parser_errors():
        parser = cli.get_isaaclab_arena_environments_cli_parser()
        _IMPORTED.add(job.environment.id)
        parsed: argparse.Namespace = parser.parse_args(words)
    return parsed


def _selection(job: Job, general: Mapping[str, Any]) -> list[str]:
    """Return the arguments that name the environment."""
    name = job.environment.id
    if _is_graph(name):
        flag = next((flag for flag in GRAPH_FLAGS if flag in general), None)
        if flag is None:
            raise EvaluationError("environment.id: this IsaacLab-Arena cannot build environments from graphs")
        return [f"--{flag}", str(job.path(name))]
    module, _, attribute = name.partition(":")
    if not attribute:
        return [name]
    try:
        cls = getattr(importlib.import_module(module), attribute)
    except (ModuleNotFoundError, AttributeError) as error:
        raise EvaluationError(f"environment.id: cannot import {name!r}: {error}") from None
    flag = "external_environment_class_path"
    selected = [] if name in _IMPORTED else [f"--{flag if flag in general else 'environment'}", name]
    return [*selected, str(getattr(cls, "name", attribute))]


def _is_graph(name: str) -> bool:
    return name.endswith((".yaml", ".yml"))


def _with_trajectories(job: Job, builder: Mapping[str, Any], known: Collection[str]) -> dict[str, Any]:
    """Return the *builder*'s values, with ``record_trajectories`` where the job wants them."""
    if not job.record.trajectory:
        return dict(builder)
    if "record_trajectories" not in known:
        raise EvaluationError(
            "record.trajectory: this IsaacLab-Arena cannot record trajectories; what its metrics need is in "
            "the job's dataset.hdf5 without it"
        )
    return {"record_trajectories": True, **builder}


def _configure(configuration: Any, job: Job, *, cameras: bool) -> None:
    """Set in the composed *configuration* what Arena's builder does not take."""
    configuration.seed = job.environment.seed % SEEDS  # builders of old leave it out
    set_horizon(configuration, job.environment.max_episode_steps)
    _set_sizes(configuration, job)
    if cameras:
        rerender_on_reset(configuration)
    if job.rollout.episodes is not None and _counts_episodes(configuration):
        configuration.autoreset_mode = AutoresetMode.DISABLED
    elif hasattr(configuration, "compute_final_obs"):
        configuration.compute_final_obs = True
    redirect_dataset(configuration, wanted=True)


def _counts_episodes(configuration: Any) -> bool:
    """Whether this Arena can leave rows alone that have ended, and start exactly so many episodes."""
    environments = importlib.import_module("isaaclab_arena.environments.isaaclab_arena_manager_based_env")
    cls = environments.IsaacLabArenaManagerBasedRLEnv
    return hasattr(configuration, "autoreset_mode") and hasattr(cls, "set_episode_limit")


def _set_sizes(configuration: Any, job: Job) -> None:
    """Set the sizes of cameras: a term of the observations names the sensor that it shows."""
    images = getattr(configuration.observations, "camera_obs", None)
    for name, camera in job.environment.cameras.items():
        term = getattr(images, name, None)
        if term is None or not camera.model_fields_set:
            continue  # one that is not there is refused when the environment is adapted
        set_given(getattr(configuration.scene, term.params["sensor_cfg"].name), camera)


@contextlib.contextmanager
def _refusals(key: str) -> Iterator[None]:
    """Turn what Arena says of wrong values into the user's error, with the key that they stand under."""
    try:
        yield
    except (TypeError, ValueError, AssertionError) as error:
        raise EvaluationError(f"{key}: {error}") from None
