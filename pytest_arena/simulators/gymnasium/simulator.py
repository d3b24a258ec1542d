"""Gymnasium: any registered environment through a vector environment, in all three autoreset modes."""

from __future__ import annotations

import multiprocessing
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import gymnasium
import numpy as np
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv, VectorEnv
from pydantic import Field

from pytest_arena.errors import MissingDependencyError
from pytest_arena.guards.close_within_limit import close_while_building, end_processes
from pytest_arena.jobs.messages import KeyPath
from pytest_arena.jobs.model import Job
from pytest_arena.jobs.sections import StrictModel, Success
from pytest_arena.jobs.user_modules import import_for
from pytest_arena.simulators.array_types import (
    Action,
    BoolArray,
    FloatArray,
    IndexArray,
    Observation,
    SuccessArray,
)
from pytest_arena.simulators.arrays import copy_rows, replace_rows, to_numpy
from pytest_arena.simulators.base import Capabilities, EpisodeEnd, Parking, Reset, SimEnv, Simulator, Step
from pytest_arena.simulators.gymnasium.answers import (
    MODES,
    Autoreset,
    answer_of,
    declared_mode,
    require_vector,
)
from pytest_arena.simulators.gymnasium.cameras import GymnasiumCameras, is_rendered
from pytest_arena.simulators.gymnasium.factories import (
    WRAPPERS,
    Factory,
    WrapperChoice,
    check_factory,
    check_wrappers,
    factory_of,
    find_environment,
)
from pytest_arena.simulators.gymnasium.info import VectorInfo
from pytest_arena.simulators.gymnasium.process import close_rows, names_rows
from pytest_arena.simulators.gymnasium.success import VectorSuccess, has_final, success_keys
from pytest_arena.simulators.gymnasium.vector import (
    SampleEnvironment,
    check_make_arguments,
    check_vector_arguments,
    make_vector,
    step_length,
    step_limit,
)
from pytest_arena.simulators.row_values import flags_by_row, numbers_by_row


class GymnasiumOptions(StrictModel):
    """``environment.options`` of this simulator."""

    vectorization: Literal["sync", "async", "vector_entry_point"] | None = Field(
        default=None, description="how rows run; default: sync, whose numbers do not depend on num_envs"
    )
    autoreset: Autoreset = Field(default="manual", description="for sync and async")
    make: dict[str, Any] = Field(
        default_factory=dict, description="arguments of gymnasium.make, or of the function that is the id"
    )
    wrappers: tuple[WrapperChoice, ...] = Field(
        default=(), strict=False, description="put around each row, in this order"
    )
    modules: tuple[str, ...] = Field(
        default=(), strict=False, description="imported first, to register environments"
    )
    episode_option: str | None = Field(
        default=None,
        min_length=1,
        description="name of the reset's option that is given the index of the episode, from 0",
    )


