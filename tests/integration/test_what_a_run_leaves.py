"""What one run leaves: records, episodes, boundaries, films and reports of jobs that end in every way.

All tests look at the same run, of two workers.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from pytest_arena import JobRecord, Outcome, Status
from pytest_arena.records.lock import SESSION, WORKERS
from pytest_arena.records.run_directory import RUN_FILES
from tests.inner import inner_environment
from tests.integration.conftest import Folder, parse
from tests.integration.what_ran import LOGGED, ran

CONFTEST = """
import h5py
import numpy as np
import pytest
from pytest_arena import Cameras, Metric, Recorded, Recorder

class Dataset(Recorder):
    '''Leaves a dataset, and a film two folders down.'''

    def start(self, context):
        self.context = context
        self.path = context.directory / "dataset.hdf5"
        self.file = h5py.File(self.path, "x")
        self.film = context.directory / "views" / "above" / "film.mp4"
        self.film.parent.mkdir(parents=True)
        self.film.touch()

    def close(self):
        self.file.close()
        told = self.context.relative
        return Recorded(videos=[told(self.film)], hdf5_path=told(self.path))

class TwoCameras(Cameras):
    '''One shows what the environment's own camera shows, the other the negative.'''

    names = ("left", "right")

    def __init__(self, own):
        self.own = own

    def frames(self, rows):
        images = self.own.frames(rows)["render"]
        return {"left": images, "right": 255 - images}

class Wrapped:
    '''The environment, seen by two cameras.'''

    def __init__(self, env):
        self.env, self.cameras = env, TwoCameras(env.cameras)

    def __getattr__(self, name):
        return getattr(self.env, name)

class Steps(Metric):
    '''Its values are numpy's.'''

    name = "steps"

    def end(self, row, episode):
        return np.float32(episode.length)

def pytest_arena_metrics(job):
    return [Steps()]

@pytest.fixture
def arena_env(arena_env):
    return Wrapped(arena_env)

@pytest.fixture
def arena_recorders(arena_recorders):
    return [*arena_recorders, Dataset()]
"""

TEST = """
import pytest

@pytest.mark.arena("jobs.yaml")
def test_it(arena_job, arena_rollout, arena_dir):
    (arena_dir / "videos").mkdir()
    (arena_dir / "videos" / "stray.mp4").touch()
    arena_rollout().assert_thresholds()

@pytest.mark.flaky(reruns=1)
@pytest.mark.arena("again.yaml")
def test_again(arena_rollout, arena_dir):
    arena_rollout()
    assert arena_dir.name != "again"
"""

ROWS, EPISODES = 2, 5
GAIN = 0.015625
JOBS: dict[str, dict[str, Any]] = {
    "good": {
        "policy": {"type": "tests.registered:ArenaStyle", "gain": GAIN},
        "language_instruction": "reach",
        "thresholds": {"success_rate": ">= 0.01"},
    },
    "bad": {"thresholds": {"success_rate": "> 0.99"}},
    "broken": {"policy": {"type": "tests.registered:Broken", "at": 12}},
    "unmade": {"environment": {"options": {"make": {"nonsense": 1}}}},
    "crashed": {
        "environment": {
            "id": "tests.registered:arena/Trap-v0",
            "options": {"make": {"trap": "SIGKILL", "episode": 1}},
        }
    },
}
OUTCOMES = {**dict.fromkeys(JOBS, "failed"), "unmade": "error", "good": "passed", "again": "passed"}
FOLDERS = {*JOBS, "again", "again.2"}
FILES_OF_A_JOB = {"record.json", "episodes.jsonl", "videos", "overview.mp4", "overview.jpg", "overview.webp"}
"""What ``docs/results.md`` lists."""
RECORDED = sorted(FOLDERS - {"unmade", "crashed"})
"""Folders of attempts whose rollout came to an end, be it an exception."""


class Session(Folder):
    """The run that all tests of this module look at."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        (path / "conftest.py").write_text(CONFTEST + LOGGED)
        (path / "test_it.py").write_text(TEST)
        common: dict[str, Any] = {"rollout": {"episodes": EPISODES}, "record": {"video": "on"}}
        common["environment"] = {
            "id": "tests.registered:arena/Scripted-v0",
            "num_envs": ROWS,
            "cameras": {"render": {}},
        }
        self.jobs(JOBS, **common)
        self.jobs({"again": {}}, "again.yaml", **common)
        self.before = {found.name for found in path.iterdir()}
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-n", "2", "--log-level=INFO"]
        command += ["--arena-output", "arena-results/of/this/week"]
        done = subprocess.run(
            command, cwd=path, env=inner_environment(), capture_output=True, text=True, timeout=120
        )
        self.status, self.output = done.returncode, done.stdout

    @property
    def run_dir(self) -> Path:
        base = self.path / "arena-results" / "of" / "this" / "week"
        (found,) = base.glob("2*")
        return found

    def manifest(self) -> dict[str, Any]:
        return parse((self.run_dir / "run.json").read_text())

    def records(self) -> dict[str, dict[str, Any]]:
        """The record of every attempt, by folder."""
        return {
            path.parent.name: self.record(path.parent.name) for path in self.run_dir.glob("*/record.json")
        }

    def measured(self, folder: str) -> list[dict[str, Any]]:
        """The episodes of an attempt that came to their own end."""
        return [e for e in self.episodes(folder) if e["outcome"] != "error"]


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Session:
    pytest.importorskip("pytest_rerunfailures")
    made = Session(tmp_path_factory.mktemp("run"))
    assert made.status == 1, made.output
    assert made.outcomes() == OUTCOMES
    return made


