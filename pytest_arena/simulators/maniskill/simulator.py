"""ManiSkill's tasks by their ids, with its own options."""

from __future__ import annotations

import copy
import importlib.util
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any, ClassVar, Literal

from pydantic import Field

from pytest_arena.errors import EvaluationError, MissingDependencyError, did_you_mean, not_among
from pytest_arena.guards.no_terminal import nobody_answers
from pytest_arena.jobs.model import Job
from pytest_arena.jobs.sections import Camera, StrictModel
from pytest_arena.jobs.user_modules import import_named
from pytest_arena.simulators.base import SimEnv, Simulator
from pytest_arena.simulators.devices import torch_device
from pytest_arena.simulators.maniskill.env import ManiSkillEnv
from pytest_arena.simulators.maniskill.scenes import Scenes, camera_groups

PACKAGES = ("mani-skill", "sapien", "torch")
"""Those whose versions decide an episode."""
_DECIDED_ELSEWHERE = {
    "num_envs": "environment.num_envs",
    "max_episode_steps": "environment.max_episode_steps",
    "sim_backend": "environment.device",
    "render_mode": "environment.cameras",
    **{
        name: f"environment.options.{name}"
        for name in (
            "control_mode",
            "obs_mode",
            "reconfiguration_freq",
            "render_backend",
            "reward_mode",
            "robot_uids",
        )
    },
}
_NO_VULKAN = (
    "SAPIEN finds no Vulkan device that it can use, and needs one even where nothing is drawn ({reason}); "
    "with a GPU install its driver's Vulkan, without one a Mesa of 2024 or later, on Debian 12 "
    "`apt-get install -t bookworm-backports mesa-vulkan-drivers` (docs/environments.md#maniskill)"
)


class ManiSkillOptions(StrictModel):
    """``environment.options`` of this simulator."""

    obs_mode: str = Field(default="state", min_length=1, description="what is observed, e.g. state, rgb")
    control_mode: str | None = Field(default=None, description="the robot's controller; default: the task's")
    reward_mode: str | None = Field(default=None, description="default: the task's")
    robot_uids: str | None = Field(default=None, description="the robot; default: the task's")
    ignore_terminations: bool = Field(
        default=True,
        description="let every episode take its whole horizon, as ManiSkill's own evaluation does; "
        "false: success and fail end it",
    )
    reconfiguration_freq: Literal[0, 1] | None = Field(
        default=None,
        description="1: build the scene anew at each reset; 0: once. Default: 1 on the CPU, 0 on a GPU",
    )
    render_backend: Literal["gpu", "cpu", "none"] | None = Field(
        default=None, description="what draws; default: none unless images are asked for"
    )
    make: dict[str, Any] = Field(default_factory=dict, description="further arguments of the environment")
    modules: tuple[str, ...] = Field(
        default=(), strict=False, description="imported first, to register environments"
    )


class ManiSkillSimulator(Simulator):
    """``simulator: maniskill``."""

    name: ClassVar[str] = "maniskill"
    Options: ClassVar[type[StrictModel]] = ManiSkillOptions
    named_cameras_only: ClassVar[bool] = True
    gives_info: ClassVar[bool] = True

    def validate(self, job: Job) -> None:
        """Check what can be checked without ManiSkill: that no key is said in two places, or is not known."""
        options = ManiSkillOptions.model_validate(job.environment.options)
        for name in options.make:
            if name in _DECIDED_ELSEWHERE:
                raise job.problem(
                    ("environment", "options", "make", name),
                    f"is no argument here: set {_DECIDED_ELSEWHERE[name]}",
                )
        if job.environment.variations:
            raise job.problem(("environment", "variations"), "maniskill has no variations")
        for key in ("term", "callable"):
            if getattr(job.success, key) is not None:
                raise job.problem(("success", key), "maniskill reads success from its info: use info_key")

    def launch(self, job: Job) -> None:
        """Say what is missing; there is no app."""
        if importlib.util.find_spec("mani_skill") is None:
            raise MissingDependencyError(
                "the simulator maniskill needs mani-skill: pip install 'pytest-arena[maniskill]' "
                "(without a GPU, a CPU build of torch first)"
            )

    def make(self, job: Job) -> SimEnv:
        """Build the scenes: on the CPU one a row."""
        import_named("mani_skill.envs", "simulator")
        options = ManiSkillOptions.model_validate(job.environment.options)
        for module in options.modules:
            import_named(module, "environment.options.modules")
        device = torch_device(job.environment.device)
        arguments = _arguments(job, options, device)
        count = job.environment.num_envs if device == "cpu" else 1
        envs: list[Any] = []
        try:
            if job.environment.cameras:
                arguments |= _sizes(job, arguments)
            for _ in range(count):
                envs.append(_make_one(job.environment.id, arguments))
            env = ManiSkillEnv(
                Scenes(envs, _horizon(envs[0], job)),
                job.success,
                tuple(job.environment.cameras),
                ignore_terminations=options.ignore_terminations,
                rebuilt=arguments["reconfiguration_freq"] == 1,
            )
        except BaseException:
            for made in envs:
                made.close()
            raise
        env.identity = {
            **env.identity,
            "environment": job.environment.id,
            "sim_backend": arguments["sim_backend"],
            **{package: version(package) for package in PACKAGES},
        }
        return env


