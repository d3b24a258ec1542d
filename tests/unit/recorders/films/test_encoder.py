"""The threads that encode: their queues are bounded, and nothing is lost or out of order."""

from __future__ import annotations

import subprocess
import sys
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pytest_arena.recorders.films import encoder as encoder_module
from pytest_arena.recorders.films.encoder import Encoder
from pytest_arena.recorders.films.film import Film, FilmState
from pytest_arena.recorders.films.mp4 import FilmFormat, Mp4File
from tests.film_fakes import decode, grey, level_of, names_in, shoot

FRAME_BYTES, QUEUE_FRAMES, THREADS = 32 * 32 * 3, 64, 2
HANG = 60.0
"""Seconds after which a test that waits for a thread is considered hung; nothing is asserted about time."""


def test_large_frames_wait_in_small_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stuck = Stuck(monkeypatch)
    encoder = Encoder(1)
    film = Film(tmp_path / "a.mp4", FilmFormat(30), encoder)
    film.add(grey(0, 320, 320))
    assert stuck.entered.wait(HANG)
    producer = threading.Thread(target=lambda: [film.add(grey(0, 320, 320)) for _ in range(4)])
    producer.start()
    assert stuck.blocked.wait(HANG)
    assert film.frames == 4, "one on the thread, two that wait, one in hand: each is larger than the queue"
    stuck.gate.set()
    producer.join(HANG)
    film.discard()
    encoder.close()


