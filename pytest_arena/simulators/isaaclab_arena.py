"""IsaacLab-Arena: its jobs load, list and validate anywhere; running one needs the simulator."""

from __future__ import annotations

from collections.abc import Hashable
from importlib.util import find_spec
from typing import Any, ClassVar

from pydantic import Field

from pytest_arena.errors import EvaluationError, MissingDependencyError
from pytest_arena.jobs.model import Job, Model
from pytest_arena.simulators.base import SimEnv, Simulator


class IsaacLabArenaOptions(Model):
    """``environment.options``: what Arena's own builder reads."""

    args: dict[str, Any] = Field(default_factory=dict, description="arguments of the environment")
    builder: dict[str, Any] = Field(default_factory=dict, description="arguments of the builder")


class IsaacLabArenaSimulator(Simulator):
    """``simulator: isaaclab_arena``, also that of every job in Arena's own formats."""

    name = "isaaclab_arena"
    Options = IsaacLabArenaOptions
    app_first: ClassVar[bool] = True
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

    def metric_names(self, job: Job) -> frozenset[str] | None:
        """Only the built environment knows its metrics."""
        return None

    def launch_key(self, job: Job) -> Hashable:
        """Cameras and device are fixed when the app starts; its modules can be imported only afterwards."""
        options = IsaacLabArenaOptions.model_validate(job.environment.options)
        return (self.name, bool(options.args.get("enable_cameras")), job.environment.device)

    def launch(self, job: Job) -> None:
        """Say what is missing."""
        if find_spec("isaaclab_arena") is None:
            raise MissingDependencyError(
                f"job {job.name!r} needs IsaacLab-Arena, which is not installed: pip install "
                "'pytest-arena[isaaclab]', then install isaaclab_arena from its repository "
                "(isaac-sim/IsaacLab-Arena)"
            )
        raise EvaluationError(
            f"job {job.name!r}: this version of pytest-arena only validates IsaacLab-Arena jobs"
        )

    def make(self, job: Job) -> SimEnv:
        """Not reached: `launch` has raised."""
        raise EvaluationError(f"job {job.name!r}: IsaacLab-Arena has not been launched")
