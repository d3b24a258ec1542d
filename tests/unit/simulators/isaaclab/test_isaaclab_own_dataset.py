"""Isaac Lab's recorder, by a fake with its habits: what ends up in the file."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import h5py
import numpy as np
import pytest

from pytest_arena import DatasetWriter, Episode, Outcome, read_episodes
from pytest_arena.recorders.trajectories.simulators_own import OwnDataset, unfinished_datasets
from pytest_arena.records.episodes import write_episodes
from pytest_arena.records.run_directory import JobDirectory
from pytest_arena.simulators.isaaclab.own_dataset import IsaacLabDataset

torch = pytest.importorskip("torch")


class Handler:
    """Writes the names of the episodes that it is given; a handler that was closed refuses more."""

    def __init__(self) -> None:
        self.path: Path | None = None

    def create(self, path: str, env_name: str | None = None) -> None:
        self.path = Path(path)
        self.path.write_text("")

    def write(self, text: str) -> None:
        assert self.path is not None, "closed"
        self.path.write_text(self.path.read_text() + text)

    def close(self) -> None:
        self.path = None


class Manager:
    """Exports at every reset, also what a reset interrupts; a term counts the resets that it hears of."""

    active_terms = ("steps",)

    def __init__(self, env: Any, scratch: Path) -> None:
        self._env, self.cfg = env, SimpleNamespace()
        self._dataset_file_handler: Any = Handler()
        self._dataset_file_handler.create(str(scratch / "dataset.hdf5"))
        self.episodes = [""] * env.num_envs
        self.heard: list[int] = []

    def record_step(self) -> None:
        self.episodes = [text + "s" for text in self.episodes]

    def record_pre_reset(self, env_ids: Any, force_export_or_skip: Any = None) -> None:
        self.heard += env_ids.tolist()
        for row in env_ids.tolist() if force_export_or_skip is not False else ():
            if self.episodes[row] and self._dataset_file_handler is not None:
                self._dataset_file_handler.write(f"{row}:{self.episodes[row]} ")
                self.episodes[row] = ""

    def reset(self, env_ids: Any) -> None:
        for row in env_ids:
            self.episodes[row] = ""

    def set_success_to_episodes(self, env_ids: Any, values: Any) -> None:
        for row, value in zip(env_ids, values, strict=True):
            self.episodes[row] += "+" if value else "-"

    def export_episodes(self, env_ids: Any) -> None:
        for row in env_ids:
            self._dataset_file_handler.write(f"{row}:{self.episodes[row]} ")
            self.episodes[row] = ""


@pytest.fixture
def base(tmp_path: Path) -> Any:
    recorders = SimpleNamespace(dataset_file_handler_class_type=Handler)
    env = SimpleNamespace(num_envs=3, device="cpu", cfg=SimpleNamespace(recorders=recorders))
    (tmp_path / "scratch").mkdir()
    env.recorder_manager = Manager(env, tmp_path / "scratch")
    return env


def step(base: Any, dataset: IsaacLabDataset, ended: list[int]) -> None:
    dataset.in_step = True
    base.recorder_manager.record_step()
    if ended:
        base.recorder_manager.record_pre_reset(torch.tensor(ended))
    dataset.in_step = False


def test_only_counted_episodes_are_in_the_file(base: Any, tmp_path: Path) -> None:
    dataset = IsaacLabDataset(base, tmp_path / "scratch")
    step(base, dataset, [])  # left by an earlier rollout
    dataset.open(tmp_path / "a.hdf5")
    base.recorder_manager.record_pre_reset(slice(None))  # the rollout's first reset
    dataset.keep(np.array([0, 1]), True)
    step(base, dataset, [0, 2])  # row 2 has no episode that counts
    dataset.keep(np.array([0]), False)
    step(base, dataset, [0, 1])
    base.recorder_manager.record_pre_reset(None)  # interrupts what runs
    dataset.close()
    assert (tmp_path / "a.hdf5").read_text() == "0:s 1:ss "
    assert base.recorder_manager.heard == [0, 1, 2, 0, 2, 1, 0, 0, 1, 2]
    assert (base.cfg.recorders.dataset_export_dir_path, base.cfg.recorders.dataset_filename) == (
        str(tmp_path),
        "a",
    )


def test_success_in_the_file_is_that_of_the_record(base: Any, tmp_path: Path) -> None:
    """By itself the recorder knows of a term named ``success`` alone."""
    dataset = IsaacLabDataset(base, tmp_path / "scratch", lambda: torch.tensor([True, False, True]))
    dataset.open(tmp_path / "a.hdf5")
    dataset.keep(np.array([0, 1]), True)
    step(base, dataset, [0, 1, 2])
    dataset.close()
    assert (tmp_path / "a.hdf5").read_text() == "0:s+ 1:s- "


def test_closing_lets_go_of_everything(base: Any, tmp_path: Path) -> None:
    dataset = IsaacLabDataset(base, tmp_path / "scratch")
    dataset.open(tmp_path / "a.hdf5")
    dataset.dispose()
    assert not (tmp_path / "scratch").exists()
    assert base.recorder_manager._dataset_file_handler is None
    assert "record_pre_reset" not in vars(base.recorder_manager)


def test_an_environment_without_a_recorder_is_left_alone(tmp_path: Path) -> None:
    dataset = IsaacLabDataset(SimpleNamespace(num_envs=2), None)
    assert not dataset.records
    dataset.open(tmp_path / "a.hdf5")
    dataset.close()
    dataset.dispose()
    assert not (tmp_path / "a.hdf5").exists()


# -- the recorder that names the file


class Env(DatasetWriter):
    def __init__(self) -> None:
        self.dataset: DatasetWriter | None = self
        self.path: Path | None = None
        self.kept: list[Any] = []

    def open(self, path: Path) -> None:
        self.path = path
        path.write_text("half")

    def keep(self, env_ids: Any, keep: bool) -> None:
        self.kept.append((env_ids.tolist(), keep))

    def close(self) -> None:
        if self.path is not None and self.path.exists():
            self.path.write_text("whole")


def context(env: Any, folder: Path) -> Any:
    return SimpleNamespace(
        env=env, directory=folder / "job", relative=lambda p: p.relative_to(folder).as_posix()
    )


def episode() -> Episode:
    numbers = dict.fromkeys(("rebuild", "episode", "env_idx", "start_step", "end_step", "length"), 0)
    return Episode(
        job="job", attempt=1, seed=1, outcome=Outcome.SUCCESS, success_once=True, success_at_end=True,
        success_at_reset=None, return_=0.0, end_reason="", started_at="", wall_time_seconds=0.0, **numbers,
    )  # fmt: skip


def test_the_file_has_its_name_when_it_is_whole(tmp_path: Path) -> None:
    (tmp_path / "job").mkdir()
    env, recorder = Env(), OwnDataset()
    recorder.start(context(env, tmp_path))
    assert not (tmp_path / "job" / "dataset.hdf5").exists()
    recorder.on_reset(np.array([0, 1]), [], None)
    ends = [episode(), episode()]
    recorder.on_end(1, ends[0])
    recorder.on_end(0, ends[1])
    assert [e.trajectory for e in ends] == ["job/dataset.hdf5#data/demo_0", "job/dataset.hdf5#data/demo_1"]
    assert env.kept == [([0, 1], True), ([1], False), ([0], False)]
    assert recorder.close().hdf5_path == "job/dataset.hdf5"
    assert recorder.close().hdf5_path == "job/dataset.hdf5"
    assert (tmp_path / "job" / "dataset.hdf5").read_text() == "whole"


def test_a_rebuild_and_a_resumed_run_have_files_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "job").mkdir()
    recorder = OwnDataset()
    for _ in range(2):
        recorder.start(context(Env(), tmp_path))
    assert recorder.close().hdf5_path == "job/dataset.hdf5"
    again = OwnDataset()
    again.start(context(Env(), tmp_path))
    assert again.close().hdf5_path == "job/dataset-2.hdf5"
    assert len(list((tmp_path / "job").iterdir())) == 3


def test_a_simulator_without_a_recorder_leaves_no_path(tmp_path: Path) -> None:
    (tmp_path / "job").mkdir()
    env = Env()
    env.dataset = None
    recorder = OwnDataset()
    recorder.start(context(env, tmp_path))
    assert recorder.close().hdf5_path is None
    assert recorder.close().notes == [
        "no dataset: the environment has no recorder of its own that records anything"
    ]


# -- what a killed process leaves


WRITE_AND_DIE = """
import os, signal, sys
import h5py, numpy as np

