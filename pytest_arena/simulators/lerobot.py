"""LeRobot's own environments, made by its own configurations: PushT, Aloha, LIBERO, Meta-World and others.

LeRobot builds the rows, and the adapter of gymnasium runs them, with a manual reset in place of LeRobot's
automatic ones: so an episode's seed decides it, whatever ran before in its row.
"""

from __future__ import annotations

import dataclasses
import importlib
import importlib.metadata
import importlib.util
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

import gymnasium
from gymnasium.wrappers import TimeLimit
from pydantic import BaseModel

from pytest_arena.errors import (
    EvaluationError,
    MissingDependencyError,
    did_you_mean,
    first_few,
    not_among,
    shortened,
)
from pytest_arena.guards.close_within_limit import close_while_building
from pytest_arena.jobs.model import Job
from pytest_arena.jobs.sections import Success
from pytest_arena.simulators.base import SimEnv, Simulator
from pytest_arena.simulators.gymnasium.row import AddedWrapper
from pytest_arena.simulators.gymnasium.simulator import GymnasiumEnv
from pytest_arena.simulators.gymnasium.vector import vector_of

_NO_SIMULATION = {
    "gym_manipulator": "is a real robot, or one that a person controls",
    "isaaclab_arena": "is code that LeRobot downloads and runs: use the simulator isaaclab_arena",
}
"""Types of environments that LeRobot knows and this simulator refuses -> why."""
_EPISODE = "episode"
"""Option of a row's reset: the index of the episode that begins."""


class LeRobotOptions(BaseModel, extra="allow"):
    """``environment.options`` of this simulator: the fields of LeRobot's configuration of the environment."""


class LeRobotEnv(GymnasiumEnv):
    """Rows that LeRobot made."""

    def __init__(
        self, rows: Sequence[Any], config: Any, limit: int | None, success: Success, cameras: Sequence[str]
    ) -> None:
        """Adapt *rows*.

        Args:
            rows: The environments of LeRobot, one a row.
            config: LeRobot's ``EnvConfig`` that they were made from.
            limit: The most steps of an episode; None: LeRobot's own number.
            success: How success is read.
            cameras: What can be filmed: ``render``, and paths of images in the observation.

        Raises:
            EvaluationError: LeRobot ends episodes before *limit*, or a camera is not there.
        """
        own = int(rows[0].get_wrapper_attr("_max_episode_steps"))
        if limit is not None and limit > own:
            raise EvaluationError(
                f"environment.max_episode_steps: LeRobot ends episodes of {config.type} after {own} steps"
            )
        vec = vector_of([_limited(row, limit or own) for row in rows])
        fixed = hasattr(rows[0].unwrapped, "init_state_id")
        super().__init__(vec, success, cameras, episode_option=_EPISODE if fixed else None)
        self.config = config
        self.max_episode_steps = limit or own
        self.step_dt = 1 / config.fps
        # As LeRobot's own loop has it.
        self.task_description = _text(rows[0], "task_description", "task")
        self.identity = {
            **self.identity,
            "spec": f"{config.type}/{config.task}",
            "lerobot": importlib.metadata.version("lerobot"),
        }


class InitialStateOfEpisode(AddedWrapper):
    """A row of LIBERO: episode k of the job begins in the k-th of the task's fixed states.

    LeRobot takes the next state at each reset, so that an episode would depend on how many ran before it in
    its row. With a single row the result is the same: the k-th reset is that of episode k.
    """

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        """Reset to the state of the episode that begins."""
        if options and _EPISODE in options:
            row: Any = self.env.unwrapped
            row.init_state_id = options[_EPISODE]
        return self.env.reset(seed=seed)


class LeRobotSimulator(Simulator):
    """``simulator: lerobot``."""

    name: ClassVar[str] = "lerobot"
    Options: ClassVar[type[BaseModel]] = LeRobotOptions
    named_cameras_only: ClassVar[bool] = True
    gives_info: ClassVar[bool] = True

    def validate(self, job: Job) -> None:
        """Check what no environment of LeRobot can have; where it is installed, also id and options."""
        environment = job.environment
        if environment.variations:
            raise job.problem(("environment", "variations"), "LeRobot's environments have no variations")
        if environment.device not in (None, "cpu"):
            raise job.problem(("environment", "device"), f"expected cpu, got {environment.device!r}")
        if job.success.term is not None:
            raise job.problem(
                ("success", "term"), "LeRobot's environments have no termination terms: use info_key"
            )
        if importlib.util.find_spec("lerobot") is not None:
            _config(job)

    def launch(self, job: Job) -> None:
        """Import LeRobot."""
        import_lerobot("the simulator lerobot")

    def make(self, job: Job) -> SimEnv:
        """Build the rows."""
        config, environment = _config(job), job.environment
        rows = _rows(job, config, environment.num_envs)
        try:
            limit, cameras = environment.max_episode_steps, tuple(environment.cameras)
            return LeRobotEnv(rows, config, limit, job.success, cameras)
        except BaseException:
            close_while_building(job.rollout.timeout, partial(_close, rows))
            raise