def _arguments(job: Job, options: ManiSkillOptions, device: str) -> dict[str, Any]:
    """Return the arguments of ``gymnasium.make``, without the sizes of cameras."""
    cpu = device == "cpu"
    rebuilt = options.reconfiguration_freq
    if rebuilt and not cpu:
        raise EvaluationError(
            "environment.options.reconfiguration_freq: expected 0 on a GPU, where all rows share one scene; "
            "rollout.rebuilds builds it anew"
        )
    looked_at = bool(job.environment.cameras) or _has_images(options.obs_mode)
    named = ("control_mode", "reward_mode", "robot_uids")
    given = {name: value for name in named if (value := getattr(options, name)) is not None}
    return {
        **options.make,
        **given,
        "obs_mode": options.obs_mode,
        "num_envs": 1 if cpu else job.environment.num_envs,
        "sim_backend": "physx_cpu" if cpu else device.replace("cuda", "physx_cuda"),
        "render_backend": options.render_backend or ("gpu" if looked_at else "none"),
        "reconfiguration_freq": (1 if cpu else 0) if rebuilt is None else rebuilt,
        "max_episode_steps": job.environment.max_episode_steps,
    }


def _has_images(obs_mode: str) -> bool:
    return obs_mode not in ("state", "state_dict", "none")


def _sizes(job: Job, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments that give the job's cameras their sizes; an environment is asked what it has."""
    probe = _make_one(job.environment.id, {**arguments, "num_envs": 1})
    groups = camera_groups(probe)
    probe.close()
    observed = _has_images(str(arguments["obs_mode"]))
    sized: dict[str, dict[str, Any]] = {"human": {}, "sensor": {}}
    for name, camera in job.environment.cameras.items():
        if name not in groups:
            raise EvaluationError(
                f"environment.cameras: {job.environment.id} has no camera {name!r}{not_among(name, groups)}"
            )
        if groups[name] == "human" or not observed:  # a film must not change what the policy sees
            sized[groups[name]][name] = _size(camera)
    human, sensors = ("human_render_camera_configs", "sensor_configs")
    return {
        human: {**arguments.get(human, {}), **sized["human"]},
        sensors: {**arguments.get(sensors, {}), **sized["sensor"]},
    }


def _size(camera: Camera) -> dict[str, int]:
    return {"width": camera.width, "height": camera.height}


def _make_one(name: str, arguments: Mapping[str, Any]) -> Any:
    """Make one environment; raises `EvaluationError` for what its user can mend."""
    import gymnasium

    try:
        with nobody_answers():  # it would ask whether it may download files
            return gymnasium.make(name, **copy.deepcopy(dict(arguments)))
    except gymnasium.error.NameNotFound as error:
        from mani_skill.utils.registration import REGISTERED_ENVS

        raise EvaluationError(
            f"environment.id: ManiSkill has no task {name!r}{did_you_mean(name, REGISTERED_ENVS)}; "
            "environment.options.modules names the modules that register tasks"
        ) from error
    except EOFError as error:
        raise EvaluationError(
            f"environment.id: {name} needs files that are not on this machine: "
            f"python -m mani_skill.utils.download_asset {name} (or the robot that the output above names)"
        ) from error
    except (AssertionError, NotImplementedError) as error:  # how ManiSkill refuses modes
        for option in ("control_mode", "obs_mode", "reward_mode"):
            if arguments.get(option) is not None and str(arguments[option]) in str(error):
                raise EvaluationError(f"environment.options.{option}: {error}") from error
        raise
    except RuntimeError as error:
        if "rendering device" in str(error) or "physical device" in str(error):
            raise EvaluationError(_NO_VULKAN.format(reason=str(error).splitlines()[0])) from error
        raise


def _horizon(env: Any, job: Job) -> int:
    """Return the most steps of an episode; `EvaluationError` where nothing limits them."""
    steps = env.get_wrapper_attr("_max_episode_steps")
    if steps is None:
        raise EvaluationError(
            f"environment.max_episode_steps: {job.environment.id} does not limit its episodes: set it"
        )
    return int(steps)
