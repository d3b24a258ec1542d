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

    What the job says comes after *stronger*, a command line's, and before *weaker*, an ini file's.
    """
    asked = stronger or job.record.video or weaker
    return asked or "retain-on-failure", asked


def standard_recorders(
    job: Job, stronger: VideoChoice | None = None, weaker: VideoChoice | None = None
) -> list[Recorder]:
    """Return the recorders of *job*: of films, as `film_choice` has it, and of trajectories."""
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
    return recorders