def import_lerobot(what: str) -> None:
    """Import LeRobot and the plugins that are installed for it.

    Raises `MissingDependencyError` where it is not installed; *what* needs it.
    """
    if importlib.util.find_spec("lerobot") is None:
        raise MissingDependencyError(f"{what} needs lerobot: pip install 'pytest-arena[lerobot]'")
    importlib.import_module("lerobot.utils.import_utils").register_third_party_plugins()


def reason_of(error: BaseException) -> str:
    """Return on one line what *error* says, and what caused it: LeRobot's parser tells the reason there."""
    cause = error.__cause__
    text = " ".join(str(error).split()) or type(error).__name__
    return text if cause is None or str(cause) in text else f"{text} {reason_of(cause)}"


def _config(job: Job) -> Any:
    """Return LeRobot's configuration of the job's environment; `JobFileError` where there is none such."""
    import_lerobot("the simulator lerobot")
    configs: Any = importlib.import_module("lerobot.envs.configs")
    draccus: Any = importlib.import_module("draccus")
    kind, options = job.environment.id, dict(job.environment.options)
    known = configs.EnvConfig.get_known_choices()
    if kind in _NO_SIMULATION:
        raise job.problem(("environment", "id"), f"{kind!r} of LeRobot {_NO_SIMULATION[kind]}")
    if kind not in known:
        names = sorted(set(known) - set(_NO_SIMULATION))
        raise job.problem(
            ("environment", "id"),
            f"expected one of {', '.join(names)}, got {kind!r}{did_you_mean(kind, names)}",
        )
    fields = {field.name for field in dataclasses.fields(known[kind]) if field.init}
    for key in options:
        if key not in fields:
            raise job.problem(
                ("environment", "options", key),
                f"LeRobot's {known[kind].__name__} has no such field{not_among(key, sorted(fields))}",
            )
    try:
        return draccus.decode(configs.EnvConfig, {"type": kind, **options})
    except (draccus.ParsingError, ValueError, TypeError) as error:
        place, text = _place(error, fields)
        raise job.problem(("environment", "options", *place), text) from None


def _place(error: Exception, fields: set[str]) -> tuple[tuple[str, ...], str]:
    """Return the option that an *error* of LeRobot's decoding is about, where it says so, and its text."""
    path = tuple(getattr(error, "key_path", ()))
    text = reason_of(error).removeprefix(f"`{'.'.join(path)}`: ")
    return (path[:1] if path and path[0] in fields else ()), text


def _rows(job: Job, config: Any, num_envs: int) -> list[Any]:
    """Return the environments that LeRobot makes for the rows."""
    try:
        factory: Any = importlib.import_module("lerobot.envs.factory")
        made: Mapping[str, Mapping[int, Any]] = factory.make_env(config, n_envs=num_envs)
    except ModuleNotFoundError as error:
        missing = f"environment {config.type}: {error}"
        raise MissingDependencyError(f"{missing}: pip install 'lerobot[{config.type}]'") from error
    tasks = [(suite, task, vec) for suite, by_task in made.items() for task, vec in by_task.items()]
    if len(tasks) != 1:
        close_while_building(job.rollout.timeout, partial(_close, [vec for _, _, vec in tasks]))
        ids = hasattr(config, "task_ids")
        names = first_few(task if ids else _text(vec.envs[0], "task") for _, task, vec in tasks)
        raise EvaluationError(
            f"environment.options: task {shortened(config.task)!r} of LeRobot's {config.type} is "
            f"{len(tasks)} environments, and a job evaluates one: set "
            f"{'task_ids to a list of one' if ids else 'task to one'} of {names}"
        )
    rows = list(tasks[0][2].envs)
    return [InitialStateOfEpisode(row) if hasattr(row.unwrapped, "init_state_id") else row for row in rows]


def _limited(row: gymnasium.Env[Any, Any], steps: int) -> gymnasium.Env[Any, Any]:
    """Return *row* with a limit of *steps*: LeRobot's own loop counts where the environment does not."""
    layer: Any = row
    while isinstance(layer, gymnasium.Wrapper):
        if isinstance(layer, TimeLimit) and layer._max_episode_steps == steps:
            return row
        layer = layer.env
    return TimeLimit(row, steps)


def _close(envs: Iterable[Any]) -> None:
    for env in envs:
        env.close()


def _text(row: Any, *names: str) -> str | None:
    """Return the first of these attributes of *row*; None where it has none."""
    for name in names:
        try:
            return str(row.get_wrapper_attr(name))
        except AttributeError:
            continue
    return None
