"""Recordings for the Rerun viewer: an ``.rrd`` an episode, with what the policy saw and did.

On the timeline ``step``, k is the state after k steps. There are the observation and the images of this
state (0 to n), the action that followed on it (0 to n - 1), and the reward and the success that reaching it
brought (1 to n). The timeline ``time`` has the seconds of simulated time, where the simulator knows them.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from pytest_arena.errors import MissingDependencyError, RecordingError, not_among
from pytest_arena.guards.foreign_code import end_forked_child, forks, is_outcome
from pytest_arena.recorders.films.colours import kind_of_image
from pytest_arena.recorders.films.filming import ROWS_AT_ONCE, add_note
from pytest_arena.recorders.trajectories.layout import Layout
from pytest_arena.records.disk_space import require_room
from pytest_arena.records.rerun_names import RERUN, recording_name, unfinished_recording
from pytest_arena.records.schema import Episode, Outcome
from pytest_arena.rollout.recorder import Recorded, Recorder, RolloutContext
from pytest_arena.rollout.schedule import EpisodeStart
from pytest_arena.simulators.array_types import Action, IndexArray, Observation
from pytest_arena.simulators.base import UNMEASURED, Step
from pytest_arena.simulators.cameras import Cameras, Frames

FLUSH_BYTES = 8 << 20
"""What may wait in memory to be written, of one recording."""
MOST_CURVES = 512
"""Numbers of a vector that are drawn as curves; a longer one is a tensor."""
_QUALITY = 90
"""Of the JPEG images."""


@dataclass(slots=True)
class _Recording:
    """The file of the episode that a row is in."""

    path: Path
    stream: Any
    """A ``rerun.RecordingStream``."""
    steps: int = 0
    waiting: int = field(default=0)
    """Bytes that were logged since the last flush."""

    @property
    def part(self) -> Path:
        return unfinished_recording(self.path)


class RerunRecorder(Recorder):
    """Records each episode that ends; a recording that cannot be written costs the rollout nothing.

    Which episodes are recorded, and by which cameras, is as with films that are made live
    (``record.cameras``, ``video_environments``, ``video_every``).
    """

    watches_steps: ClassVar[bool] = True

    def __init__(self, *, failures_only: bool = False) -> None:
        """Keep every recording, or delete those of successes as their episodes end.

        Raises `MissingDependencyError` without the package ``rerun-sdk``.
        """
        try:
            import rerun
        except ImportError:
            raise MissingDependencyError(
                "record.rerun needs rerun-sdk: pip install 'pytest-arena[rerun]'"
            ) from None
        self._rerun, self._failures_only = rerun, failures_only
        self._context: RolloutContext | None = None
        self._cameras: Cameras | None = None
        """None where there are no images."""
        self._wanted: frozenset[str] = frozenset()
        self._observed, self._actions = Layout("observation", None, 0), Layout("action", None, 0)
        self._running: dict[int, _Recording] = {}
        self._found = Recorded()
        self._ended = False
        """Nothing is recorded any more, for a reason that is a note."""

    def start(self, context: RolloutContext) -> None:
        """Begin; recordings of episodes that an environment before this one has not ended are dropped."""
        self._drop_running()
        self._note_what_is_left_out()
        self._context, env = context, context.env
        self._observed = Layout("observation", env.single_observation_space, env.num_envs)
        self._actions = Layout("action", env.single_action_space, env.num_envs)
        self._cameras = self._chosen_cameras(context)

    def on_reset(self, rows: IndexArray, starts: Sequence[EpisodeStart], observation: Observation) -> None:
        """Begin the recordings of the rows, with the reset state."""
        begun = []
        for row, start in zip(rows.tolist(), starts, strict=True):
            self._drop(row)
            if self._wants(row, start.episode):
                begun.append((row, start))
        if not begun:
            return
        try:
            for row, start in begun:
                self._open(row, start)
            self._log_states([row for row, _ in begun], observation, [])
        except Exception as error:
            self._end_recording(error)

    def on_step(self, rows: IndexArray, actions: Action, step: Step) -> None:
        """Log the step of each row that is recorded."""
        recorded = [row for row in rows.tolist() if row in self._running]
        if not recorded:
            return
        try:
            arrays = self._actions.arrays(actions)
            for row in recorded:
                recording = self._running[row]
                self._log_arrays(recording, arrays, row)
                recording.steps += 1
                self._set_time(recording)
                self._log(recording, "reward", self._rerun.Scalars(float(step.reward[row])), 8)
                if (success := int(step.success[row])) != UNMEASURED:
                    self._log(recording, "success", self._rerun.Scalars(success), 8)
            ended = [end.env_idx for end in step.ends if end.env_idx in self._running]
            if step.terminal_observation is not None and ended:
                self._log_states(ended, step.terminal_observation, ended)
            elif ended:
                self._log_images(ended, ended)
            going_on = [row for row in recorded if row not in ended]
            if going_on:
                self._log_states(going_on, step.observation, [])
        except Exception as error:
            self._end_recording(error)

    def on_end(self, row: int, episode: Episode) -> None:
        """Close the row's file; it gets its name now, and the episode its path, unless it is not kept."""
        recording = self._running.get(row)
        if recording is None or self._context is None:
            return
        if self._failures_only and episode.outcome == Outcome.SUCCESS:
            self._drop(row)
            return
        try:
            text = self._rerun.TextDocument(_summary(episode))
            recording.stream.log("episode", text, static=True)
            self._flush(recording)
            recording.stream.disconnect()
            os.replace(recording.part, recording.path)
        except Exception as error:
            self._end_recording(error)
            return
        del self._running[row]
        episode.rerun = self._context.relative(recording.path)

    def close(self) -> Recorded:
        """Delete the files of episodes that never ended."""
        self._drop_running()
        self._note_what_is_left_out()
        if self._context is not None:
            with contextlib.suppress(OSError):  # the folder stays unless it is empty
                (self._context.directory / RERUN).rmdir()
        self._context = None
        return self._found

    def _chosen_cameras(self, context: RolloutContext) -> Cameras | None:
        """Return the cameras, told which of them are wanted; None where there are none to be used."""
        cameras, wanted = context.env.cameras, context.job.record.cameras
        known = cameras.names if cameras is not None else ()
        for camera in wanted or ():
            if camera not in known:
                raise RecordingError(
                    f"job {context.label!r}: record.cameras: the environment has no camera {camera!r}"
                    f"{not_among(camera, known, 'it has no cameras')}"
                )
        self._wanted = frozenset(known if wanted is None else wanted)
        if cameras is None or not self._wanted:
            return None
        try:
            cameras.check()
        except RecordingError as error:
            add_note(self._found, f"recordings for Rerun have no images: {error}")
            return None
        cameras.choose(cameras.with_observed([name for name in known if name in self._wanted]))
        return cameras

    def _wants(self, row: int, episode: int) -> bool:
        if self._context is None or self._ended:
            return False
        record = self._context.job.record
        rows = range(ROWS_AT_ONCE) if record.video_environments is None else record.video_environments
        return episode % record.video_every == 0 and row in rows

    def _open(self, row: int, start: EpisodeStart) -> None:
        assert self._context is not None, "asked between start and close"
        path = self._context.directory / RERUN / recording_name(start.episode, row)
        path.parent.mkdir(exist_ok=True)
        label, run = self._context.label, self._context.run_dir.name
        stream = self._rerun.RecordingStream(
            "pytest-arena", recording_id=f"{run}/{label}/{self._context.attempt}/{start.episode}"
        )
        recording = self._running[row] = _Recording(path, stream)
        require_room(path.parent, FLUSH_BYTES)
        stream.save(recording.part)
        stream.send_recording_name(f"{label}, episode {start.episode}")
        words = self._context.job.language_instruction or self._context.env.task_description
        if words:
            stream.log("instruction", self._rerun.TextDocument(words), static=True)
        self._set_time(recording)

    def _set_time(self, recording: _Recording) -> None:
        assert self._context is not None, "asked between start and close"
        recording.stream.set_time("step", sequence=recording.steps)
        if 0 < (seconds := self._context.env.step_dt) < float("inf"):
            recording.stream.set_time("time", duration=recording.steps * seconds)

    def _log_states(self, rows: Sequence[int], observation: Observation, ended: Sequence[int]) -> None:
        """Log what *rows* are in; of those that *ended*, the images may be gone already."""
        arrays = self._observed.arrays(observation)
        for row in rows:
            self._log_arrays(self._running[row], arrays, row)
        self._log_images(rows, ended)

    def _log_images(self, rows: Sequence[int], ended: Sequence[int]) -> None:
        if self._cameras is None or self._context is None:
            return
        caps = self._context.env.capabilities
        gone = bool(ended) and (caps.autoreset == "same_step" or not caps.terminal_frame)
        before = forks()
        try:
            images_of = self._cameras.last_frames if gone else self._cameras.frames
            frames: Frames | None = images_of(np.array(rows, np.int64))
            end_forked_child(before)
        except Exception as error:
            if is_outcome(error):
                raise
            self._cameras = None
            reason = f"{type(error).__name__}: {error}"
            add_note(self._found, f"recordings for Rerun have no images from here on: {reason}")
            return
        for camera, images in (frames or {}).items():
            if camera in self._wanted:
                for row, image in zip(rows, images, strict=True):
                    self._log_image(self._running[row], f"camera/{camera}", np.asarray(image))

    def _log_arrays(self, recording: _Recording, arrays: Mapping[str, NDArray[Any]], row: int) -> None:
        for name, array in arrays.items():
            value = array[row]
            if value.dtype == np.uint8 and kind_of_image(value) == "rgb":
                self._log_image(recording, name, value)
            elif value.ndim <= 1 and value.size <= MOST_CURVES:
                scalars = self._rerun.Scalars(np.atleast_1d(value).astype(np.float64))
                self._log(recording, name, scalars, value.nbytes)
            else:
                whole = value.astype(np.uint8) if value.dtype.kind == "b" else value
                self._log(recording, name, self._rerun.Tensor(whole), value.nbytes)

    def _log_image(self, recording: _Recording, name: str, image: NDArray[Any]) -> None:
        kind, rerun = kind_of_image(image), self._rerun
        if kind == "rgb":
            shown = rerun.Image(image).compress(jpeg_quality=_QUALITY)
        elif kind == "depth":
            shown = rerun.DepthImage(image.reshape(image.shape[:2]).astype(np.float32), meter=1.0)
        elif kind == "segmentation":
            shown = rerun.SegmentationImage(image.reshape(image.shape[:2]).astype(np.int32))
        else:
            return
        self._log(recording, name, shown, image.nbytes)

    def _log(self, recording: _Recording, name: str, value: Any, size: int) -> None:
        recording.stream.log(name.split("/"), value)
        recording.waiting += size
        if recording.waiting >= FLUSH_BYTES:
            self._flush(recording)

    def _flush(self, recording: _Recording) -> None:
        """Wait until all is in the file, and require room for as much again: the stream hides a full disk."""
        recording.stream.flush()
        recording.waiting = 0
        require_room(recording.path.parent, FLUSH_BYTES)

    def _end_recording(self, error: Exception) -> None:
        if is_outcome(error):
            raise error
        self._ended = True
        self._drop_running()
        add_note(self._found, f"recordings for Rerun are incomplete: {type(error).__name__}: {error}")

    def _drop(self, row: int) -> None:
        """Delete what there is of the episode that *row* is in, if it is recorded."""
        recording = self._running.pop(row, None)
        if recording is not None:
            recording.stream.disconnect()
            recording.part.unlink(missing_ok=True)

    def _drop_running(self) -> None:
        for row in [*self._running]:
            self._drop(row)

    def _note_what_is_left_out(self) -> None:
        for layout in (self._observed, self._actions):
            for note in layout.notes("recordings for Rerun"):
                add_note(self._found, note)


def _summary(episode: Episode) -> str:
    """Return the end of *episode* in lines."""
    about = {
        "episode": episode.episode,
        "seed": episode.seed,
        "outcome": episode.outcome,
        "end": episode.end_reason,
        "return": episode.return_,
        "length": episode.length,
        **episode.metrics,
    }
    return "\n".join(f"{name}: {value}" for name, value in about.items())
