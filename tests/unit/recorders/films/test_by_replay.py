"""Failures filmed by playing them again: the same films as live ones, or a film that says it is not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

from pytest_arena import Episode, Job, Outcome, RunDirectory, VideoRecorder, evaluate, read_episodes
from pytest_arena.evaluation.run_job import Evaluation
from pytest_arena.policies.untrained import RandomPolicy
from pytest_arena.recorders.films import by_replay
from pytest_arena.recorders.films.by_replay import can_replay
from pytest_arena.recorders.films.mp4 import Mp4File
from pytest_arena.recorders.trajectories.step_buffer import StepBuffer
from pytest_arena.rollout.loop import Loop
from pytest_arena.simulators.gymnasium.cameras import GymnasiumCameras
from pytest_arena.simulators.gymnasium.simulator import GymnasiumEnv
from tests.fakes import ScriptedEnv
from tests.jobs import make_job


class Painted(ScriptedEnv):
    """Draws its seed and time; with `forgetful`, an episode that is played again has other rewards."""

    played: dict[int, int] = {}  # noqa: RUF012 seen by all rows

    def __init__(self, forgetful: bool = False, fail: str = "", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.forgetful, self.fail = forgetful, fail

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        if seed is not None:  # without one it is a row that is stepped along, uncounted
            Painted.played[seed] = Painted.played.get(seed, 0) + 1
        return super().reset(seed=seed)

    def step(self, action: Any) -> Any:
        observation, reward, terminated, truncated, info = super().step(action)
        again = Painted.played.get(self.seed, 0) > 1
        if again and self.fail == "replay":
            raise RuntimeError("cannot do that twice")
        if again and self.forgetful and self.t == 2:
            reward += 1.0
        return observation, reward, terminated, truncated, info

    def render(self) -> Any:
        image = np.random.default_rng([self.seed, self.t]).integers(0, 255, (4, 4, 3), np.uint8)
        return image.repeat(8, 0).repeat(8, 1)


class Seeing(Painted):
    observation_space = gymnasium.spaces.Box(0, 255, (32, 32, 3), np.uint8)

    def _obs(self) -> np.ndarray:
        return self.render()


gymnasium.register("arena/Painted-v0", Painted, max_episode_steps=50, disable_env_checker=True)
gymnasium.register("arena/Seeing-v0", Seeing, max_episode_steps=50, disable_env_checker=True)


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    Painted.played.clear()
    yield
    Painted.played.clear()


def job(num_envs: int = 3, env_id: str = "arena/Painted-v0", **changes: Any) -> Job:
    environment = {
        "id": env_id,
        "num_envs": num_envs,
        "cameras": {"render": {}},
        "options": {"make": changes.pop("make", {})},
    }
    data = {"policy": {"type": "random"}, "rollout": {"episodes": 10}, "environment": environment}
    return make_job(**{**data, **changes})


def run(output: Path, made: Job, video: str = "retain-on-failure", **kwargs: Any) -> Run:
    Painted.played.clear()
    evaluate(made, output=output, recorders=[VideoRecorder(video)], **kwargs)  # type: ignore[arg-type]
    return Run(sorted(output.iterdir(), key=lambda path: path.stat().st_ctime_ns)[-1])


class Run:
    """What is on disk."""

    def __init__(self, path: Path) -> None:
        self.path = path
        (self.record,) = RunDirectory(path).records()
        self.episodes: list[Episode] = read_episodes(path / str(self.record.episodes_path))

    @property
    def failures(self) -> list[Episode]:
        return [e for e in self.episodes if e.outcome == Outcome.FAILURE]

    def films(self) -> dict[str, bytes]:
        return {p.name: p.read_bytes() for p in self.path.glob("job/videos/*")}

    def told(self) -> list[Any]:
        changing = ("started_at", "wall_time_seconds", "videos")
        return [{k: v for k, v in e.to_json().items() if k not in changing} for e in self.episodes]


@pytest.fixture
def rendered(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many images were made, a number a call."""
    frames, made = GymnasiumCameras.frames, []

    def counted(self: GymnasiumCameras, env_ids: Any) -> Any:
        made.append(len(env_ids))
        return frames(self, env_ids)

    monkeypatch.setattr(GymnasiumCameras, "frames", counted)
    return made


