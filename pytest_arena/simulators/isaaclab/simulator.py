"""Isaac Lab 2.3 and 3.0: manager-based, direct and direct multi-agent environments, with or without Kit."""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import gymnasium
from pydantic import Field

from pytest_arena.errors import EvaluationError, MissingDependencyError
from pytest_arena.jobs.model import Job
from pytest_arena.jobs.sections import StrictModel, Success
from pytest_arena.simulators.array_types import Action, BoolArray, IndexArray, Observation
from pytest_arena.simulators.arrays import merge_rows
from pytest_arena.simulators.base import Reset, SimEnv, Simulator, Step, reseeded
from pytest_arena.simulators.isaaclab.app import APP, installed, kit_possible
from pytest_arena.simulators.isaaclab.own_dataset import IsaacLabDataset
from pytest_arena.simulators.tensor_env import SUCCESS_TERM, RawStep, TensorEnv


class IsaacLabOptions(StrictModel):
    """``environment.options`` of this simulator."""

    task_package: tuple[str, ...] = Field(
        default=(), strict=False, description="modules imported first, to register environments"
    )
    entry_point: str | None = Field(
        default=None,
        description="module:Class of an environment that is not manager-based",
    )
    presets: tuple[str, ...] = Field(
        default=(),
        strict=False,
        description="alternatives that the configuration offers, by name, e.g. newton_mjwarp (3.0)",
    )
    overrides: dict[str, Any] = Field(
        default_factory=dict, description="values of the configuration, nested or with dotted keys"
    )
    final_observation: bool = Field(
        default=True, description="compute the terminal observation where the version can (3.0)"
    )
    launch: dict[str, Any] = Field(
        default_factory=dict,
        description="arguments of the app's launcher, e.g. rendering_mode, physics",
    )


class IsaacLabEnv(TensorEnv):
    """Adapts `ManagerBasedRLEnv` and `DirectRLEnv`."""

    dataset: IsaacLabDataset

    def __init__(
        self,
        env: Any,
        success: Success | None = None,
        cameras: Sequence[str] | None = None,
        scratch: Path | None = None,
    ) -> None:
        """Adapt *env*; *scratch* is the folder of the dataset that it opened when it was made."""
        super().__init__(env, success, cameras)
        self.task_description = getattr(self._base.cfg, "task_description", None)
        self.dataset = self._make_dataset(scratch)

    def _make_dataset(self, scratch: Path | None) -> IsaacLabDataset:
        return IsaacLabDataset(self._base, scratch, self._success_to_record)

    def reset(self, env_ids: IndexArray | None = None, seeds: Sequence[int] | None = None) -> Reset:
        """Reset all rows. What counts steps for a curriculum begins anew, as in a new environment."""
        if env_ids is None and hasattr(self._base, "common_step_counter"):
            self._base.common_step_counter = 0
        return super().reset(env_ids, seeds)

    def discard_reset(self) -> None:
        """Reset once before the first rollout: the velocities that a first reset writes are lost.

        Without this, the first job in an environment would begin otherwise than those after it. A rollout's
        own reset seeds all that is drawn later, so this one takes nothing from it.
        """
        self._env.reset(seed=self._base.cfg.seed)

    def step(self, actions: Action) -> Step:
        """Step all rows."""
        self.dataset.in_step = True
        try:
            return super().step(actions)
        finally:
            self.dataset.in_step = False

    def _terminal(self, observation: Observation, extras: Mapping[str, Any], done: BoolArray) -> Observation:
        if not self.capabilities.terminal_observation:
            return None
        rows = self._torch.as_tensor(done, device=self.device)
        return merge_rows(observation, self._final(extras), rows)

    def _final(self, extras: Mapping[str, Any]) -> Observation:
        return extras["final_obs"]

    def _success_to_record(self) -> Any | None:
        """Return success where the recorder, which knows the term ``success`` alone, would have it wrong."""
        if self._success_of is not None:
            self._seen_success = self._called_success()
            return self._seen_success > 0.5
        if self._success_term not in (None, SUCCESS_TERM):
            return self._base.termination_manager.get_term(self._success_term)
        return None

    def close(self) -> None:
        """Close the recorder's file, then the environment."""
        if not self._closed:
            self.dataset.dispose()
            simulation: Any = getattr(self._base, "sim", None)
            if hasattr(simulation, "_disable_app_control_on_stop_handle"):
                simulation._disable_app_control_on_stop_handle = (
                    True  # else Kit renders until its timeline plays again
                )
        super().close()


