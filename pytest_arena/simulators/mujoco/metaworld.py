"""Meta-World: fifty manipulation tasks on MuJoCo, one plain environment a row.

An episode is decided by its seed alone: the seed picks one of the job's fifty goals, or draws a new one, and
Meta-World's reset leaves nothing of earlier episodes behind.
"""

from __future__ import annotations

import copy
import functools
import importlib
import importlib.metadata
import importlib.util
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from pydantic import Field

from pytest_arena.errors import EvaluationError, MissingDependencyError, did_you_mean
from pytest_arena.jobs.model import Job
from pytest_arena.jobs.sections import Camera, StrictModel
from pytest_arena.simulators.array_types import Action, IndexArray, Observation
from pytest_arena.simulators.arrays import to_numpy
from pytest_arena.simulators.base import (
    UNMEASURED,
    Capabilities,
    EpisodeEnd,
    Parking,
    Reset,
    SimEnv,
    Simulator,
    Step,
)
from pytest_arena.simulators.cameras import Cameras, Frames
from pytest_arena.simulators.info import WatchedInfo
from pytest_arena.simulators.mujoco.rendering import QualityChoice, Renderer, import_mujoco
from pytest_arena.simulators.row_values import success_of

# The names are kept here so that a job is validated without the second that importing Meta-World takes.
_TASKS = """
    assembly basketball bin-picking box-close button-press button-press-topdown button-press-topdown-wall
    button-press-wall coffee-button coffee-pull coffee-push dial-turn disassemble door-close door-lock
    door-open door-unlock drawer-close drawer-open faucet-close faucet-open hammer hand-insert handle-press
    handle-press-side handle-pull handle-pull-side lever-pull peg-insert-side peg-unplug-side pick-out-of-hole
    pick-place pick-place-wall plate-slide plate-slide-back plate-slide-back-side plate-slide-side push
    push-back push-wall reach reach-wall shelf-place soccer stick-pull stick-push sweep sweep-into
    window-close window-open
"""
TASKS = tuple(f"{name}-v3" for name in _TASKS.split())
HORIZON = 500
"""Meta-World refuses to step further."""

CAMERAS = ("topview", "corner", "corner2", "corner3", "corner4", "behindGripper", "gripperPOV")
UPSIDE_DOWN = frozenset({"corner", "corner2", "corner3", "corner4"})
"""Cameras that the model holds rotated by half a turn."""


class Options(StrictModel):
    """``environment.options`` of the simulator ``metaworld``."""

    quality: QualityChoice = Field(
        default="auto",
        description="scene quality; auto: fast (no shadows) in software, full on a GPU or with images",
    )
    goals: Literal["fifty", "new"] = Field(
        default="fifty",
        description="fifty: an episode takes one of the fifty goals that environment.seed draws, as in MT1; "
        "new: it draws a goal of its own, so that no two episodes repeat each other",
    )
    terminate_on_success: bool | None = Field(
        default=None,
        description="end an episode at its success; null: only where success.when is once and success is "
        "Meta-World's own",
    )
    images: tuple[str, ...] = Field(
        default=(),
        strict=False,
        description="cameras whose images the observation has, as pixels.CAMERA beside state",
    )