@pytest.fixture
def pixels(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[bytes]]:
    """Name of a film -> its frames as they reached the encoder."""
    seen: dict[str, list[bytes]] = {}
    original = Mp4File.write

    def noted(self: Mp4File, frame: np.ndarray) -> None:
        seen.setdefault(self.path.name, []).append(frame.tobytes())
        original(self, frame)

    monkeypatch.setattr(Mp4File, "write", noted)
    return seen


@pytest.mark.parametrize("num_envs", [1, 3, 16])
def test_replayed_films_are_those_that_live_recording_makes(
    tmp_path: Path, rendered: list[int], pixels: dict[str, list[bytes]], num_envs: int
) -> None:
    live = run(tmp_path / "live", job(num_envs), "on")
    live_pixels = dict(pixels)
    rendered.clear()
    pixels.clear()
    replayed = run(tmp_path / "replayed", job(num_envs))
    assert 2 < len(replayed.failures) < 9
    assert sum(rendered) == sum(e.length + 1 for e in replayed.failures), "successes are not rendered"
    failed = {Path(e.videos["render"]).name for e in live.failures}
    assert pixels == {name: frames for name, frames in live_pixels.items() if name in failed}
    assert set(replayed.films()) == failed
    assert replayed.record.videos == sorted(e.videos["render"] for e in replayed.failures)
    assert [bool(e.videos) for e in replayed.episodes] == [e in replayed.failures for e in replayed.episodes]
    assert replayed.told() == live.told()
    assert replayed.record.metrics == live.record.metrics
    assert replayed.record.notes == []
    assert replayed.record.timings["filming_seconds"] > 0
    assert "filming_seconds" in live.record.timings


def test_nothing_is_rendered_where_no_episode_fails(tmp_path: Path, rendered: list[int]) -> None:
    from pytest_arena import episode_seeds

    script = {episode_seeds(0, 0, i)[0]: (5, True) for i in range(10)}
    found = run(tmp_path, job(make={"script": script}))
    assert (rendered, found.record.videos, found.record.notes) == ([], [], [])
    assert found.record.metrics["success_rate"] == 1
    assert not (found.path / "job" / "videos").exists()


def test_it_is_seen_where_a_replay_is_not_what_happened(tmp_path: Path, rendered: list[int]) -> None:
    first = run(tmp_path, job(3, make={"forgetful": True}))
    failures = [e.episode for e in first.failures if e.length >= 2]
    assert failures
    assert first.record.live_films == failures
    assert not first.record.reproducible, "the environment did not repeat itself"
    assert len(first.record.notes) == len(failures) + 1
    assert first.record.notes[-1].startswith("reproducible: false, because a replay")
    for episode in first.failures:
        assert "not faithful: the reward of step 1 was" in str(episode.videos_note)
        assert (first.path / episode.videos["render"]).exists()
    assert f"the video of episode {failures[0]} is not faithful" in first.record.notes[0]
    rendered.clear()
    second = run(tmp_path, job(3, make={"forgetful": True}))
    assert second.record.notes == []
    assert second.record.live_films == failures, "remembered for the run after that"
    assert [e.episode for e in second.failures if e.videos] == failures
    assert all(e.videos_note is None for e in second.failures)
    assert max(rendered) >= 1
    assert sum(rendered) == sum(e.length + 1 for e in second.failures)


def test_actions_come_back_as_the_tensors_that_they_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch = pytest.importorskip("torch")
    act, step, seen = RandomPolicy.act, GymnasiumEnv.step, []
    monkeypatch.setattr(RandomPolicy, "act", lambda self, obs: torch.as_tensor(act(self, obs)))
    monkeypatch.setattr(
        GymnasiumEnv, "step", lambda self, actions: (seen.append(type(actions)), step(self, actions))[1]
    )
    found = run(tmp_path, job())
    assert len(found.films()) == len(found.failures) > 0
    assert all(e.videos_note is None for e in found.failures)
    assert set(seen) == {torch.Tensor}


def test_an_end_that_differs_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    step = ScriptedEnv.step

    def shorter(self: ScriptedEnv, action: Any) -> Any:
        observation, reward, terminated, truncated, info = step(self, action)
        if Painted.played.get(self.seed, 0) > 1 and self.t == self.length - 1:
            truncated = True
        return observation, reward, terminated, truncated, info

    monkeypatch.setattr(ScriptedEnv, "step", shorter)
    found = run(tmp_path, job())
    assert all("ended after" in str(e.videos_note) for e in found.failures)