class GymnasiumEnv(SimEnv):
    """Adapts a gymnasium `VectorEnv`.

    In manual mode a row that ended is parked. `VectorEnv.step` cannot leave a row out, so a parked row is
    reset once without a seed and stepped along, uncounted; this happens only while the last episodes of a
    job end.
    """

    def __init__(
        self,
        vec: VectorEnv[Any, Any, Any],
        success: Success | None = None,
        cameras: Sequence[str] = (),
        sample: SampleEnvironment | None = None,
        episode_option: str | None = None,
    ) -> None:
        """Adapt *vec*; *success* tells how success is read, with *cameras* it can be filmed.

        *sample* is that of rows in processes which `make_vector` has built. The resets of rows that it has
        built get the option *episode_option*, the index of the episode that begins.

        Raises:
            EvaluationError: *vec* lacks what every vector environment has, does not declare its autoreset
                mode, or ``success.callable`` could only be asked about the next episode.
        """
        require_vector(vec)
        self._vec, self._base = vec, vec.unwrapped
        self._sample = sample
        self.num_envs, self.device = vec.num_envs, "cpu"
        self.single_action_space = vec.single_action_space
        self.single_observation_space = vec.single_observation_space
        self.step_dt = step_length(self._base) if sample is None else sample.step_dt
        self.max_episode_steps = _horizon(self._base) if sample is None else sample.max_episode_steps
        self.identity = {"spec": str(getattr(vec.spec, "id", type(self._base).__name__))}
        self._mode = declared_mode(vec)
        seedable = isinstance(self._base, (SyncVectorEnv, AsyncVectorEnv))
        self.capabilities = Capabilities(
            autoreset=self._mode,
            terminal_observation=True,
            terminal_frame=self._mode != "same_step" or not any(map(is_rendered, cameras or ["render"])),
            partial_reset=self._mode == "manual",
            episode_seeds=seedable and self._mode == "manual",
            deterministic=not getattr(vec.spec, "nondeterministic", False),
        )
        self._seedable = seedable
        self._copies = seedable and bool(getattr(self._base, "copy", False))
        self._success = VectorSuccess(vec, success or Success(), same_step=self._mode == "same_step")
        self._info = VectorInfo(vec, self._success.infos)
        self.cameras: GymnasiumCameras | None = GymnasiumCameras(self, cameras) if cameras else None
        self._parking = Parking.all_of(self.num_envs)
        self._stale = np.ones(self.num_envs, np.bool_)  # parked rows that ended: not to be stepped so
        self._resetting = np.zeros(self.num_envs, np.bool_)  # next-step: ended in the last step
        self._begun = self._closed = False
        self._episode_option = episode_option
        self._episode_options: list[dict[str, int]] = [{}] * self.num_envs

    @property
    def unwrapped(self) -> Any:
        """The vector environment."""
        return self._vec

    def watch_info(self, keys: Mapping[str, str]) -> None:
        """Give the numbers under these keys of the infos."""
        self._info.watch(keys)

    @names_rows
    def set_episodes(self, env_ids: IndexArray, episodes: Sequence[int]) -> None:
        """Give the rows' resets the index of their episode, where the job asks for it."""
        if self._episode_option is None:
            return
        for row, episode in zip(env_ids, episodes, strict=True):
            self._episode_options[row] = {self._episode_option: int(episode)}
        rows: Any = self._vec
        rows.set_attr("episode_options", self._episode_options)

    @names_rows
    def reset(self, env_ids: IndexArray | None = None, seeds: Sequence[int] | None = None) -> Reset:
        """Reset rows; in the automatic modes only all of them at once."""
        if env_ids is None:
            env_ids = np.arange(self.num_envs)
            seed: Any = seeds
            if seeds is not None:  # another package's vector environment may take one seed only, for all rows
                seed = list(seeds) if self._seedable else seeds[0]
            given = self._vec.reset(seed=seed)
        else:
            mask = np.zeros(self.num_envs, np.bool_)
            mask[env_ids] = True
            by_row: list[int | None] | None = None
            if seeds is not None and self.capabilities.episode_seeds:
                by_row = [None] * self.num_envs
                for row, own in zip(env_ids, seeds, strict=True):
                    by_row[int(row)] = own
            # The first reset must be of all rows: a batch of observations needs one of each.
            options = {"reset_mask": mask} if self._begun else None
            self._stale &= self._begun
            given = self._vec.reset(seed=by_row, options=options)  # type: ignore[arg-type]
        observation, info = answer_of(given, "reset", ("observation", "info"))
        self._begun = True
        # Without shared memory, a process would repeat its automatic reset after one that was asked for.
        self.spent = self._mode == "next_step" and not getattr(self._base, "shared_memory", True)
        self._parking.release(env_ids)
        self._stale[env_ids] = False
        self._resetting[:] = False
        observation = self._own(observation)
        if self.cameras is not None:
            self.cameras.see(observation)
        return Reset(observation, self._success.read(info), self._info.read(info))

    @names_rows
    def step(self, actions: Action) -> Step:
        """Step all rows; parked ones along with the others."""
        if self._mode == "manual" and self._parking.any and self._stale.any():
            self._vec.reset(options={"reset_mask": self._stale.copy()})
            self._stale[:] = False
        observation, reward, terminated, truncated, info = self._vector_step(to_numpy(actions))
        observation = self._own(observation)
        valid = ~self._parking.parked if self._mode == "manual" else ~self._resetting
        done = (terminated | truncated) & valid
        success = self._success.read(info)
        same_step = self._mode == "same_step"
        numbers = self._info.read_same_step(info, done) if same_step else self._info.read(info)
        ends: tuple[EpisodeEnd, ...] = ()
        terminal = None
        if self._mode == "manual" and self._parking.any:
            self._stale |= self._parking.parked & (terminated | truncated)
        self._resetting = done if self._mode == "next_step" else self._resetting
        if np.count_nonzero(done):
            if same_step:
                if has_final(info, done):
                    rows = np.flatnonzero(done)
                    finals = [info["final_obs"][row] for row in rows]
                    terminal = replace_rows(observation, rows, finals, self.single_observation_space)
                success = np.where(done, self._success.read_final(info), success)
            else:
                terminal = observation
            self._success.require_key()
            self._info.require()
            ends = self._ends(done, terminated, success)
            if self._mode == "manual":
                self._parking.park(done)
                self._stale |= done
        if self.cameras is not None:
            self.cameras.see(observation, terminal if same_step else None)
        return Step(
            observation=observation,
            reward=reward,
            terminated=terminated,
            truncated=truncated,
            valid=valid,
            success=success,
            ends=ends,
            terminal_observation=terminal,
            info=numbers,
        )

    def close(self) -> None:
        """Close the vector environment; processes of rows that do not answer are ended.

        Raises what the close of a row raised.
        """
        if self._closed:
            return
        self._closed = True
        if isinstance(self._base, AsyncVectorEnv):
            sample = self._sample
            close_rows(self._vec, answer=sample is not None, known=sample.problem if sample else None)
        else:
            self._vec.close()

    def _own(self, observation: Observation) -> Observation:
        return observation if self._copies else copy_rows(observation, self.single_observation_space)

    def _vector_step(
        self, actions: Action
    ) -> tuple[Any, FloatArray, BoolArray, BoolArray, Mapping[str, Any]]:
        """Step the vector environment; returns what it gave, with owned numbers and flags (N,)."""
        self._success.begin_step()
        try:
            result = self._vec.step(actions)
        finally:
            self._success.end_step()
        names = ("observation", "reward", "terminated", "truncated", "info")
        observation, reward, terminated, truncated, info = answer_of(result, "step", names)
        gave = "the vector environment's step() gave"
        return (
            observation,
            numbers_by_row(reward, f"{gave} as reward", self.num_envs),
            flags_by_row(terminated, f"{gave} as terminated", self.num_envs),
            flags_by_row(truncated, f"{gave} as truncated", self.num_envs),
            info,
        )

    def _ends(self, done: BoolArray, terminated: BoolArray, success: SuccessArray) -> tuple[EpisodeEnd, ...]:
        return tuple(
            EpisodeEnd(int(row), _reason(bool(terminated[row]), success[row] == 1))
            for row in np.flatnonzero(done)
        )