class MultiAgentEnv(IsaacLabEnv):
    """Adapts `DirectMARLEnv`: dicts by agent for observations and actions; the agents are one team.

    The team's reward is the sum over its agents. An episode ends when all of them have terminated or all have
    timed out, as Isaac Lab decides it.
    """

    def _action_space(self) -> Any:
        return gymnasium.spaces.Dict(
            {agent: self._base.action_spaces[agent] for agent in self._base.possible_agents}
        )

    def _observation_space(self) -> Any:
        spaces = self._base.observation_spaces
        return gymnasium.spaces.Dict({agent: spaces[agent] for agent in self._base.possible_agents})

    def _raw_step(self, actions: Action) -> RawStep:
        if not isinstance(actions, Mapping):
            agents = ", ".join(self._base.possible_agents)
            raise EvaluationError(
                f"expected actions by agent ({agents}), the policy gave {type(actions).__name__}"
            )
        tensors = {agent: self._to_tensor(values) for agent, values in actions.items()}
        observation, reward, terminated, truncated, extras = self._env.step(tensors)
        total = self._torch.stack([values.float() for values in reward.values()]).sum(dim=0)
        return observation, total, self._all_agents(terminated), self._all_agents(truncated), extras

    def _all_agents(self, flags: Mapping[str, Any]) -> Any:
        return self._torch.stack(list(flags.values())).all(dim=0)

    def _final(self, extras: Mapping[str, Any]) -> Observation:
        return {agent: extras[agent]["final_obs"] for agent in self._base.possible_agents}


class IsaacLabSimulator(Simulator):
    """``simulator: isaaclab``."""

    name = "isaaclab"
    Options = IsaacLabOptions
    device_mask: ClassVar[bool] = not kit_possible()
    app_first: ClassVar[bool] = True
    seeds_rows: ClassVar[bool] = False
    gives_info: ClassVar[bool] = True

    def environment_key(self, job: Job) -> Hashable:
        """The seed counts: what is drawn when an environment is made depends on it."""
        key = super().environment_key(job)
        return (key, job.environment.seed, job.record.trajectory, json.dumps(self._launch_arguments(job)))

    def rebuilt(self, job: Job, rebuild: int) -> Job:
        """Each rebuild has a seed of its own, so that it draws other variations."""
        return reseeded(job, rebuild)

    def writes_dataset(self, job: Job) -> bool:
        """Isaac Lab's recorder writes trajectories."""
        return job.record.trajectory

    def launch_key(self, job: Job) -> Hashable:
        """Cameras, device and whatever else is fixed when Kit starts; None where no app is needed."""
        if not kit_possible():
            return None
        return tuple(sorted((name, str(value)) for name, value in self._launch_arguments(job).items()))

    def launch(self, job: Job) -> None:
        """Start Isaac Lab 2's app. Isaac Lab 3 starts what a configuration needs when it is made."""
        found = installed("isaaclab")
        if found is None:
            raise MissingDependencyError(
                f"job {job.name!r} needs Isaac Lab, which is not installed: pip install "
                "'pytest-arena[isaaclab]' (docs/isaaclab.md has the versions)"
            )
        if int(found.split(".")[0]) < 3:
            APP.start_launcher(self._launch_arguments(job))

    def make(self, job: Job) -> SimEnv:
        """Build the environment."""
        from pytest_arena.simulators.isaaclab.config import configure, kept_if_built, load_configuration

        options = IsaacLabOptions.model_validate(job.environment.options)
        configuration, gym_id, cls = load_configuration(
            job, options.task_package, options.entry_point, options.presets
        )
        arguments = self._launch_arguments(job)
        configure(
            configuration,
            job,
            options.overrides,
            final_observation=options.final_observation,
            cameras=bool(arguments["enable_cameras"]),
        )
        with kept_if_built(configuration) as scratch:
            if int(str(installed("isaaclab")).split(".")[0]) >= 3:
                APP.start_for(configuration, arguments)
            if gym_id is not None:
                env = gymnasium.make(gym_id, cfg=configuration, disable_env_checker=True)
            else:
                env = cls(cfg=configuration)
            return self.adapt(env, job, scratch)

    def adapt(self, env: Any, job: Job, scratch: Path | None) -> SimEnv:
        """Return the adapter of *env*, ready for its first job; one that cannot be adapted is closed.

        Args:
            env: Isaac Lab's environment, in wrappers of gymnasium or without.
            job: The job that it was built for: its success and its cameras.
            scratch: The folder of Isaac Lab's recorder that `redirect_dataset` made; None: there is none.

        Returns:
            The adapter, of several agents where *env* has ``possible_agents``.

        Raises:
            EvaluationError: *env* has no such success or camera as the job names.
            Exception: What *env* raises when it is reset.
        """
        kind = MultiAgentEnv if hasattr(env.unwrapped, "possible_agents") else IsaacLabEnv
        try:
            adapted = kind(env, job.success, tuple(job.environment.cameras) or None, scratch)
            adapted.discard_reset()
            return adapted
        except BaseException:
            env.close()
            raise

    def shutdown(self, exit_code: int) -> None:
        """End the app, and with it the process."""
        APP.end(exit_code)

    def _launch_arguments(self, job: Job) -> dict[str, Any]:
        """Return the launcher's arguments. Cameras are on where the job names or films any."""
        options = IsaacLabOptions.model_validate(job.environment.options)
        return launch_arguments(job, options.launch)


def launch_arguments(job: Job, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of the app for *job*: those *given*, and what follows from the job."""
    films = job.environment.cameras or job.record.cameras or job.record.video in ("on", "retain-on-failure")
    arguments: dict[str, Any] = {"headless": True, "enable_cameras": bool(films), **given}
    if job.environment.device is not None:
        arguments["device"] = job.environment.device
    return arguments