def seen(session: Session, path: str) -> list[int]:
    """Decode a film of a scripted environment; returns the step that each of its frames shows."""
    with av.open(str(session.run_dir / path)) as film:
        levels = [frame.to_ndarray(format="rgb24").mean() for frame in film.decode(video=0)]
    return [round((255 - level if "right" in path else level) / 10) for level in levels]


def length_of(seed: int) -> int:
    """How long the scripted environment's episode with this seed is."""
    return int(np.random.default_rng(seed).integers(2, 9))


def keys_of(data: Any) -> set[str]:
    """All keys, at any depth."""
    if isinstance(data, dict):
        return set(data).union(*map(keys_of, data.values()))
    return set().union(*map(keys_of, data)) if isinstance(data, list) else set()


def test_the_metrics_file_is_written_to_the_run_directory(session: Session) -> None:
    """In the run's directory, and nowhere else."""
    assert list(session.path.rglob("metrics.json")) == [session.run_dir / "metrics.json"]


@pytest.mark.parametrize("job", ["broken", "crashed"])
def test_boundaries_survive_an_exception(session: Session, job: str) -> None:
    """And the death of the process."""
    finished = session.measured(job)
    assert 0 < len(finished) < EPISODES
    expected = [{k: e[k] for k in ("episode", "env_idx", "start_step", "end_step")} for e in finished]
    assert session.record(job)["boundaries"] == session.arena(job)["boundaries"] == expected


def test_no_file_appears_that_nobody_asked_for(session: Session) -> None:
    """Beside the results there is what was there before; in them, what the documentation lists."""
    ours = {"ran.jsonl", "__pycache__"}
    assert {path.name for path in session.path.iterdir()} - ours == session.before | {"arena-results"}
    assert {path.name for path in session.run_dir.iterdir()} - FOLDERS <= {*RUN_FILES, SESSION, WORKERS}
    ours = {"views", "dataset.hdf5"}
    for folder in FOLDERS:
        assert {path.name for path in (session.run_dir / folder).iterdir()} - ours <= FILES_OF_A_JOB, folder


@pytest.mark.parametrize("job", ["good", "bad"])
def test_the_last_boundary_is_exact(session: Session, job: str) -> None:
    """Each is computed here anew, from the episodes' seeds."""
    boundaries = {b["episode"]: b for b in session.arena(job)["boundaries"]}
    seeds = {e["episode"]: e["seed"] for e in session.episodes(job)}
    assert sorted(boundaries) == sorted(seeds) == list(range(EPISODES))
    for row in range(ROWS):
        steps = 0
        for episode in sorted(e for e in boundaries if boundaries[e]["env_idx"] == row):
            last = steps + length_of(seeds[episode]) - 1
            expected = {"episode": episode, "env_idx": row, "start_step": steps, "end_step": last}
            assert boundaries[episode] == expected
            steps = last + 1


