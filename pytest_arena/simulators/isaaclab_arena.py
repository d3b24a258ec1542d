"""IsaacLab-Arena: its jobs load, list and validate anywhere; running one needs Isaac Sim and Arena."""

from __future__ import annotations

import importlib
import json
from collections.abc import Hashable
from importlib.util import find_spec
from typing import Any, ClassVar

from pydantic import Field

from pytest_arena.errors import MissingDependencyError
from pytest_arena.jobs.model import Job, Model
from pytest_arena.simulators.base import SimEnv, Simulator, reseeded
from pytest_arena.simulators.isaaclab import launch_arguments
from pytest_arena.simulators.isaaclab_app import APP
from pytest_arena.simulators.isaaclab_arena_arguments import hydra_tokens

_ELSEWHERE = {
    "num_envs": "environment.num_envs",
    "seed": "environment.seed",
    "device": "environment.device",
    "language_instruction": "language_instruction",
}
"""Fields of Arena's builder that a job has a key of its own for."""


class IsaacLabArenaOptions(Model):
    """``environment.options``: what Arena's own builder reads."""

    args: dict[str, Any] = Field(default_factory=dict, description="arguments of the environment")
    builder: dict[str, Any] = Field(default_factory=dict, description="arguments of the builder")
    launch: dict[str, Any] = Field(
        default_factory=dict,
        description="arguments of the app's launcher, e.g. rendering_mode",
    )


class IsaacLabArenaSimulator(Simulator):
    """``simulator: isaaclab_arena``, also that of every job in Arena's own formats."""

    name = "isaaclab_arena"
    Options = IsaacLabArenaOptions
    app_first: ClassVar[bool] = True
    device_mask: ClassVar[bool] = False
    policy_names = frozenset(
        {
            "cosmos",
            "dreamzero",
            "droid_session",
            "gr00t_closedloop",
            "gr00t_remote_closedloop",
            "multi_robot",
            "pi0_remote",
            "replay",
            "replay_lerobot",
            "rl_games",
            "rsl_rl",
            "scripted_pick_place",
        }
    )

    def validate(self, job: Job) -> None:
        """Check the names of variations, and that the builder is told nothing twice."""
        options = IsaacLabArenaOptions.model_validate(job.environment.options)
        for key in (key for key in options.builder if key in _ELSEWHERE):
            raise job.problem(
                ("environment", "options", "builder", key), f"unknown key; it stands under {_ELSEWHERE[key]}"
            )
        try:
            hydra_tokens(job.environment.variations)
        except ValueError as error:
            raise job.problem(("environment", "variations"), str(error)) from None

    def metric_names(self, job: Job) -> frozenset[str] | None:
        """Only the built environment knows its metrics."""
        return None

    def environment_key(self, job: Job) -> Hashable:
        """All that an environment is built from. It runs one job: the next one like it gets a new one."""
        limited = job.rollout.episodes is not None
        made_from = (job.environment.seed, limited, job.record.trajectory, job.language_instruction)
        return (super().environment_key(job), made_from, self.launch_key(job))

    def rebuilt(self, job: Job, rebuild: int) -> Job:
        """Each rebuild has a seed of its own, so that it draws other variations."""
        return reseeded(job, rebuild)

    def own_dataset(self, job: Job) -> bool:
        """Arena computes its metrics from the file that its recorder writes."""
        return True

    def policy_class(self, name: str) -> type[Any]:
        """Return the class of a policy in Arena's registry."""
        from pytest_arena.simulators.isaaclab_arena_registry import policy_class

        return policy_class(name)

    def launch_key(self, job: Job) -> Hashable:
        """Cameras, device and whatever else is fixed when the app starts."""
        arguments = self._launch_arguments(job)
        cameras = bool(arguments.pop("enable_cameras"))
        return (self.name, json.dumps(arguments, sort_keys=True), cameras)

    def serves(self, launched: Hashable, wanted: Hashable) -> bool:
        """An app with cameras also runs what needs none, as in Arena's own runner."""
        return launched == wanted or (
            isinstance(launched, tuple)
            and isinstance(wanted, tuple)
            and launched[:-1] == wanted[:-1]
            and launched[-1] >= wanted[-1]
        )

    def launch(self, job: Job) -> None:
        """Start the app, after the one library that must be loaded before it."""
        if find_spec("isaaclab_arena") is None:
            raise MissingDependencyError(
                f"job {job.name!r} needs IsaacLab-Arena, which is not installed: pip install "
                "'pytest-arena[isaaclab]', then install isaaclab_arena from its repository "
                "(isaac-sim/IsaacLab-Arena)"
            )
        arguments = self._launch_arguments(job)
        options = IsaacLabArenaOptions.model_validate(job.environment.options)
        if not options.args.get("disable_pinocchio") and find_spec("pinocchio") is not None:
            importlib.import_module("pinocchio")
            arguments["disable_pinocchio_patch"] = True  # the launcher's own, which comes too late
        APP.start_launcher(arguments)

    def make(self, job: Job) -> SimEnv:
        """Build the job's environment with Arena's builder."""
        from pytest_arena.simulators.isaaclab_arena_build import build

        options = IsaacLabArenaOptions.model_validate(job.environment.options)
        cameras = bool(self._launch_arguments(job)["enable_cameras"])
        return build(job, options.args, options.builder, cameras=cameras)

    def shutdown(self, exit_code: int) -> None:
        """End the app, and with it the process."""
        APP.end(exit_code)

    def _launch_arguments(self, job: Job) -> dict[str, Any]:
        """Return the launcher's arguments. Cameras are on where the job names, films or enables any."""
        options = IsaacLabArenaOptions.model_validate(job.environment.options)
        asked = {key: options.args[key] for key in ("enable_cameras",) if key in options.args}
        return launch_arguments(job, {**asked, **options.launch})