class MetaworldSimulator(Simulator):
    """Meta-World 3 on MuJoCo, on the CPU."""

    name: ClassVar[str] = "metaworld"
    Options: ClassVar[type[StrictModel]] = Options
    named_cameras_only: ClassVar[bool] = True
    gives_info: ClassVar[bool] = True

    def validate(self, job: Job) -> None:
        """Raise `JobFileError` for an unknown task or camera, and for what Meta-World cannot do."""
        environment = job.environment
        if environment.id not in TASKS:
            hint = did_you_mean(environment.id, TASKS)
            raise job.problem(
                ("environment", "id"),
                f"expected a Meta-World V3 task such as 'reach-v3', got {environment.id!r}{hint}",
            )
        if environment.device not in (None, "cpu"):
            raise job.problem(("environment", "device"), f"expected cpu, got {environment.device!r}")
        if (environment.max_episode_steps or 0) > HORIZON:
            raise job.problem(
                ("environment", "max_episode_steps"),
                f"expected at most {HORIZON}, got {environment.max_episode_steps}",
            )
        for camera in environment.cameras:
            if camera not in CAMERAS:
                raise job.problem(
                    ("environment", "cameras", camera),
                    f"expected one of {', '.join(CAMERAS)}{did_you_mean(camera, CAMERAS)}",
                )
        for camera in Options.model_validate(environment.options).images:
            if camera not in environment.cameras:
                raise job.problem(
                    ("environment", "options", "images"),
                    f"expected cameras of environment.cameras, which says their size, got {camera!r}"
                    f"{did_you_mean(camera, environment.cameras)}",
                )
        if environment.variations:
            raise job.problem(("environment", "variations"), "metaworld has no variations")
        for name in ("term", "callable"):
            if getattr(job.success, name) is not None:
                raise job.problem(
                    ("success", name), "metaworld reads success from info_key: success, nothing else"
                )
        if job.success.info_key not in (None, "success"):
            raise job.problem(("success", "info_key"), f"expected success, got {job.success.info_key!r}")

    def environment_key(self, job: Job) -> Hashable:
        """Jobs share an environment only under one seed: it decides the set of goals."""
        return (super().environment_key(job), job.environment.seed)

    def launch(self, job: Job) -> None:
        """Import MuJoCo with the OpenGL that this machine has."""
        missing = [p for p in ("metaworld", "mujoco") if importlib.util.find_spec(p) is None]
        if missing:
            raise MissingDependencyError(
                f"the simulator metaworld needs {' and '.join(missing)}: "
                "pip install 'pytest-arena[metaworld]'"
            )
        import_mujoco()

    def make(self, job: Job) -> MetaworldEnv:
        """Build the job's rows."""
        options = Options.model_validate(job.environment.options)
        terminate = options.terminate_on_success
        own = job.success.when == "once" and job.success.rule is None
        return MetaworldEnv(
            job.environment.id,
            num_envs=job.environment.num_envs,
            seed=job.environment.seed,
            max_episode_steps=job.environment.max_episode_steps or HORIZON,
            cameras=job.environment.cameras,
            quality=options.quality,
            new_goals=options.goals == "new",
            terminate_on_success=own if terminate is None else terminate,
            images=options.images,
        )


@functools.lru_cache(maxsize=64)  # drawing them costs half a second, and rebuilds ask again
def goals(task_name: str, seed: int) -> tuple[Any, ...]:
    """Return the fifty goals of a task that *seed* draws, as ``metaworld.Task``.

    Seeds below 2**32 give the goals of ``metaworld.MT1(task_name, seed=seed)``.
    """
    metaworld = importlib.import_module("metaworld")
    if seed >= 2**32:
        seed = int(np.random.SeedSequence(seed).generate_state(1)[0])
    state = np.random.get_state()  # MT1 seeds numpy's global generator
    try:
        return tuple(metaworld.MT1(task_name, seed=seed).train_tasks)
    finally:
        np.random.set_state(state)


