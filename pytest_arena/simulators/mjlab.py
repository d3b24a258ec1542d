"""mjlab: manager-based environments on MuJoCo-Warp, on the CPU or a GPU, with manual or automatic reset."""

from __future__ import annotations

import copy
import dataclasses
import inspect
from collections.abc import Hashable, Sequence
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

import gymnasium
import numpy as np
from pydantic import Field

from pytest_arena.errors import EvaluationError, MissingDependencyError, did_you_mean
from pytest_arena.jobs.model import Job
from pytest_arena.jobs.sections import StrictModel, Success
from pytest_arena.jobs.user_modules import import_named, named
from pytest_arena.simulators.array_types import Action, IndexArray, Observation
from pytest_arena.simulators.arrays import merge_rows
from pytest_arena.simulators.base import Capabilities, Parking, Reset, SimEnv, Simulator, Step, reseeded
from pytest_arena.simulators.cfg_overrides import override, set_given
from pytest_arena.simulators.devices import torch_device
from pytest_arena.simulators.tensor_env import SEEDS, RawStep, TensorEnv

PACKAGES = ("mjlab", "mujoco-warp", "warp-lang")
"""Those whose versions decide an episode."""
ENDLESS_SECONDS = 1e6
"""mjlab's configurations for play let an episode last 1e9 s or more: it would never end."""


class MjlabOptions(StrictModel):
    """``environment.options`` of this simulator."""

    task_package: tuple[str, ...] = Field(
        default=(), strict=False, description="modules imported first, to register tasks"
    )
    play: bool = Field(default=False, description="the task's configuration for play, not for training")
    overrides: dict[str, Any] = Field(
        default_factory=dict, description="values of the configuration, nested or with dotted keys"
    )
    auto_reset: bool = Field(
        default=False, description="let mjlab reset rows within a step; their last state is then not seen"
    )


class MjlabEnv(TensorEnv):
    """Adapts mjlab's `ManagerBasedRlEnv`, in whichever reset mode it was made.

    In manual mode a row that ended is parked. mjlab steps all rows or none, so a parked row is reset once
    more and stepped along, uncounted; this happens only while the last episodes of a job end.
    """

    def __init__(
        self, env: Any, success: Success | None = None, cameras: Sequence[str] | None = None
    ) -> None:
        """Adapt *env*; see `TensorEnv` for *success*, *cameras* and errors."""
        self._manual = not env.unwrapped.cfg.auto_reset
        super().__init__(env, success, cameras)
        manager = self._base.termination_manager
        if not any(manager.get_term_cfg(name).time_out for name in self._terms):
            self.max_episode_steps = None  # mjlab's own number, but nothing ends an episode there
        self._ended = np.zeros(self.num_envs, np.bool_)  # mjlab refuses to step these
        self._beginning = True
        self._latest: Observation = None

    def _action_space(self) -> Any:
        return _gymnasium_space(self._base.single_action_space)

    def _observation_space(self) -> Any:
        return _gymnasium_space(self._base.single_observation_space)

    def _capabilities(self) -> Capabilities:
        """mjlab's cameras look once a step, after the resets of automatic mode."""
        found = super()._capabilities()
        return dataclasses.replace(found, terminal_frame=found.terminal_frame and self._manual)

    def begin(self, episodes: int | None) -> None:
        """The next reset is one of all rows, with a seed, whichever rows it names."""
        self._beginning = True

    def reset(self, env_ids: IndexArray | None = None, seeds: Sequence[int] | None = None) -> Reset:
        """Reset all rows, or, within a rollout in manual mode, those named; others keep what they are in.

        The first reset of a rollout seeds the one stream of random numbers that all rows share. What counts
        steps for a curriculum begins anew with it.
        """
        rows = np.arange(self.num_envs) if env_ids is None else env_ids
        if self._beginning or env_ids is None:
            self._base.common_step_counter = 0
            reset = super().reset(None, seeds)
            self._parking, self._beginning = Parking.all_of(self.num_envs), False
            self._ended[:] = False
        else:
            reset = super().reset(rows)
        self._parking.release(rows)
        self._ended[rows] = False
        return reset

    def step(self, actions: Action) -> Step:
        """Step all rows, parked ones along with the others."""
        if not self._manual:
            return super().step(actions)
        if self._ended.any():
            self._reset_rows(self._torch.as_tensor(np.flatnonzero(self._ended), device=self.device))
            self._ended[:] = False
        step = super().step(actions)
        self._ended = step.terminated | step.truncated
        return step

    def _reset_all(self, seed: int | None) -> Observation:
        self._latest = super()._reset_all(seed)
        return self._latest

    def _reset_rows(self, rows: Any) -> Observation:
        # mjlab observes all rows anew, with other noise: those that go on keep what they have seen.
        observation = self._env.reset(env_ids=rows)[0]
        self._latest = merge_rows(self._latest, observation, rows)
        return self._latest

    def _raw_step(self, actions: Action) -> RawStep:
        tensor = self._to_tensor(actions)
        if self._manual and self._parking.any:
            parked = self._torch.as_tensor(self._parking.parked, device=self.device)
            tensor = tensor.masked_fill(parked[:, None], 0.0)  # what they are given has no effect
        result: RawStep = self._env.step(tensor)
        self._latest = result[0]
        return result

    def _image(self, camera: str) -> Any:
        return getattr(self._base.scene.sensors[camera].data, self._films[camera])


