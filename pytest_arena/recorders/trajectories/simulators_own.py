"""The HDF5 file that a simulator's own recorder writes, one a job, with the episodes that count."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pytest_arena.records.episodes import read_episodes, write_episodes
from pytest_arena.records.files import DATASET
from pytest_arena.records.run_directory import JobDirectory
from pytest_arena.records.schema import Episode, Outcome
from pytest_arena.rollout.recorder import Recorded, Recorder, RolloutContext
from pytest_arena.rollout.schedule import EpisodeStart
from pytest_arena.simulators.array_types import IndexArray, Observation
from pytest_arena.simulators.base import DatasetWriter

_NO_DATASET = "no dataset: the environment has no recorder of its own that records anything"


class OwnDataset(Recorder):
    """Has the simulator write ``dataset.hdf5`` into the job's folder, ``dataset-1.hdf5`` after a rebuild.

    The file has a hidden name until it is closed: a file with its own name is whole.
    """

    def __init__(self) -> None:
        self._context: RolloutContext | None = None
        self._writer: DatasetWriter | None = None
        """None where no file is open, and where the environment writes none."""
        self._path = Path(DATASET)
        self._episodes = 0
        self._published: list[str] = []

    def start(self, context: RolloutContext) -> None:
        """Open the file of this environment; that of the one before is closed."""
        self._publish()
        self._context, self._writer, self._episodes = context, context.env.dataset, 0
        names = (f"dataset-{number}.hdf5" if number else DATASET for number in itertools.count())
        paths = (context.directory / name for name in names)
        # A resumed rollout leaves the earlier files alone.
        self._path = next(path for path in paths if not path.exists() and not _draft(path).exists())
        if self._writer is not None:
            self._writer.open(_draft(self._path))

    def on_reset(self, rows: IndexArray, starts: Sequence[EpisodeStart], observation: Observation) -> None:
        """The episodes that begin belong into the file."""
        if self._writer is not None:
            self._writer.keep(rows, True)

    def on_end(self, row: int, episode: Episode) -> None:
        """Name the episode's place in the file, if there is one: the simulator has just written it."""
        if self._writer is None or self._context is None:
            return
        self._writer.keep(np.array([row], np.int64), False)
        if episode.outcome == Outcome.ERROR:
            return
        if _draft(self._path).exists():  # a recorder without a term that records makes none
            episode.trajectory = f"{self._context.relative(self._path)}#data/demo_{self._episodes}"
            self._episodes += 1

    def close(self) -> Recorded:
        """Close the file and give it its name."""
        self._publish()
        notes = [] if self._published or self._context is None else [_NO_DATASET]
        return Recorded(hdf5_path=self._published[0] if self._published else None, notes=notes)

    def _publish(self) -> None:
        if self._writer is None or self._context is None:
            return
        self._writer.close()
        self._writer = None
        with contextlib.suppress(FileNotFoundError):
            _draft(self._path).rename(self._path)
            self._published.append(self._context.relative(self._path))


def _draft(path: Path) -> Path:
    """Return the hidden name that a file has until it is whole."""
    return path.with_name(f".{path.name}")


def unfinished_datasets(directory: JobDirectory) -> list[str]:
    """Name the files that a simulator was writing when its process died; returns a note on what they lack.

    A file whose episodes can be read gets its name, any other goes. An episode that is not in the file that
    its line names loses that path. To be called when no process writes any more; raises as `read_episodes`.
    """
    drafts = sorted(directory.path.glob(".dataset*.hdf5"))
    episodes = read_episodes(directory.episodes) if drafts else []
    named: list[Path] = []
    lost = 0
    for draft in drafts:
        whole = draft.with_name(draft.name.removeprefix("."))
        readable = set() if draft.is_symlink() or whole.exists() else _readable_episodes(draft)
        if readable:
            named.append(draft)
        for episode in episodes:
            path, _, place = (episode.trajectory or "").partition("#")
            if path == f"{directory.path.name}/{whole.name}" and place not in readable and not whole.exists():
                episode.trajectory, lost = None, lost + 1
    if lost:
        write_episodes(directory.episodes, episodes)  # first, so that no line names what is not there
    for draft in drafts:
        if draft in named:
            draft.rename(draft.with_name(draft.name.removeprefix(".")))
        else:
            draft.unlink()
    what = "1 episode is" if lost == 1 else f"{lost} episodes are"
    return [f"{what} not in the simulator's dataset: its process died while it wrote the file"] * bool(lost)


def _readable_episodes(path: Path) -> set[str]:
    """Return the groups of *path* that can be read to their last row: ``data/demo_0`` and so on."""
    import h5py

    def last_row(_: str, held: object) -> None:
        if isinstance(held, h5py.Dataset) and held.shape and held.shape[0]:
            held[-1]

    found: set[str] = set()
    with contextlib.suppress(OSError, RuntimeError), h5py.File(path, "r", locking="best-effort") as file:
        data = file.get("data")
        for name in data if isinstance(data, h5py.Group) else ():
            with contextlib.suppress(OSError, RuntimeError, KeyError):
                if isinstance(data.get(name, getlink=True), h5py.HardLink):
                    data[name].visititems(last_row)
                    found.add(f"data/{name}")
    return found