file = h5py.File(sys.argv[1], "w")
data = file.create_group("data")
for k in range(2):
    data.create_group(f"demo_{k}")["actions"] = np.full((3, 1), k)
    file.flush()
data.create_group("demo_2")["actions"] = np.zeros((3, 1))  # not flushed
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def killed(tmp_path: Path) -> JobDirectory:
    """The folder of a job with three episodes, the third of which is not in the simulator's file."""
    directory = JobDirectory(tmp_path / "job", 1)
    directory.path.mkdir()
    command = [sys.executable, "-c", WRITE_AND_DIE, str(directory.path / ".dataset.hdf5")]
    assert subprocess.run(command, timeout=60).returncode == -signal.SIGKILL
    episodes = [episode() for _ in range(3)]
    for number, each in enumerate(episodes):
        each.episode, each.trajectory = number, f"job/dataset.hdf5#data/demo_{number}"
    write_episodes(directory.episodes, episodes)
    return directory


@pytest.mark.process
def test_the_file_of_a_killed_process_is_named_and_nothing_points_beside_it(killed: JobDirectory) -> None:
    assert unfinished_datasets(killed) == [
        "1 episode is not in the simulator's dataset: its process died while it wrote the file"
    ]
    kept = [e.trajectory for e in read_episodes(killed.episodes)]
    assert kept == ["job/dataset.hdf5#data/demo_0", "job/dataset.hdf5#data/demo_1", None]
    with h5py.File(killed.path / "dataset.hdf5") as file:
        assert [file[f"data/demo_{k}/actions"][2, 0] for k in range(2)] == [0, 1]
    assert unfinished_datasets(killed) == []
    assert sorted(path.name for path in killed.path.iterdir()) == ["dataset.hdf5", "episodes.jsonl"]