def test_another_end_at_the_same_step_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failure that ended by itself, and in the replay at a time limit; the rewards are the same."""
    step = ScriptedEnv.step

    def otherwise(self: ScriptedEnv, action: Any) -> Any:
        observation, reward, terminated, truncated, info = step(self, action)
        if Painted.played.get(self.seed, 0) == 1:
            terminated, truncated = terminated or truncated, False
        return observation, reward, terminated, truncated, info

    monkeypatch.setattr(ScriptedEnv, "step", otherwise)
    found = run(tmp_path, job())
    assert found.failures
    assert {e.end_reason for e in found.failures} == {"terminated"}
    for episode in found.failures:
        assert "it ended with terminated, and in the replay with time_out" in str(episode.videos_note)
        assert (found.path / episode.videos["render"]).exists()


def test_an_environment_that_fails_in_the_replay_costs_films_alone(tmp_path: Path) -> None:
    found = run(tmp_path, job(make={"fail": "replay"}))
    assert found.record.status == "completed"
    assert found.record.episodes["measured"] == 10
    (note,) = found.record.notes
    assert "to be filmed by replay: RuntimeError: cannot do that twice" in note
    assert str(found.failures[0].episode) in note
    assert found.films() == {}
    assert [e.videos for e in found.episodes] == [{}] * 10


def test_an_environment_that_failed_in_the_replay_is_not_used_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[Evaluation] = []
    roll_out = Evaluation._roll_out
    monkeypatch.setattr(
        Evaluation, "_roll_out", lambda self, deadline: (kept.append(self), roll_out(self, deadline))[1]
    )
    run(tmp_path / "fails", job(make={"fail": "replay"}))
    run(tmp_path / "works", job())
    assert [evaluation.environment_failed for evaluation in kept] == [True, False]


def test_paths_that_cannot_be_written_are_a_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pytest_arena.records.attempt.write_episodes", full)
    found = run(tmp_path, job())
    assert (found.record.status, len(found.episodes)) == ("completed", 10)
    (note,) = found.record.notes
    assert "episodes.jsonl lacks the paths of films: [Errno 28]" in note
    assert found.record.videos, "the record names them"


def test_failures_are_filmed_where_the_policy_raises_later(tmp_path: Path) -> None:
    made = job(2, policy={"type": "tests.registered:Broken", "at": 14})
    with pytest.raises(ValueError, match="the policy broke at action 14"):
        run(tmp_path, made)
    (path,) = (path for path in tmp_path.iterdir() if not path.is_symlink())
    found = Run(path)
    assert found.failures
    assert all((path / e.videos["render"]).exists() for e in found.failures)
    assert found.record.videos == sorted(e.videos["render"] for e in found.failures)


def test_a_broken_environment_is_not_asked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    step, count = GymnasiumEnv.step, []

    def breaking(self: GymnasiumEnv, actions: Any) -> Any:
        count.append(1)
        if len(count) == 14:
            raise RuntimeError("broken")
        return step(self, actions)

    monkeypatch.setattr(GymnasiumEnv, "step", breaking)
    with pytest.raises(RuntimeError, match="broken"):
        run(tmp_path, job(2))
    (path,) = (path for path in tmp_path.iterdir() if not path.is_symlink())
    found = Run(path)
    assert len(count) == 14
    assert found.failures
    (note,) = found.record.notes
    assert "the rollout ended before they were filmed" in note
    assert "record.video: on" in note


def test_filming_has_the_jobs_time_and_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pytest_arena import RolloutTimeoutError

    class Late:
        def __init__(self, seconds: float | None, *args: Any, **more: Any) -> None: ...
        def __enter__(self) -> Late:
            return self

        def __exit__(self, *args: Any) -> None: ...
        def rest(self, during: str) -> Late:
            return self

        def check(self) -> None:
            if Painted.played and max(Painted.played.values()) > 1:
                raise RolloutTimeoutError("timed out after 5 s (rollout.timeout)")

    monkeypatch.setattr("pytest_arena.evaluation.run_job.Deadline", Late)
    found = run(tmp_path, job(1))
    assert found.record.status == "completed", "what was measured stands"
    (note,) = found.record.notes
    assert "timed out after 5 s" in note
    assert not list(found.path.glob("job/videos/.*"))


def test_progress_says_what_is_done(tmp_path: Path) -> None:
    activities: list[str | None] = []
    found = run(tmp_path, job(3), watch=lambda loop: activities.append(loop.activity))
    assert activities[0] is None
    assert activities[-1] == f"filming {len(found.failures)} failures"


def test_each_rebuild_films_its_own(tmp_path: Path, pixels: dict[str, list[bytes]]) -> None:
    made = job(2, rollout={"episodes": 10, "rebuilds": 3})
    live = run(tmp_path / "live", made, "on")
    live_pixels = dict(pixels)
    pixels.clear()
    replayed = run(tmp_path / "replayed", made)
    assert len({e.rebuild for e in replayed.failures}) > 1
    assert pixels.items() <= live_pixels.items()
    assert set(replayed.films()) == set(pixels) <= set(live.films())
    assert len(replayed.films()) == len(replayed.failures)


def test_many_failures_open_few_films_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(by_replay, "ROWS_AT_ONCE", 2)
    rows: list[int] = []
    frames = GymnasiumCameras.frames
    monkeypatch.setattr(
        GymnasiumCameras, "frames", lambda self, ids: (rows.append(len(ids)), frames(self, ids))[1]
    )
    found = run(tmp_path, job(8, rollout={"episodes": 24}))
    assert max(rows) == 2
    assert len(found.films()) == len(found.failures) > 4


def test_observations_that_hold_images_are_filmed_live(tmp_path: Path, rendered: list[int]) -> None:
    found = run(tmp_path, job(2, "arena/Seeing-v0"))
    assert sum(rendered) == sum(e.length + 1 for e in found.episodes)
    assert all(count == 1 for count in Painted.played.values()), "nothing was played again"


class Can:
    """As much of an environment as the question needs."""

    single_action_space = gymnasium.spaces.Discrete(3)
    single_observation_space = gymnasium.spaces.Dict(
        {"state": gymnasium.spaces.Box(-1, 1, (7,)), "map": gymnasium.spaces.Box(-1, 1, (4, 4))}
    )

    def __init__(self, **capabilities: Any) -> None:
        from pytest_arena import Capabilities

        able = {"autoreset": "manual", "partial_reset": True, "episode_seeds": True, "deterministic": True}
        self.capabilities = Capabilities(
            terminal_observation=True, terminal_frame=True, **{**able, **capabilities}
        )


def test_what_can_be_played_again() -> None:
    assert can_replay(Can())  # type: ignore[arg-type]
    lacks: tuple[dict[str, Any], ...] = (
        {"autoreset": "same_step"},
        {"partial_reset": False},
        {"episode_seeds": False},
        {"deterministic": False},
    )
    for lack in lacks:
        assert not can_replay(Can(**lack))  # type: ignore[arg-type]
    for spaces in (
        {"single_action_space": gymnasium.spaces.Dict({"arm": gymnasium.spaces.Discrete(2)})},
        {
            "single_observation_space": gymnasium.spaces.Tuple(
                [gymnasium.spaces.Box(0, 255, (8, 8, 3), np.uint8)]
            )
        },
        {"single_observation_space": gymnasium.spaces.Box(0, 255, (8, 8), np.uint8)},
        {"single_observation_space": gymnasium.spaces.Box(-1, 1, (3, 8, 8), np.float32)},
    ):
        env = Can()
        vars(env).update(spaces)
        assert not can_replay(env)  # type: ignore[arg-type]


def test_a_disk_without_room_for_the_actions_costs_films_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Any, *args: Any) -> Any:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(StepBuffer, "_begin_block", full)
    found = run(tmp_path / "log", job())
    assert found.record.episodes["measured"] == 10
    assert any("No space left on device" in note for note in found.record.notes)
    monkeypatch.undo()
    monkeypatch.setattr(StepBuffer, "keep", full)
    found = run(tmp_path / "kept", job())
    assert found.record.episodes["measured"] == 10
    (note,) = found.record.notes
    assert "No space left on device" in note


def test_a_killed_run_leaves_no_path_of_a_film_that_was_never_made(tmp_path: Path) -> None:
    lines: list[dict[str, Any]] = []

    def look(loop: Loop) -> None:
        if loop.activity is not None and not lines:
            path = next(tmp_path.glob("*/job/episodes.jsonl"))
            lines.extend(map(json.loads, path.read_text().splitlines()))

    run(tmp_path, job(), watch=look)
    assert len(lines) == 10, "every episode is on disk before the filming begins"
    assert all(line["videos"] == {} for line in lines)
