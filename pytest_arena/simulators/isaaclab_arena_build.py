"""Environments by Arena's own builder, from its typed configurations or from command-line arguments.

Imports Arena, so it is used only once the app runs.
"""

from __future__ import annotations

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
from pytest_arena.simulators.configuration import set_given
from pytest_arena.simulators.isaaclab_arena_arguments import (
    argument_list,
    command_line,
    hydra_tokens,
    parser_errors,
    typed,
)
from pytest_arena.simulators.isaaclab_arena_env import ArenaEnv, tear_down
from pytest_arena.simulators.isaaclab_arena_registry import environment_types
from pytest_arena.simulators.isaaclab_config import (
    device_of,
    kept_if_built,
    redirect_dataset,
    rerender_on_reset,
    set_horizon,
)
from pytest_arena.simulators.tensor_env import SEEDS

APP_ARGUMENTS = ("disable_pinocchio",)
"""Arguments that say how the app starts: an environment does not know them."""
_IMPORTED: set[str] = set()
"""Environments of one's own that Arena's parser has registered in this process: it refuses to do it twice."""


def build(job: Job, arguments: Mapping[str, Any], builder: Mapping[str, Any], *, cameras: bool) -> SimEnv:
    """Build the job's environment; what is left of one that cannot be built is torn down."""
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
            return ArenaEnv(env, job.success, tuple(job.environment.cameras) or None, scratch)
        except BaseException:
            tear_down(suppress_exceptions=True)
            if env is not None:
                env.close()
            raise


def _builder(job: Job, arguments: dict[str, Any], builder: Mapping[str, Any], *, cameras: bool) -> Any:
    name, variations = job.environment.id, hydra_tokens(job.environment.variations)
    types = None if _is_graph(name) or ":" in name else environment_types(name)
    if types is None:
        return _from_command_line(job, arguments, builder, variations, cameras=cameras)
    factory, configuration_type = types
    if cameras and "enable_cameras" in {field.name for field in dataclasses.fields(configuration_type)}:
        arguments = {"enable_cameras": True, **arguments}
    with _refusals("environment.options.args"):
        configuration = typed(configuration_type, arguments)
    settings = importlib.import_module("isaaclab_arena.environments.arena_env_builder_cfg").ArenaEnvBuilderCfg
    known = {field.name for field in dataclasses.fields(settings)}
    with _refusals("environment.options.builder"):
        builder_configuration = typed(settings, _with_trajectories(job, builder, known))
    builders = importlib.import_module("isaaclab_arena.environments.arena_env_builder")
    return builders.ArenaEnvBuilder(
        factory().build(configuration), builder_configuration, hydra_overrides=variations
    )


def _from_command_line(
    job: Job, arguments: dict[str, Any], builder: Mapping[str, Any], variations: list[str], *, cameras: bool
) -> Any:
    base = importlib.import_module("isaaclab_arena.cli.isaaclab_arena_cli")
    cli = importlib.import_module("isaaclab_arena_environments.cli")
    with command_line(()):
        general = vars(base.get_isaaclab_arena_cli_parser().parse_known_args([])[0])
    if cameras:
        arguments = {"enable_cameras": True, **arguments}
    leading = {key: builder[key] for key in ("num_envs", "env_spacing", "placement_seed") if key in builder}
    words = argument_list(_selection(job, general), {**leading, **arguments}, general)
    # The parser reads the process's arguments while it is made: a graph or a class adds some of its own.
    with _refusals("environment.options.args"), command_line(words), parser_errors():
        parser = cli.get_isaaclab_arena_environments_cli_parser()
        _IMPORTED.add(job.environment.id)
        parsed = parser.parse_args(words)
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


def _selection(job: Job, general: Mapping[str, Any]) -> list[str]:
    """Return the arguments that name the environment."""
    name = job.environment.id
    if _is_graph(name):
        flag = next((flag for flag in ("env_graph_spec_yaml", "env_spec") if flag in general), None)
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