class MjlabSimulator(Simulator):
    """``simulator: mjlab``."""

    name = "mjlab"
    Options = MjlabOptions
    seeds_rows = False
    gives_info = True

    def environment_key(self, job: Job) -> Hashable:
        """The seed counts: what is drawn when an environment is made depends on it."""
        return (super().environment_key(job), job.environment.seed)

    def rebuilt(self, job: Job, rebuild: int) -> Job:
        """Each rebuild has a seed of its own, so that what is drawn when it is made differs."""
        return reseeded(job, rebuild)

    def launch(self, job: Job) -> None:
        """Say what is missing; there is no app."""
        if find_spec("mjlab") is None:
            raise MissingDependencyError(
                f"job {job.name!r} needs mjlab, which is not installed: pip install 'mjlab>=1.6' "
                "(without a GPU, a CPU build of torch first; docs/simulators.md)"
            )

    def make(self, job: Job) -> SimEnv:
        """Build the environment."""
        from mjlab.envs import ManagerBasedRlEnv

        configuration = load_configuration(job)
        configure(configuration, job)
        env = ManagerBasedRlEnv(configuration, device=torch_device(job.environment.device))
        try:
            adapted = MjlabEnv(env, job.success, tuple(job.environment.cameras) or None)
        except BaseException:
            env.close()
            raise
        adapted.identity = {**adapted.identity, **{package: version(package) for package in PACKAGES}}
        if configuration.curriculum:  # the task gets harder or easier as it is evaluated
            adapted.identity["curriculum"] = sorted(configuration.curriculum)
        return adapted


def load_configuration(job: Job) -> Any:
    """Return a configuration of the job's own, from mjlab's registry or from ``module:name``.

    ``name`` is a configuration, or a function without arguments that returns one; with ``play`` it is called
    as ``name(play=True)``.
    """
    options = MjlabOptions.model_validate(job.environment.options)
    for package in options.task_package:
        import_named(package, "environment.options.task_package")
    module, _, name = job.environment.id.rpartition(":")
    if not module:
        return _registered(name, options.play)
    found = named(job.environment.id, "environment.id")
    if options.play and not (callable(found) and "play" in inspect.signature(found).parameters):
        raise EvaluationError(
            "environment.options.play: expected a function with the argument play, got "
            f"{job.environment.id!r}"
        )
    if callable(found):
        found = found(play=True) if options.play else found()
    from mjlab.envs import ManagerBasedRlEnvCfg

    if not isinstance(found, ManagerBasedRlEnvCfg):
        raise EvaluationError(
            f"environment.id: expected a ManagerBasedRlEnvCfg or a function that returns one, "
            f"{job.environment.id!r} gave {type(found).__name__}"
        )
    return copy.deepcopy(found)


def _registered(name: str, play: bool) -> Any:
    from mjlab.tasks.registry import list_tasks, load_env_cfg

    known = list_tasks()
    if name not in known:
        raise EvaluationError(
            f"environment.id: mjlab has no task {name!r}{did_you_mean(name, known)}; "
            "environment.options.task_package names the modules that register tasks; module:function gives a "
            "configuration"
        )
    return load_env_cfg(name, play=play)


def configure(configuration: Any, job: Job) -> None:
    """Set in *configuration* what the job says: first values, then what the job has keys of its own for."""
    environment = job.environment
    options = MjlabOptions.model_validate(environment.options)
    override(configuration, environment.variations, "environment.variations")
    override(configuration, options.overrides, "environment.options.overrides")
    configuration.seed = environment.seed % SEEDS
    configuration.scene.num_envs = environment.num_envs
    configuration.auto_reset = options.auto_reset
    for sensor in configuration.scene.sensors:
        camera = environment.cameras.get(sensor.name)
        if camera is not None:
            set_given(sensor, camera)
    if environment.max_episode_steps is not None:
        _limit(configuration, environment.max_episode_steps)
    elif job.rollout.episodes is not None and configuration.episode_length_s >= ENDLESS_SECONDS:
        raise EvaluationError(
            f"environment.max_episode_steps: {environment.id!r} lets an episode last "
            f"{configuration.episode_length_s:g} s, as configurations for play do: limit its steps"
        )


def _limit(configuration: Any, steps: int) -> None:
    """End episodes after *steps*, also those of a task that has no time-out of its own."""
    seconds = configuration.sim.mujoco.timestep * configuration.decimation
    configuration.episode_length_s = (steps - 0.5) * seconds  # mjlab rounds up
    terms = configuration.terminations
    if not any(term is not None and term.time_out for term in terms.values()):
        from mjlab.envs.mdp import time_out
        from mjlab.managers.termination_manager import TerminationTermCfg

        terms["time_out"] = TerminationTermCfg(func=time_out, time_out=True)


def _gymnasium_space(space: Any) -> gymnasium.Space[Any]:
    """Return the counterpart of one of mjlab's own spaces."""
    if hasattr(space, "spaces"):
        return gymnasium.spaces.Dict({key: _gymnasium_space(part) for key, part in space.spaces.items()})
    dtype: Any = np.dtype(space.dtype).type
    low, high = (np.broadcast_to(np.asarray(bound, dtype), space.shape) for bound in (space.low, space.high))
    return gymnasium.spaces.Box(low, high, dtype=dtype)