def test_videos_are_reported_by_the_recorder_not_searched(session: Session) -> None:
    """One lies two folders down; one on the disk is nobody's."""
    for folder in RECORDED:
        own = {path for e in session.episodes(folder) for path in e["videos"].values()}
        assert set(session.record(folder)["videos"]) == own | {f"{folder}/views/above/film.mp4"}
    assert (session.run_dir / "good" / "videos" / "stray.mp4").exists()
    for job in OUTCOMES:
        assert "stray" not in json.dumps(session.arena(job))


def test_recording_is_announced_and_its_end_is_timed(session: Session) -> None:
    announced = re.findall(r"recording video \((\S+)\) of (.*) in \S+/(\S+)/videos", session.output)
    assert ("on", "left, right", "bad") in announced, "with the output of a failed test"
    for folder in RECORDED:
        assert session.record(folder)["timings"]["recording_seconds"] >= 0
    assert session.arena("broken")["timings"]["recording_seconds"] >= 0


def test_an_episode_record_is_one_episode(session: Session) -> None:
    for folder, record in session.records().items():
        if folder == "unmade":  # it has no episode, and no file for them
            assert record["episodes"] == {"requested": EPISODES, "measured": 0, "errors": 0}
            continue
        lines = session.episodes(folder)
        assert len({e["episode"] for e in lines}) == len(lines)
        assert len(session.measured(folder)) == record["episodes"]["measured"]
        assert len(lines) == record["episodes"]["measured"] + record["episodes"]["errors"]
        assert {(e["job"], e["attempt"]) for e in lines} == {(record["job"], record["attempt"])}


def test_the_configuration_is_stored_once(session: Session) -> None:
    """In the manifest; records have its hash."""
    for label, entry in session.manifest()["jobs"].items():
        canonical = json.dumps(entry["config"], sort_keys=True, separators=(",", ":"))
        assert entry["config_sha256"] == hashlib.sha256(canonical.encode()).hexdigest()
        assert session.record(label)["config_sha256"] == entry["config_sha256"]
        assert session.arena(label)["config_sha256"] == entry["config_sha256"]
    holding = [path.name for path in session.run_dir.rglob("*.json*") if '"gain"' in path.read_text()]
    assert holding == ["run.json"]


def test_a_status_is_one_of_the_named_ones(session: Session) -> None:
    told = {folder: JobRecord.from_json(record).status for folder, record in session.records().items()}
    assert told == {
        **dict.fromkeys(FOLDERS, Status.COMPLETED),
        "broken": Status.ERROR,
        "unmade": Status.ERROR,
        "crashed": Status.CRASHED,
    }
    assert {session.arena(label)["status"] for label in OUTCOMES} <= {str(status) for status in Status}
    assert {e["outcome"] for folder in RECORDED for e in session.episodes(folder)} <= set(Outcome)
    with pytest.raises(ValueError, match="faild"):
        JobRecord.from_json({**session.record("bad"), "status": "faild"})


def test_the_metrics_of_every_job_are_on_disk(session: Session) -> None:
    metrics = parse((session.run_dir / "metrics.json").read_text())
    assert set(metrics) == set(OUTCOMES)
    for job in OUTCOMES:
        for beside in ("episodes_measured", "status", "verdict"):
            metrics[job].pop(beside, None)
        assert metrics[job] == session.arena(job)["metrics"]
    assert set(metrics["unmade"].values()) <= {None}
    for job in ("good", "bad", "broken", "crashed"):
        lengths = [e["length"] for e in session.measured(job)]
        assert metrics[job]["steps"] == metrics[job]["episode_length"] == sum(lengths) / len(lengths)


def test_the_environment_is_written_down_once(session: Session) -> None:
    """Records have its name; all that makes it is in the manifest."""
    for record in (*session.records().values(), *(session.arena(job) for job in OUTCOMES)):
        assert record["environment"].startswith("tests.registered:arena/")
        assert not keys_of(record) & {"task_name", "embodiment", "env_params", "arena_env_args", "num_envs"}
    environment = session.manifest()["jobs"]["crashed"]["config"]["environment"]
    assert environment["id"] == session.arena("crashed")["environment"]
    assert environment["num_envs"] == ROWS
    assert environment["options"] == JOBS["crashed"]["environment"]["options"]


