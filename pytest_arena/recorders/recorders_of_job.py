"""The recorders that a job asks for."""

from __future__ import annotations

from pytest_arena.jobs.model import Job
from pytest_arena.jobs.sections import VideoChoice
from pytest_arena.rollout.recorder import Recorder
from pytest_arena.simulators.registry import find_simulator


def film_choice(
    job: Job, stronger: VideoChoice | None = None, weaker: VideoChoice | None = None
) -> tuple[VideoChoice, VideoChoice | None]:
    """Return which films are kept, and what was asked for, if anything was.

    Args:
        job: Its ``record.video`` comes after *stronger* and before *weaker*.
        stronger: What the command line asks for; None if nothing.
        weaker: What the ini file asks for; None if nothing.

    Returns:
        The choice that holds, by default ``retain-on-failure``; and the one that was asked for, or None.
    """
    asked = stronger or job.record.video or weaker
    return asked or "retain-on-failure", asked


def standard_recorders(
    job: Job, stronger: VideoChoice | None = None, weaker: VideoChoice | None = None
) -> list[Recorder]:
    """Return the recorders of *job*: of films, as `film_choice` has it, of trajectories, and for Rerun.

    Args:
        job: Its ``record`` section says what is recorded.
        stronger: Which films the command line asks for; None if it does not say.
        weaker: Which films the ini file asks for; None if it does not say.

    Returns:
        New recorders; none of films where they are off. Films that were asked for are required.

    Raises:
        MissingDependencyError: The job asks for recordings for Rerun, and its package is not installed.
    """
    from pytest_arena.recorders.trajectories.simulators_own import OwnDataset
    from pytest_arena.recorders.video import VideoRecorder

    recorders: list[Recorder] = []
    choice, asked = film_choice(job, stronger, weaker)
    if choice != "off":
        recorders.append(VideoRecorder(choice, job.record.cameras, required=asked is not None))
    if find_simulator(job).writes_dataset(job):
        recorders.append(OwnDataset())
    elif job.record.trajectory:
        from pytest_arena.recorders.trajectory import TrajectoryRecorder

        recorders.append(TrajectoryRecorder())
    if job.record.rerun in ("on", "retain-on-failure"):
        from pytest_arena.recorders.rerun import RerunRecorder

        recorders.append(RerunRecorder(failures_only=job.record.rerun == "retain-on-failure"))
    return recorders
