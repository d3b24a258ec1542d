"""The remarks that need no run of pytest: on memory, on job files, and on names that must not meet."""

from __future__ import annotations

import json
import weakref
from pathlib import Path
from typing import Any

import pytest

from pytest_arena import JobFileError, RunDirectory, VideoRecorder, evaluate, load_jobs
from pytest_arena.recorders.films import encoder
from pytest_arena.recorders.films.mp4 import Mp4File
from pytest_arena.simulators.gymnasium.simulator import RenderCamera
from tests.jobs import make_job

ARENA_JOB: dict[str, Any] = {
    "name": "microwave",
    "arena_env_args": {
        "environment": "gr1_open_microwave",
        "embodiment": "gr1_joint",
        "objects": ["cracker_box", "mug"],
        "num_envs": 3,
        "placement_seed": 7,
        "enable_cameras": True,
    },
    "num_episodes": 4,
    "policy_type": "zero_action",
}


FRAME_BYTES = 17 * 15 * 3
"""An image of the scripted environment."""


def arena_file(folder: Path, **changes: Any) -> Path:
    path = folder / "jobs.json"
    path.write_text(json.dumps({"jobs": [{**ARENA_JOB, **changes}]}))
    return path


def most_frames_held(folder: Path, steps: int, monkeypatch: pytest.MonkeyPatch) -> int:
    """Film two rows for an episode of *steps* steps each; returns how many images were alive at most."""
    alive, most, given = 0, 0, 0
    render = RenderCamera.frames

    def forget() -> None:
        nonlocal alive
        alive -= 1

    def frames(camera: RenderCamera, rows: Any) -> Any:
        nonlocal alive, most, given
        images = render(camera, rows)
        for batch in images.values():
            weakref.finalize(batch if batch.base is None else batch.base, forget)
            alive, given = alive + 1, given + 1
        most = max(most, alive)
        return images

    with monkeypatch.context() as patched:
        patched.setattr(RenderCamera, "frames", frames)
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
    """R5: all frames of an episode were held until its end, 3.8 GB for ten environments."""
    waiting, in_hand = encoder.THREADS * 4, encoder.THREADS + 2
    for steps in (40, 80):
        assert most_frames_held(tmp_path, steps, monkeypatch) <= waiting + in_hand


def test_what_is_left_to_encode_at_the_end_is_little(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """R10: encoding began when the episode had ended, and nothing moved for minutes."""
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


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"arena_env_args": ["gr1_open_microwave", "--num_envs", 3]}, "arena_env_args: expected a mapping"),
        (
            {"arena_env_args": {**ARENA_JOB["arena_env_args"], "num_envs": "3"}},
            "arena_env_args.num_envs: expected an integer, got '3'",
        ),
        ({"num_episodes": "4"}, "num_episodes: expected an integer, got '4'"),
    ],
    ids=["list", "text-for-a-number", "limit"],
)
def test_arguments_of_the_environment_are_typed(
    tmp_path: Path, changes: dict[str, Any], expected: str
) -> None:
    """R6: they were declared as a list of texts and held numbers, switches and None."""
    with pytest.raises(JobFileError) as raised:
        load_jobs(arena_file(tmp_path, **changes))
    assert "jobs.json:1: jobs[0]." in str(raised.value)
    assert expected in str(raised.value)


def test_arguments_of_the_environment_are_serialized_once(tmp_path: Path) -> None:
    """R15, F5: the job has the arguments themselves, with their types, and no second telling of them."""
    (job,) = load_jobs(arena_file(tmp_path))
    config = json.loads(json.dumps(job.config()))
    environment = config["environment"]
    assert environment["id"] == "gr1_open_microwave"
    assert environment["num_envs"] == 3
    assert environment["options"]["args"]["embodiment"] == "gr1_joint"
    assert environment["options"]["args"]["objects"] == ["cracker_box", "mug"]
    assert environment["options"]["args"]["enable_cameras"] is True
    for told in ("gr1_open_microwave", "gr1_joint", "cracker_box", "placement_seed"):
        assert json.dumps(config).count(told) == 1, told


def test_runs_of_the_same_second_have_directories_of_their_own(tmp_path: Path) -> None:
    """F6, R17: a time in seconds was the whole name, so that two processes shared it."""
    made = [RunDirectory.create(tmp_path).path for _ in range(20)]
    assert len(set(made)) == len({path.name for path in tmp_path.iterdir()}) == 20