class MetaworldEnv(SimEnv):
    """N rows of one Meta-World task.

    Observations are (N, 39) float64, actions (N, 4) in [-1, 1]: the hand's motion in x, y, z and the gripper.
    With images, an observation is a dict: these numbers as ``state``, and ``pixels``, camera ->
    (N, H, W, 3) uint8 RGB.
    """

    cameras: MetaworldCameras | None
    clips_actions = True
    capabilities = Capabilities(
        autoreset="manual",
        terminal_observation=True,
        terminal_frame=True,
        partial_reset=True,
        episode_seeds=True,
        deterministic=True,
    )

    def __init__(
        self,
        task_name: str,
        *,
        num_envs: int = 1,
        seed: int = 0,
        max_episode_steps: int = HORIZON,
        cameras: dict[str, Camera] | None = None,
        quality: QualityChoice = "auto",
        new_goals: bool = False,
        terminate_on_success: bool = True,
        images: Sequence[str] = (),
    ) -> None:
        """Build *num_envs* rows; *seed* draws the fifty goals, or, with *new_goals*, each episode its own.

        Raises `EvaluationError` where *images*, which name some of the *cameras*, would be no true ones.
        """
        self._mujoco = import_mujoco()
        metaworld = importlib.import_module("metaworld")
        self.num_envs = num_envs
        self.max_episode_steps = self._horizon = max_episode_steps
        self.task_name = task_name
        self.task_description = task_name.removesuffix("-v3").replace("-", " ")
        self.goals = goals(task_name, seed)
        row_class = metaworld.ALL_V3_ENVIRONMENTS[task_name]
        self.rows: tuple[Any, ...] = tuple(row_class() for _ in range(num_envs))
        """The Meta-World environments themselves."""
        self.rows[0].set_task(self.goals[0])  # the observation's bounds depend on the kind of task
        self.step_dt = float(self.rows[0].dt)
        self.single_observation_space = self.rows[0].sawyer_observation_space
        self.single_action_space = self.rows[0].action_space
        self.identity = {p: importlib.metadata.version(p) for p in ("metaworld", "mujoco")}
        if images and quality == "auto":  # what a policy sees must not depend on how fast it is drawn
            quality = "full"
        self.cameras = MetaworldCameras(self, cameras, quality) if cameras else None
        self._terminate_on_success = terminate_on_success
        self._new_goals = new_goals
        self._parking = Parking.all_of(num_envs)
        self.lengths = np.zeros(num_envs, dtype=np.int64)
        """(N,) steps taken in the episodes that run."""
        self._observation = np.zeros((num_envs, 39), dtype=np.float64)
        self._watched = WatchedInfo(num_envs)
        self.images: dict[str, NDArray[np.uint8]] = {}
        """Camera -> (N, H, W, 3): the rows' current images, of the cameras that the observation has."""
        if images:
            self._show(images)

    def _show(self, cameras: Sequence[str]) -> None:
        """Put the images of these *cameras* into the observation."""
        assert self.cameras is not None, "images are of cameras that the environment has"
        if (reason := self.cameras.untrue()) is not None:
            self.close()
            raise EvaluationError(
                "environment.options.images: the policy would not see what it was trained on: " + reason
            )
        self.images = {camera: self.cameras.empty(camera, self.num_envs) for camera in cameras}
        shown: dict[str, spaces.Space[Any]] = {
            camera: spaces.Box(0, 255, batch.shape[1:], np.uint8) for camera, batch in self.images.items()
        }
        self.single_observation_space = spaces.Dict(
            {"pixels": spaces.Dict(shown), "state": self.single_observation_space}
        )

    def _observe(self, rows: IndexArray) -> Observation:
        """Return the observation of all rows, with new images of these *rows*; it is the caller's own."""
        state = self._observation.copy()
        if not self.images or self.cameras is None:
            return state
        for camera, batch in self.images.items():
            batch[rows] = self.cameras.render(camera, rows)
        return {"pixels": {camera: batch.copy() for camera, batch in self.images.items()}, "state": state}

    def watch_info(self, keys: Mapping[str, str]) -> None:
        """Give the numbers under these keys of the rows' infos; a reset has none."""
        self._watched.watch(keys)

    def reset(self, env_ids: IndexArray | None = None, seeds: Sequence[int] | None = None) -> Reset:
        """Begin new episodes; each row's seed picks its goal."""
        ids = np.arange(self.num_envs) if env_ids is None else np.asarray(env_ids, dtype=np.int64)
        if seeds is None:
            seeds = [int(s) for s in np.random.SeedSequence().generate_state(len(ids))]
        success = np.full(self.num_envs, UNMEASURED, dtype=np.int8)
        for i, seed in zip(ids, seeds, strict=True):
            row = self.rows[i]
            goal = np.random.default_rng(seed).integers(len(self.goals))
            row.set_task(self.goals[goal])  # reset(seed=…) alone would keep the goal
            if self._new_goals:  # Meta-World's reset draws until a goal meets the task's conditions
                row._freeze_rand_vec, row.seeded_rand_vec = False, True
                row.seed(seed)
            observation, _ = row.reset()
            self._observation[i] = observation
            success[i] = self._succeeds_already(row)
        self.lengths[ids] = 0
        self._parking.release(ids)
        return Reset(self._observe(ids), success)

    def step(self, actions: Action) -> Step:
        """Advance every row that is not parked. MuJoCo would answer a NaN by silently starting over."""
        valid = ~self._parking.parked
        actions = np.asarray(to_numpy(actions), np.float32)
        reward = np.zeros(self.num_envs, dtype=np.float64)
        success = np.full(self.num_envs, UNMEASURED, dtype=np.int8)
        numbers = self._watched.nothing()
        running = np.flatnonzero(valid)
        for i in running:
            observation, reward[i], _, _, info = self.rows[i].step(actions[i])
            self._observation[i] = observation
            success[i] = success_of(info["success"], "info['success'] is")
            if numbers:
                self._watched.read_row(numbers, int(i), info)
        self.lengths += valid
        terminated = valid & (success == 1) & self._terminate_on_success
        truncated = valid & ~terminated & (self.lengths >= self._horizon)
        ended = terminated | truncated
        some_ended = bool(ended.any())
        if some_ended:
            self._parking.park(ended)
            self._watched.require()
        observation = self._observe(running)
        return Step(
            observation=observation,
            reward=reward,
            terminated=terminated,
            truncated=truncated,
            valid=valid,
            success=success,
            ends=tuple(
                EpisodeEnd(int(i), "success" if terminated[i] else "time_out") for i in np.flatnonzero(ended)
            ),
            terminal_observation=observation if some_ended else None,
            info=numbers,
        )

    def settled(self, row: Any) -> Any:
        """Return a copy of the row's state with all that follows from it.

        Some tasks move a joint in their reset and leave bodies and images where the episode before had them;
        the next step would put them right. The row itself must behave as it always has.
        """
        data = copy.copy(row.data)
        self._mujoco.mj_forward(row.model, data)
        return data

    def _succeeds_already(self, row: Any) -> int:
        """Return success of a row's reset state, without leaving a trace in the row."""
        attributes = dict(row.__dict__)
        try:
            # Some tasks note progress (pickCompleted and the like) while they compute the reward.
            row.data = self.settled(row)
            _, info = row.evaluate_state(row._get_obs(), np.zeros(4, dtype=np.float32))
        finally:
            row.__dict__.clear()
            row.__dict__.update(attributes)
        return success_of(info["success"], "info['success'] is")

    def state(self, env_ids: IndexArray) -> Mapping[str, Any]:
        """Return the rows' MuJoCo state and their goals."""
        data = [self.rows[i].data for i in env_ids]
        names = ("qpos", "qvel", "mocap_pos", "mocap_quat")
        states = {name: np.stack([getattr(row, name) for row in data]) for name in names}
        return {**states, "goal": np.stack([self.rows[i]._target_pos for i in env_ids])}

    def close(self) -> None:
        """Free OpenGL and the rows; calling it twice is harmless."""
        if self.cameras is not None:
            self.cameras.close()
        for row in self.rows:
            row.close()
        self.rows = ()


