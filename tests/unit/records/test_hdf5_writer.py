"""Datasets: putting them together, linking them, and reading those of others."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from pytest_arena.records.hdf5_reader import DatasetReader
from pytest_arena.records.hdf5_writer import collect, episode_file, link, write_rows


def write(folder: Path, episode: int, length: int, value: float = 0.0) -> None:
    folder.mkdir(exist_ok=True)
    with episode_file(folder, episode, {"env_args": "{}", "arena": '{"seed": 4}'}) as group:
        write_rows(group, "actions", length, [np.full((length, 2), value)])
        group.attrs["num_samples"] = length


def test_episodes_are_added_to_what_is_there_and_replace_it(tmp_path: Path) -> None:
    write(tmp_path, 2, 3)
    write(tmp_path, 10, 4)
    collect(tmp_path)
    write(tmp_path, 10, 6, 1.0)
    write(tmp_path, 0, 5)
    collect(tmp_path)
    collect(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["dataset.hdf5"]
    dataset = DatasetReader(tmp_path / "dataset.hdf5")
    assert dataset.episodes == [0, 2, 10]
    assert [dataset.length(e) for e in dataset.episodes] == [5, 3, 6]
    assert dataset.actions(10, 4, 9).tolist() == [[1, 1], [1, 1]]
    assert dataset.about == {"seed": 4}
    assert dataset.attribute(10, "num_samples") == 6
    assert dataset.attribute(10, "seed") is None
    assert 2 in dataset
    assert 3 not in dataset
    dataset.close()
    with h5py.File(tmp_path / "dataset.hdf5") as file:
        assert file["data"].attrs["total"] == 14


def test_a_file_that_could_not_be_written_is_not_there(tmp_path: Path) -> None:
    for pieces in ([], [np.zeros((2, 1))]):
        with (
            pytest.raises(ValueError, match=r"actions: expected 3 rows, got [02]"),
            episode_file(tmp_path, 1, {}) as group,
        ):
            write_rows(group, "actions", 3, pieces)
    assert list((tmp_path / "trajectories").iterdir()) == []


def test_what_cannot_be_collected_stays(tmp_path: Path) -> None:
    write(tmp_path, 0, 3)
    (tmp_path / "trajectories/episode-0001.hdf5").write_bytes(b"broken")
    with pytest.raises(OSError, match="file signature not found"):
        collect(tmp_path)
    assert len(list((tmp_path / "trajectories").iterdir())) == 2
    assert not (tmp_path / "dataset.hdf5").exists()


def test_links_take_no_space_and_move_with_what_they_link_to(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    for shard in range(2):
        write(run / f"part{shard}", shard, 20_000)
        collect(run / f"part{shard}")
    (run / "whole").mkdir()
    link(run / "whole/dataset.hdf5", [run / "part0/dataset.hdf5", run / "part1/dataset.hdf5"])
    run.rename(tmp_path / "moved")
    path = tmp_path / "moved/whole/dataset.hdf5"
    assert path.stat().st_size < 20_000
    dataset = DatasetReader(path)
    assert dataset.episodes == [0, 1]
    assert dataset.length(1) == 20_000
    dataset.close()
    with h5py.File(path) as file:
        assert file["data"].attrs["total"] == 40_000


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, "expected an HDF5 file, .* cannot be read as one"),
        ([], r"expected groups data/demo_0, data/demo_1 … in"),
        (["data"], r"expected groups data/demo_0"),
        (["data/demo_x"], r"expected groups data/demo_0"),
    ],
)
def test_what_is_no_dataset(tmp_path: Path, content: list[str] | None, expected: str) -> None:
    path = tmp_path / "file.hdf5"
    if content is None:
        path.write_text("not HDF5")
    else:
        with h5py.File(path, "w") as file:
            for group in content:
                file.create_group(group)
    with pytest.raises(ValueError, match=expected):
        DatasetReader(path)


def test_a_dataset_without_actions(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "file.hdf5", "w") as file:
        file.create_group("data/demo_0").attrs["x"] = 1
        file["data"].attrs["arena"] = "no JSON"
    dataset = DatasetReader(tmp_path / "file.hdf5")
    assert dataset.about == {}
    with pytest.raises(ValueError, match="expected a dataset data/demo_0/actions"):
        dataset.length(0)
    dataset.close()


FULL_DISK = """
import sys
from pathlib import Path
import numpy as np
from pytest_arena.records import hdf5_writer
hdf5_writer.require_room = lambda *args: None  # others fill the disk between the question and the writing
disk = Path(sys.argv[1])
for spare, size in ((0, 10), (100_000, 10), (300_000, 10_000)):
    with (disk / "others").open("wb", 0) as others:
        try:
            while True:
                others.write(bytes(4096))
        except OSError:
            others.truncate(others.tell() - spare)
    try:
        with hdf5_writer.episode_file(disk, 0, {}) as group:
            for i in range(400):
                hdf5_writer.write_rows(group, f"obs/x{i}", size, [np.ones((size, 2))])
            group.attrs["num_samples"] = size
    except (OSError, RuntimeError) as error:
        print("refused:", hdf5_writer.plain_reason(error))
"""


@pytest.mark.process
def test_a_full_disk_does_not_crash_the_process_at_its_end(small_disk: Path) -> None:
    (small_disk / "trajectories").mkdir()
    command = [sys.executable, "-c", FULL_DISK, str(small_disk)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (
        0,
        f"refused: {os.strerror(errno.ENOSPC)}\n" * 3,
        "",
    )
    assert list((small_disk / "trajectories").iterdir()) == []
