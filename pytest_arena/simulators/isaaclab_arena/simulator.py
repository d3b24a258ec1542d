"""IsaacLab-Arena: its jobs load, list and validate anywhere; running one needs Isaac Sim and Arena."""

from __future__ import annotations

import importlib
import json
from collections.abc import Hashable
from importlib.util import find_spec
from typing import Any, ClassVar

from pydantic import Field

from pytest_arena.errors import MissingDependencyError
from pytest_arena.jobs.isaaclab_arena_keys import recorded_episodes
from pytest_arena.jobs.model import Job, split_episodes
from pytest_arena.jobs.sections import StrictModel
from pytest_arena.simulators.base import SimEnv, Simulator, reseeded
from pytest_arena.simulators.isaaclab.app import APP
from pytest_arena.simulators.isaaclab.simulator import launch_arguments
from pytest_arena.simulators.isaaclab_arena.arguments import hydra_tokens

_ELSEWHERE = {
    "num_envs": "environment.num_envs",
    "seed": "environment.seed",
    "device": "environment.device",
    "language_instruction": "language_instruction",
    "record_trajectories": "record.trajectory",
}
"""Fields of Arena's builder that a job has a key of its own for."""
_OURS = ("recorder_dataset_filename", "recorder_dataset_export_dir_path")
"""Fields of Arena's builder that are ours: the file is in the job's folder."""


class IsaacLabArenaOptions(StrictModel):
    """``environment.options``: what Arena's own builder reads."""

    args: dict[str, Any] = Field(default_factory=dict, description="arguments of the environment")
    builder: dict[str, Any] = Field(default_factory=dict, description="arguments of the builder")
    recorded_variations: tuple[str, ...] = Field(
        default=(),
        strict=False,
        description="files of recorded episodes, one a rebuild, whose variations are replayed",
    )
    launch: dict[str, Any] = Field(
        default_factory=dict,
        description="arguments of the app's launcher, e.g. rendering_mode",
    )


class IsaacLabArenaSimulator(Simulator):
    """``simulator: isaaclab_arena``, also that of every job in Arena's own formats."""

    name = "isaaclab_arena"
    Options = IsaacLabArenaOptions
    app_first: ClassVar[bool] = True
    seeds_rows: ClassVar[bool] = False
    gives_info: ClassVar[bool] = True
    device_mask: ClassVar[bool] = False
    policy_names = frozenset(
        {
            "cosmos",
            "cosmos_remote",
            "dreamzero",
            "dreamzero_remote",
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
        """Check the names of variations, and that no value of the builder is given twice."""
        options = IsaacLabArenaOptions.model_validate(job.environment.options)
        for key in (key for key in options.builder if key in _ELSEWHERE):
            raise job.problem(
                ("environment", "options", "builder", key), f"unknown key; it stands under {_ELSEWHERE[key]}"
            )
        for key in (key for key in options.builder if key in _OURS):
            raise job.problem(
                ("environment", "options", "builder", key), "unknown key; the file is in the job's folder"
            )
        if options.recorded_variations:
            self._check_recorded(job, options)
        try:
            hydra_tokens(job.environment.variations)
        except ValueError as error:
            raise job.problem(("environment", "variations"), str(error)) from None

    def _check_recorded(self, job: Job, options: IsaacLabArenaOptions) -> None:
        """A job replays each recorded episode once: what it would run otherwise is refused."""
        key = ("environment", "options", "recorded_variations")
        if "recorded_variation_samples_path" in options.builder:
            raise job.problem(key, "expected either these files or builder.recorded_variation_samples_path")
        if job.rollout.shards > 1:
            raise job.problem(("rollout", "shards"), "recorded variations cannot be split over shards")
        try:
            counts = [recorded_episodes(job.path(name)) for name in options.recorded_variations]
        except (OSError, ValueError) as error:
            raise job.problem(key, f"expected files of recorded episodes: {error}") from None
        shares = [len(share) for share in split_episodes(sum(counts), len(counts))]
        if counts != shares:
            raise job.problem(
                key,
                f"expected files of {', '.join(map(str, shares))} episodes, as rebuilds share them, got "
                f"{', '.join(map(str, counts))}: give each file a job of its own",
            )
        if (job.rollout.episodes, job.rollout.rebuilds) != (sum(counts), len(counts)):
            raise job.problem(
                ("rollout",),
                f"expected episodes: {sum(counts)} and rebuilds: {len(counts)}, as the files have them",
            )

    def metric_names(self, job: Job) -> frozenset[str] | None:
        """Only the built environment knows its metrics."""
        return None

    def environment_key(self, job: Job) -> Hashable:
        """All that an environment is built from. It runs one job: the next one like it gets a new one."""
        limited = job.rollout.episodes is not None
        made_from = (job.environment.seed, limited, job.record.trajectory, job.language_instruction)
        return (super().environment_key(job), made_from, self.launch_key(job))

    def rebuilt(self, job: Job, rebuild: int) -> Job:
        """Each rebuild has a seed of its own, so that it draws other variations, or replays its own file."""
        job = reseeded(job, rebuild)
        options = IsaacLabArenaOptions.model_validate(job.environment.options)
        if not options.recorded_variations:
            return job
        path = options.recorded_variations[rebuild]
        builder = {**options.builder, "recorded_variation_samples_path": path}
        environment = job.environment.model_copy(
            update={"options": {**job.environment.options, "builder": builder, "recorded_variations": []}}
        )
        return job.model_copy(update={"environment": environment})

    def writes_dataset(self, job: Job) -> bool:
        """Arena computes its metrics from the file that its recorder writes."""
        return True

    def policy_class(self, name: str) -> type[Any]:
        """Return the class of a policy in Arena's registry."""
        from pytest_arena.simulators.isaaclab_arena.registry import policy_class

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
        from pytest_arena.simulators.isaaclab_arena.build import build

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