def _reason(terminated: bool, success: bool) -> str:
    if not terminated:
        return "time_out"
    return "success" if success else "terminated"


class GymnasiumSimulator(Simulator):
    """``simulator: gymnasium``."""

    name = "gymnasium"
    Options = GymnasiumOptions
    named_cameras_only = gives_info = True

    def validate(self, job: Job) -> None:
        """Check what a gymnasium environment cannot have, and that the id leads to one."""
        if job.environment.variations:
            raise job.problem(("environment", "variations"), "gymnasium environments have no variations")
        if job.environment.device not in (None, "cpu"):
            raise job.problem(("environment", "device"), f"expected cpu, got {job.environment.device!r}")
        if job.success.term is not None:
            raise job.problem(
                ("success", "term"),
                "gymnasium environments have no termination terms: use info_key or callable",
            )
        options = GymnasiumOptions.model_validate(job.environment.options)
        for needed in options.modules:
            import_for(job, ("environment", "options", "modules"), needed)
        factory = find_environment(job)
        vectorization = _vectorization(options, factory or job.environment.id)
        if factory is None:
            check_make_arguments(job, options.make)
        else:
            check_factory(job, factory, options.make)
        check_vector_arguments(job, options.make, vectorization)
        check_wrappers(job, options.wrappers)
        _check_own_vector(job, options, factory, vectorization)
        _check_episodes(job, options, vectorization)

    def make(self, job: Job) -> SimEnv:
        """Build the vector environment."""
        options = GymnasiumOptions.model_validate(job.environment.options)
        kwargs: dict[str, Any] = dict(options.make)
        if job.environment.max_episode_steps is not None:
            kwargs["max_episode_steps"] = job.environment.max_episode_steps
        factory = factory_of(job.environment.id)
        if any(map(is_rendered, job.environment.cameras)) and (factory is None or factory.takes_render_mode):
            kwargs["render_mode"] = "rgb_array"
        mode = _vectorization(options, factory or job.environment.id)
        sample = SampleEnvironment(job.rollout.timeout) if mode == "async" else None
        children = set(multiprocessing.active_children())
        try:
            vec = make_vector(
                factory or job.environment.id,
                job.environment.num_envs,
                mode,
                MODES[options.autoreset],
                kwargs,
                [wrapper.wrap for wrapper in options.wrappers],
                success_keys(job.success),
                sample,
            )
        except gymnasium.error.DependencyNotInstalled as error:
            raise MissingDependencyError(f"environment {job.environment.id}: {error}") from error
        except BaseException:  # rows that hang while they are built have processes that hang
            end_processes([*set(multiprocessing.active_children()) - children])
            raise
        try:
            cameras = tuple(job.environment.cameras)
            env = GymnasiumEnv(vec, job.success, cameras, sample, options.episode_option)
        except BaseException:
            if isinstance(vec, AsyncVectorEnv):
                end_processes(vec.processes)
            else:
                close_while_building(job.rollout.timeout, lambda: vec.close())
            raise
        if mode == "vector_entry_point" and isinstance(steps := kwargs.get("max_episode_steps"), int):
            env.max_episode_steps = steps if steps > 0 else None  # its own account is the registration's
        return env


