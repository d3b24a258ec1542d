"""Films take little memory and little time at the end: frames are encoded while the rollout goes on."""

from __future__ import annotations

import weakref
from pathlib import Path
from typing import Any

import pytest

from pytest_arena import VideoRecorder, evaluate
from pytest_arena.recorders.films import encoder
from pytest_arena.recorders.films.mp4 import Mp4File
from pytest_arena.simulators.gymnasium.cameras import GymnasiumCameras
from tests.jobs import make_job

FRAME_BYTES = 17 * 15 * 3
"""An image of the scripted environment."""


def most_frames_held(folder: Path, steps: int, monkeypatch: pytest.MonkeyPatch) -> int:
    """Film two rows for an episode of *steps* steps each; returns how many images were alive at most."""
    alive, most, given = 0, 0, 0
    render = GymnasiumCameras.frames

    def forget() -> None:
        nonlocal alive
        alive -= 1

    def frames(camera: GymnasiumCameras, rows: Any) -> Any:
        nonlocal alive, most, given
        images = render(camera, rows)
        for batch in images.values():
            weakref.finalize(batch if batch.base is None else batch.base, forget)
            alive, given = alive + 1, given + 1
        most = max(most, alive)
        return images

    with monkeypatch.context() as patched:
        patched.setattr(GymnasiumCameras, "frames", frames)
        patched.setattr(encoder, "QUEUE_BYTES", 4 * FRAME_BYTES)
        environment = {
            "id": "tests.registered:arena/Endless-v0",
            "num_envs": 2,
            "max_episode_steps": steps,
            "cameras": {"render": {}},
        }
        job = make_job(environment=environment, rollout={"episodes": 2})
        record = evaluate(job, output=folder / str(steps), recorders=[VideoRecorder("on")])
    assert given == steps + 1
    assert len(record.videos) == 2
    return most


def test_frame_memory_does_not_grow_with_the_episode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that wait are few, however long the episode is."""
    waiting, in_hand = encoder.THREADS * 4, encoder.THREADS + 2
    for steps in (40, 80):
        assert most_frames_held(tmp_path, steps, monkeypatch) <= waiting + in_hand


def test_what_is_left_to_encode_at_the_end_is_little(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Encoding goes on beside the steps."""
    encoded, at_close = [0], []
    write, close = Mp4File.write, encoder.Encoder.close
    monkeypatch.setattr(encoder, "QUEUE_BYTES", 4 * FRAME_BYTES)

    def counted(film: Mp4File, frame: Any) -> None:
        write(film, frame)
        encoded[0] += 1

    def closed(made: encoder.Encoder) -> None:
        at_close.append(encoded[0])
        close(made)

    monkeypatch.setattr(Mp4File, "write", counted)
    monkeypatch.setattr(encoder.Encoder, "close", closed)
    environment = {
        "id": "tests.registered:arena/Endless-v0",
        "max_episode_steps": 80,
        "cameras": {"render": {}},
    }
    job = make_job(environment=environment, rollout={"episodes": 1})
    evaluate(job, output=tmp_path, recorders=[VideoRecorder("on")])
    assert encoded == [81]
    assert at_close[0] >= 81 - 4 - 2