@pytest.mark.process
@pytest.mark.parametrize("content", [b"", b"half a file", None], ids=["empty", "garbage", "link"])
def test_a_file_that_cannot_be_read_goes(killed: JobDirectory, tmp_path: Path, content: bytes | None) -> None:
    draft = killed.path / ".dataset.hdf5"
    whole = draft.rename(tmp_path / "elsewhere.hdf5")
    if content is None:
        draft.symlink_to(whole)
    else:
        draft.write_bytes(content)
    assert unfinished_datasets(killed)[0].startswith("3 episodes are not in the simulator's dataset")
    assert [e.trajectory for e in read_episodes(killed.episodes)] == [None] * 3
    assert [path.name for path in killed.path.iterdir()] == ["episodes.jsonl"]
    assert whole.exists()


@pytest.mark.process
def test_a_file_of_an_earlier_environment_stays_as_it_is(killed: JobDirectory) -> None:
    (killed.path / ".dataset.hdf5").rename(killed.path / "dataset.hdf5")
    (killed.path / ".dataset-1.hdf5").write_bytes(b"")
    assert unfinished_datasets(killed) == []
    assert [e.trajectory is not None for e in read_episodes(killed.episodes)] == [True] * 3
    assert (killed.path / "dataset.hdf5").exists()