class MetaworldCameras(Cameras):
    """Cameras of Meta-World's scene, which are rendered when their images are asked for."""

    def __init__(self, env: MetaworldEnv, sizes: Mapping[str, Camera], quality: QualityChoice) -> None:
        """Give images of the rows of *env*, each camera's in its size."""
        self.names = self._chosen = tuple(sizes)
        self._env, self._sizes = env, dict(sizes)
        self._renderer = Renderer(env.rows[0].model, quality)

    def choose(self, names: Sequence[str]) -> None:
        """Render these cameras only."""
        self._chosen = tuple(names)

    def check(self) -> None:
        """Start OpenGL, or get ready to do without."""
        self._renderer.check()

    def untrue(self) -> str | None:
        """Start OpenGL; returns why images are drawn without it, in other colours, or None."""
        self.check()
        return self._renderer.notice

    def empty(self, camera: str, rows: int) -> NDArray[np.uint8]:
        """Return black images of a camera's size, (rows, H, W, 3)."""
        size = self._sizes[camera]
        return np.zeros((rows, size.height, size.width, 3), dtype=np.uint8)

    def render(self, camera: str, env_ids: IndexArray) -> NDArray[np.uint8]:
        """Return the images of K rows by one camera, upright: (K, H, W, 3), owned by the caller."""
        env, images = self._env, self.empty(camera, len(env_ids))
        for image, i in zip(images, env_ids, strict=True):
            row = env.rows[i]
            data = row.data if env.lengths[i] else env.settled(row)
            image[:] = self._renderer.render(row.model, data, camera, *image.shape[1::-1])
        if "renderer" not in env.identity:
            env.identity = {**env.identity, **self._renderer.identity}
            self.notice = self._renderer.notice
        return images[:, ::-1, ::-1].copy() if camera in UPSIDE_DOWN else images

    def frames(self, env_ids: IndexArray) -> Frames:
        """Return the rows' images; those that the observation has are not drawn again."""
        seen = self._env.images
        return {
            camera: seen[camera][env_ids] if camera in seen else self.render(camera, env_ids)
            for camera in self.with_observed(self._chosen)
        }

    def close(self) -> None:
        """Free OpenGL."""
        self._renderer.close()
