"""The recorder seam: the calls that a rollout makes to its observers.

Order of calls: `start`, then for each episode of a row `on_reset`, `on_step` … and `on_end`, then
`after_rollout`; all of it again after a rebuild; finally `close`. An episode that still runs when a gate has
decided, or when something was raised, has no `on_end`. The loop is paused during a call: what takes long
belongs on a thread of the recorder's own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from pytest_arena.errors import USERS_MISTAKE, EvaluationError, described
from pytest_arena.jobs.model import Job
from pytest_arena.records.schema import Episode
from pytest_arena.rollout.schedule import EpisodeStart
from pytest_arena.simulators.array_types import Action, IndexArray, Observation
from pytest_arena.simulators.base import SimEnv, Step

Tick = Callable[[str], None]
"""Called with what is being done, e.g. ``filming 3 failures``: shows it, and raises when the time is up."""


@dataclass(frozen=True, slots=True)
class RolloutContext:
    """What a recorder may know when the rollout begins."""

    job: Job
    label: str
    """The job's name in this run: its folder, and ``job`` of its records."""
    attempt: int
    directory: Path
    """The job's folder; it exists."""
    run_dir: Path
    """Recorded paths are relative to this folder."""
    env: SimEnv

    def relative(self, path: Path) -> str:
        """Return *path* as records hold it: relative to the run directory, with forward slashes."""
        return path.relative_to(self.run_dir).as_posix()


@dataclass(slots=True)
class Recorded:
    """What a recorder left, for the job's record."""

    videos: list[str] = field(default_factory=list)
    hdf5_path: str | None = None
    notes: list[str] = field(default_factory=list)
    live_films: list[int] = field(default_factory=list)
    """Episodes that a later run must film live: a replay did not give them again."""
    revised: bool = False
    """Episodes were changed after their end; their lines are to be written anew."""
    environment_failed: bool = False
    """`Recorder.after_rollout` met an error of the environment, which may be in any state."""


class Recorder:
    """Base of recorders; every method does nothing."""

    watches_steps: ClassVar[bool] = False
    """Whether the loop calls `on_step`, which costs time at every step."""

    def start(self, context: RolloutContext) -> None:
        """Begin; called once an environment (again after a rebuild)."""

    def on_reset(self, rows: IndexArray, starts: Sequence[EpisodeStart], observation: Observation) -> None:
        """Episodes begin in some rows.

        Args:
            rows: (K,) int64, the rows that were reset.
            starts: K episodes: row ``rows[i]`` begins ``starts[i]``.
            observation: (N, …) after the reset, nested as the environment gives it, of all N rows.
        """

    def on_step(self, rows: IndexArray, actions: Action, step: Step) -> None:
        """Some rows took a counted step; called only where `watches_steps`.

        Args:
            rows: (K,) int64, the rows whose step counts.
            actions: (N, …) what the environment was given, of all N rows.
            step: What the environment returned, of all N rows.
        """

    def on_end(self, row: int, episode: Episode) -> None:
        """The episode of *row* ended; a recorder may add its files and metrics to *episode*.

        Its outcome may be ``error``: the policy could not go on with it, and it has no end of its own.
        """

    def after_rollout(self, tick: Tick) -> None:
        """The rollout in this environment is over, which is left to the recorder until this returns.

        *tick* is to be called between steps. Not called where the rollout was interrupted or the environment
        failed. What this raises, or lets *tick* raise, ends the job as an error.
        """

    def close(self) -> Recorded:
        """Finish all files, drop those of episodes that never ended. Calling it twice is harmless."""
        return Recorded()


def closed(recorder: Recorder) -> Recorded:
    """Close *recorder* and return what it left; `EvaluationError` where that is no `Recorded`."""
    left = recorder.close()
    if not isinstance(left, Recorded):
        raise EvaluationError(
            f"{type(recorder).__name__}.close() returned {described(left)}, expected a Recorded: "
            "return super().close()"
        )
    return left


def require_recorders(given: Any) -> None:
    """Raise `EvaluationError` where *given*, which a user's own code made, is no list of recorders."""
    __tracebackhide__ = USERS_MISTAKE
    if isinstance(given, str) or not isinstance(given, Sequence):
        raise EvaluationError(f"recorders: expected a list, got {described(given)}")
    for recorder in given:
        if not isinstance(recorder, Recorder):
            got = f"the class {recorder.__name__}" if isinstance(recorder, type) else described(recorder)
            raise EvaluationError(f"recorders: expected objects of a subclass of Recorder, got {got}")