@pytest.mark.parametrize("folder", ["good", "bad", "broken", "again.2"])
def test_films_are_cut_at_the_boundaries(session: Session, folder: str) -> None:
    """Each begins with its episode's reset and ends with its last step."""
    for episode in session.measured(folder):
        for path in episode["videos"].values():
            assert seen(session, path) == list(range(episode["length"] + 1))


def test_a_run_has_one_directory_made_once(session: Session) -> None:
    assert re.fullmatch(r"\d{8}T\d{6}Z-[0-9a-f]{4}", session.run_dir.name)
    assert session.manifest()["run"] == session.report()["arena_run"] == session.run_dir.name
    assert len({line["pid"] for line in ran(session)}) > 1, "more than one process wrote into it"
    assert {path.name for path in session.run_dir.iterdir() if path.is_dir()} == FOLDERS


@pytest.mark.parametrize("job", ["good", "bad", "broken"])
def test_hdf5_path_is_in_the_record(session: Session, job: str) -> None:
    """Also where the job failed."""
    path = session.record(job)["hdf5_path"]
    assert path == session.arena(job)["hdf5_path"] == f"{job}/dataset.hdf5"
    assert (session.run_dir / path).stat().st_size > 0


def test_every_environment_and_camera_has_a_film_of_every_episode(session: Session) -> None:
    for job in ("good", "bad"):
        expected = {
            f"{job}/videos/episode-{e['episode']:04d}-env{e['env_idx']}-{camera}.mp4"
            for e in session.episodes(job)
            for camera in ("left", "right")
        }
        assert {e["env_idx"] for e in session.episodes(job)} == set(range(ROWS))
        assert len(expected) == 2 * EPISODES
        on_disk = {p.relative_to(session.run_dir).as_posix() for p in session.run_dir.glob(f"{job}/videos/*")}
        assert on_disk == expected | {f"{job}/videos/stray.mp4"}


@pytest.mark.parametrize("job", OUTCOMES)
def test_the_report_holds_all_of_every_job(session: Session, job: str) -> None:
    """Whether it completed or failed."""
    folder = "again.2" if job == "again" else job
    arena, record = session.arena(job), session.record(folder)
    assert arena == {key: record[key] for key in arena}
    assert set(arena) >= {
        "schema_version", "job", "config_sha256", "simulator", "environment", "policy", "status", "metrics",
        "thresholds", "verdict", "episodes", "boundaries", "videos", "hdf5_path", "record_path", "timings",
    }  # fmt: skip
    assert record["started_at"] <= record["finished_at"]
    assert all(record[key].endswith("Z") for key in ("started_at", "finished_at"))
    config = session.manifest()["jobs"][job]["config"]
    assert config["policy"]["type"] == arena["policy"]
    assert config["environment"]["id"] == arena["environment"]
    if arena["status"] == "completed":
        assert arena["error"] is None
        assert arena["timings"]["total_seconds"] > 0
    else:
        assert arena["error"]["message"]


def test_what_the_job_was_told_to_do_is_in_the_manifest(session: Session) -> None:
    """The policy's settings and the language instruction."""
    config = session.manifest()["jobs"]["good"]["config"]
    assert config["policy"] == JOBS["good"]["policy"]
    assert config["language_instruction"] == "reach"


def test_the_number_of_a_frame_is_that_of_the_step(session: Session) -> None:
    """Frame k is the image after k steps from the boundary's start; both ends of a boundary are inclusive."""
    episodes = {e["episode"]: e for e in session.episodes("good")}
    for row in range(ROWS):
        mine = [b for b in session.arena("good")["boundaries"] if b["env_idx"] == row]
        assert all(a["end_step"] + 1 == b["start_step"] for a, b in pairwise(mine))
        for boundary in mine:
            frames = seen(session, episodes[boundary["episode"]]["videos"]["left"])
            assert frames[0] == 0
            assert frames[-1] == len(frames) - 1 == boundary["end_step"] - boundary["start_step"] + 1


def test_every_attempt_has_a_dataset_of_its_own(session: Session) -> None:
    """Under the attempt's name: that of one that crashed may still be locked."""
    paths = [session.record(folder)["hdf5_path"] for folder in ("again", "again.2")]
    assert paths == ["again/dataset.hdf5", "again.2/dataset.hdf5"]
    assert all((session.run_dir / path).exists() for path in paths)
    assert session.arena("again")["hdf5_path"] == paths[1]