class Stuck:
    """Holds the encoding of frames behind a gate, and watches the queues."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.entered, self.gate, self.blocked = threading.Event(), threading.Event(), threading.Event()
        self.longest = 0
        write, watch = Mp4File.write, self

        def gated(file: Mp4File, frame: np.ndarray) -> None:
            watch.entered.set()
            assert watch.gate.wait(HANG)
            write(file, frame)

        class WatchedQueue(encoder_module._WorkQueue):
            def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
                if self.full():
                    watch.blocked.set()
                super().put(item, block, timeout)

            def _put(self, item: Any) -> None:
                super()._put(item)
                watch.longest = max(watch.longest, self._qsize())

        monkeypatch.setattr(Mp4File, "write", gated)
        monkeypatch.setattr(encoder_module, "_WorkQueue", WatchedQueue)
        monkeypatch.setattr(encoder_module, "QUEUE_BYTES", QUEUE_FRAMES * FRAME_BYTES)


def test_who_shoots_faster_than_the_threads_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stuck = Stuck(monkeypatch)
    encoder = Encoder()
    film = Film(tmp_path / "a.mp4", FilmFormat(30), encoder)
    alive, most = set(), 0

    def frame(step: int) -> np.ndarray:
        nonlocal most
        image = grey(level_of(step))
        alive.add(step)
        most = max(most, len(alive))
        weakref.finalize(image, alive.discard, step)
        return image

    def produce() -> None:
        film.add(frame(0))
        encoder.release()
        assert stuck.entered.wait(HANG)
        for step in range(1, 300):
            film.add(frame(step))
        film.finish()

    producer = threading.Thread(target=produce)
    producer.start()
    assert stuck.blocked.wait(HANG)
    # One frame on the thread, the queue full, what did not fit of those held, and one in the hand of who waits.
    assert film.frames == 1 + 2 * (QUEUE_FRAMES // 2 + 1)
    assert len(alive) == film.frames
    stuck.gate.set()
    producer.join(HANG)
    assert not producer.is_alive()
    encoder.close()
    assert stuck.longest == QUEUE_FRAMES * FRAME_BYTES
    assert most <= 3 * QUEUE_FRAMES // 2 + 3, "memory does not grow with the film"
    assert alive == set()
    assert film.error is None
    assert len(decode(film.path)[1]) == 300, "nothing was dropped"


def test_a_thread_that_waits_holds_no_frame(tmp_path: Path, encoder: Encoder) -> None:
    released = threading.Event()
    image = grey(20)
    weakref.finalize(image, released.set)
    film = Film(tmp_path / "a.mp4", FilmFormat(30), encoder)
    film.add(image)
    encoder.release()
    del image
    assert released.wait(HANG)
    film.discard()


def test_films_share_the_threads_evenly_and_each_stays_on_one(
    tmp_path: Path, encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, used = Mp4File.write, {}

    def noted(self: Mp4File, frame: np.ndarray) -> None:
        used.setdefault(self.path.name, set()).add(threading.current_thread().name)
        write(self, frame)

    monkeypatch.setattr(Mp4File, "write", noted)
    films = [Film(tmp_path / f"{i}.mp4", FilmFormat(30), encoder) for i in range(16)]
    for step in range(40):
        for film in films:
            film.add(grey(level_of(step), 16, 16))
    for film in films:
        film.finish()
    encoder.close()
    assert [film.error for film in films] == [None] * 16
    for film in films:
        means = [frame.to_ndarray(format="rgb24").mean() for frame in decode(film.path)[1]]
        assert np.allclose(means, [level_of(step) for step in range(40)], atol=3)
    threads = [threads for (*threads,) in used.values()]
    assert [len(names) for names in threads] == [1] * 16
    assert sorted(map(threads.count, [[f"arena-encoder-{i}"] for i in range(THREADS)])) == [8, 8]


def test_closing_twice_is_harmless(tmp_path: Path) -> None:
    encoder = Encoder()
    shoot(Film(tmp_path / "a.mp4", FilmFormat(30), encoder), 3)
    encoder.close()
    encoder.close()
    assert names_in(tmp_path) == ["a.mp4"]


def test_closing_waits_for_what_was_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stuck = Stuck(monkeypatch)
    encoder = Encoder()
    film = Film(tmp_path / "a.mp4", FilmFormat(30), encoder)
    shoot(film, 20)
    encoder.release()
    assert stuck.entered.wait(HANG)
    closing = threading.Thread(target=encoder.close)
    closing.start()
    assert film.state is FilmState.FINISHING
    stuck.gate.set()
    closing.join(HANG)
    assert film.state is FilmState.PUBLISHED


def test_what_waits_of_a_discarded_film_is_not_encoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stuck, written = Stuck(monkeypatch), []
    gated: Callable[[Mp4File, np.ndarray], None] = Mp4File.write

    def counted(self: Mp4File, frame: np.ndarray) -> None:
        written.append(1)
        gated(self, frame)

    monkeypatch.setattr(Mp4File, "write", counted)
    encoder = Encoder()
    film = Film(tmp_path / "a.mp4", FilmFormat(30), encoder)
    film.add(grey(0))
    encoder.release()
    assert stuck.entered.wait(HANG)
    for step in range(1, 30):
        film.add(grey(step))
    film.discard()
    stuck.gate.set()
    encoder.close()
    assert len(written) == 1
    assert names_in(tmp_path) == []


def test_frames_are_held_until_they_are_released(
    tmp_path: Path, encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    queued: list[int] = []
    put: Callable[..., None] = encoder_module._WorkQueue.put

    def counted(self: Any, item: Any, *args: Any) -> None:
        queued.append(item[0])
        put(self, item, *args)

    monkeypatch.setattr(encoder_module._WorkQueue, "put", counted)
    films = [Film(tmp_path / f"{i}.mp4", FilmFormat(30), encoder) for i in range(4)]
    for film in films:
        film.add(grey(0))
    assert queued == []
    encoder.release()
    assert queued == [FRAME_BYTES] * 4
    encoder.release()
    assert len(queued) == 4
    for film in films:
        film.add(grey(1))
        film.finish()
    assert len(queued) == 4
    encoder.release()
    assert len(queued) == 4 + 2 * 4
    encoder.close()
    assert [(film.state, film.frames) for film in films] == [(FilmState.PUBLISHED, 2)] * 4


@pytest.mark.parametrize("queued", [False, True], ids=["before", "after"])
def test_an_interrupt_while_held_frames_are_released_loses_none(
    tmp_path: Path, encoder: Encoder, monkeypatch: pytest.MonkeyPatch, queued: bool
) -> None:
    """Also one that comes when the work is queued, and not yet taken off what is held."""
    film = Film(tmp_path / "a.mp4", FilmFormat(30), encoder)
    for step in range(5):
        film.add(grey(level_of(step)))
    put: Callable[..., None] = encoder_module._WorkQueue.put

    def interrupted(self: Any, item: Any, *args: Any) -> None:
        monkeypatch.setattr(encoder_module._WorkQueue, "put", put)
        if queued:
            put(self, item, *args)
        raise KeyboardInterrupt

    for again in range(2):
        monkeypatch.setattr(encoder_module._WorkQueue, "put", interrupted)
        with pytest.raises(KeyboardInterrupt):
            encoder.release()
        if not again:
            film.finish()
    encoder.close()
    assert (film.error, film.state) == (None, FilmState.PUBLISHED)
    assert len(decode(film.path)[1]) == 5


def test_an_interrupt_while_a_frame_waits_for_room_loses_none(
    tmp_path: Path, encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoder_module, "QUEUE_BYTES", 3 * FRAME_BYTES)
    film = Film(tmp_path / "a.mp4", FilmFormat(30), encoder)
    film.add(grey(level_of(0)))
    put: Callable[..., None] = encoder_module._WorkQueue.put

    def interrupted(self: Any, item: Any, *args: Any) -> None:
        monkeypatch.setattr(encoder_module._WorkQueue, "put", put)
        raise KeyboardInterrupt

    monkeypatch.setattr(encoder_module._WorkQueue, "put", interrupted)
    with pytest.raises(KeyboardInterrupt):
        film.add(grey(level_of(1)))
    film.add(grey(level_of(2)))
    film.finish()
    encoder.close()
    assert (film.error, film.state, film.frames) == (None, FilmState.PUBLISHED, 3)
    assert len(decode(film.path)[1]) == 3


def test_who_ends_a_film_waits_for_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An interrupt that ends a wait there would find the film neither open nor its episode's."""
    stuck = Stuck(monkeypatch)
    encoder = Encoder(1)
    films = [Film(tmp_path / f"{i}.mp4", FilmFormat(30), encoder) for i in range(2)]
    films[0].add(grey(0))
    encoder.release()
    assert stuck.entered.wait(HANG)
    for step in range(QUEUE_FRAMES + 1):  # the last of these would have to wait
        films[step % 2].add(grey(level_of(step)))
    films[0].finish()
    films[1].discard()
    assert not stuck.blocked.is_set()
    stuck.gate.set()
    encoder.close()
    assert names_in(tmp_path) == ["0.mp4"]


@pytest.mark.process
def test_importing_the_encoder_imports_no_av() -> None:
    code = "import sys, pytest_arena.recorders.video; sys.exit('av' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
