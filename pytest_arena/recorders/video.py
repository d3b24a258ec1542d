"""Films of a rollout: one mp4 for each episode, environment and camera.

Frame k is the image after k steps: frame 0 is the reset, the last one is the terminal image where the
simulator can give it (`Capabilities.terminal_frame`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import ClassVar, Literal

from pytest_arena.errors import USERS_MISTAKE, RecordingError, not_among
from pytest_arena.recorders.films.by_replay import FilmingByReplay, can_replay
from pytest_arena.recorders.films.filming import ROWS_AT_ONCE, Filming, add_note
from pytest_arena.records.film_names import VIDEOS
from pytest_arena.records.run_directory import earlier_record
from pytest_arena.records.schema import Episode, Outcome
from pytest_arena.rollout.recorder import Recorded, Recorder, RolloutContext, Tick
from pytest_arena.rollout.schedule import EpisodeStart
from pytest_arena.simulators.array_types import Action, IndexArray, Observation
from pytest_arena.simulators.base import Step

_LOG = logging.getLogger(__name__)


class VideoRecorder(Recorder):
    """Films each episode with each camera; ``retain-on-failure`` keeps no films of successes.

    Where an episode can be played again from its seed and actions, ``retain-on-failure`` renders nothing
    while the rollout runs, and films the episodes that it keeps afterwards. A film that cannot be made costs
    the rollout nothing: it becomes a note in what `close` returns.
    """

    watches_steps: ClassVar[bool] = True

    def __init__(
        self,
        video: Literal["on", "retain-on-failure"],
        cameras: Sequence[str] | None = None,
        log: Callable[[str], None] = _LOG.info,
        *,
        required: bool = True,
    ) -> None:
        """Film with *cameras* (None: all that the environment has); *log* gets one line at the start.

        What else there is to choose is in the job's ``record``. Unless films are *required*, an environment
        that cannot give images is a note, not an error; where all are (``on``), so is one without cameras, or
        whose pictures are none.
        """
        self._video, self._wanted, self._required = video, cameras, required
        self._all_required = required and video == "on"
        self._log: Callable[[str], None] | None = log
        self._context: RolloutContext | None = None
        """None where nothing is filmed."""
        self._filming = Filming()
        self._by_replay: FilmingByReplay | None = None
        """None where everything is filmed live."""
        self._live: frozenset[int] = frozenset()
        """Episodes whose replay was not faithful in an earlier run."""
        self._found = Recorded()
        self._closed = False

    def start(self, context: RolloutContext) -> None:
        """Choose the cameras.

        Raises `RecordingError` for one that the environment does not have, and for none where films must be.
        """
        __tracebackhide__ = USERS_MISTAKE
        self._drop_running()
        self._context = self._by_replay = None
        cameras = self._cameras_to_film(context)
        if not cameras:
            return
        self._context, env, record = context, context.env, context.job.record
        self._filming.start(context, cameras)
        if self._video == "retain-on-failure" and can_replay(env):
            self._by_replay = FilmingByReplay(context, self._filming, self._found)
            before = earlier_record(context.run_dir, context.label, context.attempt)
            self._live = frozenset(before.live_films if before else ())
            self._found.live_films = sorted(self._live)
        elif record.video_environments is None and env.num_envs > ROWS_AT_ONCE:
            note = (
                f"filmed the first {ROWS_AT_ONCE} of {env.num_envs} environments; record.video_environments "
                "names others"
            )
            add_note(self._found, note)
        if self._log is not None:
            where = context.directory / VIDEOS
            self._log(f"recording video ({self._video}) of {', '.join(cameras)} in {where}")
            self._log = None

    def on_reset(self, rows: IndexArray, starts: Sequence[EpisodeStart], observation: Observation) -> None:
        """Open the films of rows that are filmed live, and take frame 0.

        Raises `RecordingError` where films must be, and a camera gives no picture from the first one on.
        """
        __tracebackhide__ = USERS_MISTAKE
        if self._context is None:
            return
        live: dict[int, EpisodeStart] = {}
        later: dict[int, EpisodeStart] = {}
        for row, start in zip(rows.tolist(), starts, strict=True):
            if not self._wants(row, start.episode):
                continue
            if self._by_replay is None or (
                start.episode in self._live and len(self._filming.rows) + len(live) < ROWS_AT_ONCE
            ):
                live[row] = start
            else:
                later[row] = start
        if self._by_replay is not None:
            self._by_replay.begin(later)
        self._filming.begin(live)
        if self._all_required and (film := self._filming.without_first_picture(live)) is not None:
            # Later the rollout would have been for nothing.
            raise RecordingError(
                f"expected films, since video is on, and camera {film.camera!r} gives no pictures: "
                f"{film.error}"
            )

    def on_step(self, rows: IndexArray, actions: Action, step: Step) -> None:
        """Take one frame of every row whose image is still its episode's."""
        if self._context is None:
            return
        if self._by_replay is not None:
            self._by_replay.after_step(rows, actions, step.reward)
        self._filming.after_step(rows, step)

    def on_end(self, row: int, episode: Episode) -> None:
        """Keep or delete the row's films; the episode gets the paths, the encoding may still go on."""
        keep = self._video == "on" or episode.outcome != Outcome.SUCCESS
        if row in self._filming.rows:
            if keep:
                self._filming.finish(row, episode)
            else:
                self._filming.discard(row)
        elif self._by_replay is not None:
            self._by_replay.end(row, episode, keep=keep)

    def after_rollout(self, tick: Tick) -> None:
        """Film by replay what is to be kept of this environment.

        Raises `RecordingError` where films must be, and the environment gave no picture for any of them.
        """
        __tracebackhide__ = USERS_MISTAKE
        self._filming.discard_running()
        self._filming.release()  # a rebuild may take long, and films that ended wait for it
        if self._by_replay is not None and (title := self._by_replay.title):
            try:
                self._by_replay.film(partial(tick, f"filming {title}"))
            except Exception:  # costs the films: a note says why
                self._found.environment_failed = True
        if self._all_required and (film := self._filming.without_any_picture()) is not None:
            raise RecordingError(
                f"expected films, since video is on, and there are none: {film.title}: {film.error}"
            )

    def close(self) -> Recorded:
        """Wait for the films that are kept, delete those of episodes that never ended."""
        if not self._closed:
            self._drop_running()
            self._filming.close(self._found)
            self._context, self._by_replay, self._closed = None, None, True
        return self._found

    def _cameras_to_film(self, context: RolloutContext) -> Sequence[str]:
        """Return the cameras to film with, none where nothing is to be filmed, and say so to the environment.

        Raises `RecordingError` as `start` does.
        """
        __tracebackhide__ = USERS_MISTAKE
        cameras = context.env.cameras
        known = cameras.names if cameras else ()
        wanted = known if self._wanted is None else tuple(dict.fromkeys(self._wanted))
        for camera in wanted:
            if camera not in known:
                raise RecordingError(
                    f"job {context.label!r}: record.cameras: the environment has no camera {camera!r}"
                    f"{not_among(camera, known, 'it has no cameras')}"
                )
        if not known and self._all_required:
            raise RecordingError(
                f"job {context.label!r}: expected films, since video is on, and the environment has no "
                "cameras: name them under environment.cameras, or set record.video: off"
            )
        if not known and self._required:
            add_note(self._found, "no videos: the environment has no cameras")
        if cameras is None or not wanted:
            return ()
        try:
            cameras.check()
        except RecordingError as error:
            if self._required:
                raise
            add_note(self._found, f"no videos: {error}")
            return ()
        cameras.choose(cameras.with_observed(wanted))
        return wanted

    def _wants(self, row: int, episode: int) -> bool:
        assert self._context is not None, "asked between start and close"
        record = self._context.job.record
        rows: Collection[int] | None = record.video_environments
        if rows is None and self._by_replay is None:
            rows = range(ROWS_AT_ONCE)
        return episode % record.video_every == 0 and (rows is None or row in rows)

    def _drop_running(self) -> None:
        self._filming.discard_running()
        if self._by_replay is not None:
            self._by_replay.close()
