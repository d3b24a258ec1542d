"""Films of a rollout: one mp4 for each episode, environment and camera.

Frame k is the image after k steps: frame 0 is the reset, the last one is the terminal image where the
simulator can give it (`Capabilities.terminal_frame`).
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar, Literal

from pytest_arena.errors import USERS_MISTAKE, RecordingError, TimeIsUp
from pytest_arena.recorders.films.by_replay import Afterwards, Take, can_replay
from pytest_arena.recorders.films.encoder import Encoder, Film
from pytest_arena.recorders.films.shots import Shot, Stage, choose_cameras
from pytest_arena.records.run_directory import earlier_record
from pytest_arena.records.schema import Episode, Outcome
from pytest_arena.rollout.observers import EpisodeStart, Recorded, Recorder, RolloutContext, Tick
from pytest_arena.simulators.base import Action, Cameras, IndexArray, Observation, Step

_LOG = logging.getLogger(__name__)

LIVE_ROWS = 64
"""Rows filmed live unless the job names others: each has an encoder a camera, which costs memory."""


@dataclass(frozen=True, slots=True)
class _Ended:
    """A film to answer for in `VideoRecorder.close`."""

    film: Film
    title: str
    """What a note calls it."""
    camera: str
    episode: Episode | None = None
    """The episode that has its path; None where the film was dropped."""


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
        self._stage: Stage | None = None
        self._encoder: Encoder | None = None
        self._shots: dict[int, Shot] = {}
        self._afterwards: Afterwards | None = None
        """Films by replay; None where everything is filmed live."""
        self._live: frozenset[int] = frozenset()
        """Episodes whose replay was not faithful in an earlier run."""
        self._ended: list[_Ended] = []
        self._directories: set[Path] = set()
        self._recorded: Recorded | None = None
        self._found = Recorded()
        """What is known before `close`."""

    def start(self, context: RolloutContext) -> None:
        """Choose the cameras.

        Raises `RecordingError` for one that the environment does not have, and for none where films must be.
        """
        __tracebackhide__ = USERS_MISTAKE
        self._drop_running()
        env = context.env
        self._stage, self._afterwards = None, None
        known = env.cameras.names if env.cameras else ()
        cameras = self._filmable(env.cameras, choose_cameras(self._wanted, known, context.label))
        if not cameras or not env.cameras:
            if self._all_required and not known:
                raise RecordingError(
                    f"job {context.label!r}: expected films, since video is on, and the environment has no "
                    "cameras: name them under environment.cameras, or set record.video: off"
                )
            if self._required and not known:
                self._note("no videos: the environment has no cameras")
            return
        env.cameras.choose(cameras)
        self._stage = stage = Stage.of(context, cameras)
        self._directories.add(stage.directory)
        if self._video == "retain-on-failure" and can_replay(env):
            self._afterwards = Afterwards(stage)
            before = earlier_record(context.run_dir, context.label, context.attempt)
            self._live = frozenset(before.live_films if before else ())
            self._found.live_films = sorted(self._live)
        elif context.job.record.video_environments is None and env.num_envs > LIVE_ROWS:
            self._note(
                f"filmed the first {LIVE_ROWS} of {env.num_envs} environments; record.video_environments "
                "names others"
            )
        if self._log is not None:
            self._log(f"recording video ({self._video}) of {', '.join(cameras)} in {stage.directory}")
            self._log = None

    def _filmable(self, cameras: Cameras | None, chosen: Sequence[str]) -> Sequence[str]:
        __tracebackhide__ = USERS_MISTAKE
        if not chosen or not cameras:
            return ()
        try:
            cameras.check()
        except RecordingError as error:
            if self._required:
                raise
            self._note(f"no videos: {error}")
            return ()
        return chosen

    def on_reset(self, rows: IndexArray, starts: Sequence[EpisodeStart], observation: Observation) -> None:
        """Open the films of rows that are filmed live, and take frame 0.

        Raises `RecordingError` where films must be, and a camera gives no picture from the first one on.
        """
        __tracebackhide__ = USERS_MISTAKE
        stage = self._stage
        if stage is None:
            return
        shots, later = [], {}
        for row, start in zip(rows.tolist(), starts, strict=True):
            if row in self._shots:
                self._drop(self._shots.pop(row))
            if not self._wants(row, start.episode):
                continue
            if self._afterwards is not None and not (
                start.episode in self._live and len(self._shots) < LIVE_ROWS
            ):
                later[row] = start
                continue
            self._shots[row] = stage.begin(self._open_encoder(), start, row)
            shots.append(self._shots[row])
        if self._afterwards is not None:
            self._afterwards.begin(later)
        if shots:
            stage.shoot(self._open_encoder(), shots)
            if self._all_required and not self._ended:
                self._require_pictures(shots)

    def _require_pictures(self, shots: Sequence[Shot]) -> None:
        """Raise `RecordingError` for a film that cannot be: later the rollout would be for nothing."""
        __tracebackhide__ = USERS_MISTAKE
        for shot in shots:
            for camera, film in shot.films.items():
                if film.refused:
                    raise RecordingError(
                        f"expected films, since video is on, and camera {camera!r} gives no pictures: "
                        f"{film.error}"
                    )

    def _wants(self, row: int, episode: int) -> bool:
        assert self._stage is not None, "asked between start and close"
        record = self._stage.context.job.record
        rows: Collection[int] | None = record.video_environments
        if rows is None and self._afterwards is None:
            rows = range(LIVE_ROWS)
        return episode % record.video_every == 0 and (rows is None or row in rows)

    def on_step(self, rows: IndexArray, actions: Action, step: Step) -> None:
        """Take one frame of every row whose image is still its episode's."""
        if self._stage is None:
            return
        if self._afterwards is not None:
            self._afterwards.step(rows, actions, step.reward)
        if self._encoder is not None:
            gone = [end.env_idx for end in step.ends] if self._stage.ended_rows_show_next else []
            self._stage.shoot_last([self._shots[row] for row in gone if row in self._shots])
            filmed = [self._shots[r] for r in rows.tolist() if r in self._shots and r not in gone]
            self._stage.shoot(self._encoder, filmed)

    def on_end(self, row: int, episode: Episode) -> None:
        """Keep or delete the row's films; the episode gets the paths, the encoding may still go on."""
        keep = self._video == "on" or episode.outcome != Outcome.SUCCESS
        shot = self._shots.pop(row, None)
        if shot is not None and keep:
            for film in shot.films.values():
                film.finish()
            self._keep(shot, episode)
        elif shot is not None:
            self._drop(shot)
        elif self._afterwards is not None:
            self._afterwards.end(row, episode, keep=keep)

    def after_rollout(self, tick: Tick) -> None:
        """Film by replay what is to be kept of this environment.

        Raises `RecordingError` where films must be, and the environment gave no picture for any of them.
        """
        __tracebackhide__ = USERS_MISTAKE
        if self._encoder is not None:  # a rebuild may take long, and films that ended wait for it
            self._encoder.release()
        afterwards = self._afterwards
        if afterwards is not None and (title := afterwards.title):
            try:
                afterwards.film(self._open_encoder(), self._filmed, partial(tick, f"filming {title}"))
            except (Exception, TimeIsUp):  # costs the films: a note says why
                self._found.environment_failed = True
        if self._all_required and self._ended and all(ended.film.refused for ended in self._ended):
            ended = self._ended[0]
            raise RecordingError(
                f"expected films, since video is on, and there are none: {ended.title}: {ended.film.error}"
            )

    def _filmed(self, take: Take, shot: Shot, difference: str | None) -> None:
        self._keep(shot, take.episode)
        self._found.revised = True
        if difference is not None:
            take.episode.videos_note = f"filmed by a replay that was not faithful: {difference}"
            self._found.live_films = sorted({*self._found.live_films, take.start.episode})
            self._note(
                f"the video of episode {take.start.episode} is not faithful: the environment did not repeat "
                f"itself, {difference}; the next run films this episode live"
            )

    def close(self) -> Recorded:
        """Wait for the films that are kept, delete those of episodes that never ended."""
        if self._recorded is None:
            self._drop_running()
            if self._encoder is not None:
                self._encoder.close()
            for directory in self._directories:
                with contextlib.suppress(OSError):  # it stays unless it is empty
                    directory.rmdir()
            self._collect()
            self._recorded, self._stage, self._afterwards = self._found, None, None
        return self._recorded

    def _collect(self) -> None:
        lost: dict[tuple[str, str], list[str]] = {}
        for ended in self._ended:
            film, episode = ended.film, ended.episode
            if film.published and episode is not None:
                self._found.videos.append(episode.videos[ended.camera])
            elif film.error is not None:
                lost.setdefault((ended.camera, film.error), []).append(ended.title)
                if episode is not None and ended.camera in episode.videos:
                    del episode.videos[ended.camera]
                    self._found.revised = True
        for (_, reason), (title, *more) in lost.items():
            others = f", and of {len(more)} more by this camera" if more else ""
            self._note(f"no video of {title}{others}: {reason}")
        self._found.videos.sort()

    def _keep(self, shot: Shot, episode: Episode) -> None:
        assert self._stage is not None, "films are kept between start and close"
        for camera, film in shot.films.items():
            self._ended.append(_Ended(film, shot.title(camera), camera, episode))
            if film.error is None:
                episode.videos[camera] = self._stage.context.relative(film.path)

    def _drop_running(self) -> None:
        while self._shots:
            self._drop(self._shots.popitem()[1])
        if self._afterwards is not None:
            for note in self._afterwards.close():
                self._note(note)

    def _drop(self, shot: Shot) -> None:
        for camera, film in shot.films.items():
            film.discard()
            if film.error is not None:
                self._ended.append(_Ended(film, shot.title(camera), camera))

    def _note(self, text: str) -> None:
        if text not in self._found.notes:  # a rebuild may say the same
            self._found.notes.append(text)

    def _open_encoder(self) -> Encoder:
        if self._encoder is None:
            self._encoder = Encoder()
        return self._encoder