def _check_episodes(job: Job, options: GymnasiumOptions, vectorization: str) -> None:
    """Raise `JobFileError` where the job needs episodes that a seed decides, and rows reset themselves."""
    asked: list[KeyPath] = []
    if job.rollout.only is not None:
        asked.append(("rollout", "only"))
    if job.environment.seeds is not None:
        asked.append(("environment", "seeds"))
    if options.episode_option is not None:
        asked.append(("environment", "options", "episode_option"))
    for key in asked:
        if vectorization == "vector_entry_point":
            raise job.problem(
                key, "a vector environment of a package's own cannot be told what each of its rows begins"
            )
        if options.autoreset != "manual":
            raise job.problem(
                key, f"expected environment.options.autoreset: manual beside it, got {options.autoreset}"
            )


def _check_own_vector(
    job: Job, options: GymnasiumOptions, factory: Factory | None, vectorization: str
) -> None:
    """Raise `JobFileError` for what a package's own vector environment cannot have."""
    if vectorization != "vector_entry_point":
        return
    if factory is not None:
        raise job.problem(
            ("environment", "options", "vectorization"),
            f"expected sync or async: {factory.env_id!r} makes the environment of one row",
        )
    if options.wrappers:
        raise job.problem(
            WRAPPERS, "expected environment.options.vectorization: sync or async, whose rows can be wrapped"
        )


def _vectorization(options: GymnasiumOptions, source: str | Factory) -> str:
    if options.vectorization is not None:
        return options.vectorization
    # Rows of a package's own vector class share one stream of random numbers: numbers would change
    # with num_envs. It is used only where asked for, or where there is nothing else.
    by_id = isinstance(source, str) and gymnasium.spec(source.rpartition(":")[2])
    return "vector_entry_point" if by_id and by_id.entry_point is None else "sync"


def _horizon(base: Any) -> int | None:
    # A row without a limit is one that the job has taken away, whatever the registration says.
    rows = getattr(base, "envs", ())
    return step_limit(rows[0] if rows else base)
