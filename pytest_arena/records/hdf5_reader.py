"""Reading HDF5 files from anybody: what in them may be read, and what would lead elsewhere.

An HDF5 file can keep its data in any other file: by links, external storage, or virtual datasets. It can say
of a few bytes that they are terabytes. None of that is read. One thing leads elsewhere for good reason: the
dataset of a sharded job links to those of its shards.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from pytest_arena.errors import EvaluationError
from pytest_arena.records.hdf5_writer import demo_name, open_hdf5, plain_reason
from pytest_arena.records.json_files import open_regular, parse_json

DEEPEST = 32
"""Groups within groups."""
LARGEST_CHUNK = 1 << 26
"""Bytes that reading one row may unpack."""
MOST_TIMES = 2000
"""As tightly as numbers can be packed: gzip's limit is 1032."""


class DatasetError(EvaluationError, ValueError):
    """An HDF5 file is not what a recording is, or leads elsewhere; one line."""


def child(group: Any, name: str) -> Any:
    """Return the group or dataset *name* in *group*, None where there is none.

    Raises `DatasetError` where it is a link to elsewhere: only what is in the file itself is looked at.
    """
    link = group.get(name, getlink=True)
    if link is None:
        return None
    if not isinstance(link, h5py.HardLink):
        raise DatasetError(
            f"expected data in the file itself, {_place(group, name)} is a link to {_target(link)}"
        )
    return group[name]


def require_numbers(dataset: Any) -> None:
    """Raise `DatasetError` unless *dataset* holds rows of numbers, in its own file, as many as it says."""
    where = dataset.name
    require_own_storage(dataset)
    if dataset.dtype.kind not in "biuf" or dataset.dtype.subdtype is not None:
        raise DatasetError(f"expected numbers in {where}, got {dataset.dtype}")
    if dataset.shape is None or not dataset.shape or not dataset.shape[0]:
        raise DatasetError(f"expected at least one row in {where}, got the shape {dataset.shape}")
    stored, claimed = dataset.id.get_storage_size(), int(dataset.nbytes)
    packed = dataset.chunks is not None and dataset.id.get_create_plist().get_nfilters() > 0
    if claimed > stored * (MOST_TIMES if packed else 1):
        raise DatasetError(
            f"expected {claimed} bytes in {where}, as its shape {dataset.shape} says, got {stored}"
        )
    chunk = dataset.dtype.itemsize
    for length in dataset.chunks or dataset.shape[1:]:
        chunk *= length
    if chunk > LARGEST_CHUNK:
        raise DatasetError(
            f"expected rows in pieces of at most {LARGEST_CHUNK >> 20} MiB in {where}, got {chunk}"
        )


def require_own_storage(dataset: Any) -> None:
    """Raise `DatasetError` where *dataset* has its data in other files, or in other datasets."""
    if dataset.external:
        elsewhere = dataset.external[0][0]
        raise DatasetError(f"expected data in the file itself, {dataset.name} has it in {elsewhere}")
    if dataset.is_virtual:
        raise DatasetError(f"expected data in the file itself, {dataset.name} is a virtual dataset")


def linked_file(file: Path, group: Any, name: str) -> Path | None:
    """Return the file that has an episode in place of *file*.

    The only link that this package makes leads to the same episode in the dataset of a folder beside that of
    *file*.

    Args:
        file: Path of the dataset.
        group: Its HDF5 group ``data``.
        name: Name of the episode's group, as `demo_name` gives it.

    Returns:
        The real path of the other file; None where the episode is in *file* itself, or there is none.

    Raises:
        DatasetError: The link to another file is none that this package makes, or that file is missing.
    """
    link = _link(group, name)
    if not isinstance(link, h5py.ExternalLink):
        return None
    run, target = file.resolve().parent.parent, Path(str(link.filename))
    real = Path(os.path.realpath(file.resolve().parent / target))
    ours = real.parent.parent == run and real.name.startswith("dataset") and real.suffix == ".hdf5"
    if target.is_absolute() or not ours or link.path != f"/data/{name}" or not real.is_file():
        raise DatasetError(
            f"expected data in the file itself or in the dataset of a shard beside it, {_place(group, name)} "
            f"is a link to {_target(link)}"
        )
    return real


def require_own_data(path: Path) -> None:
    """Raise `DatasetError` where the HDF5 file *path* leads elsewhere; OSError where it is none."""
    with h5py.File(path, "r", locking="best-effort") as file:
        seen: set[int] = set()
        waiting = [(file["/"], 0)]
        while waiting:
            group, depth = waiting.pop()
            address = h5py.h5o.get_info(group.id).addr
            if address in seen:
                continue
            seen.add(address)
            if depth > DEEPEST:
                raise DatasetError(
                    f"expected groups at most {DEEPEST} levels deep, {group.name[:60]}… is deeper"
                )
            for name in group:
                if group.name == "/data" and linked_file(path, group, name) is not None:
                    continue
                found = child(group, name)
                if isinstance(found, h5py.Dataset):
                    require_own_storage(found)
                elif isinstance(found, h5py.Group):
                    waiting.append((found, depth + 1))


def _link(group: Any, name: str) -> Any:
    try:
        return group.get(name, getlink=True)
    except KeyError:
        return None


def _place(group: Any, name: str) -> str:
    return f"{group.name.rstrip('/')}/{name}"


def _target(link: Any) -> str:
    return f"{link.filename}:{link.path}" if isinstance(link, h5py.ExternalLink) else str(link.path)


MOST_PARTS = 1000
"""Of an action, or observation, that is no array."""


class DatasetReader:
    """A dataset to read: of this package, robomimic, or Isaac Lab. It may come from anybody.

    Only what is in the file itself is read; of the dataset of a sharded job also what is in those of its
    shards. All methods raise `DatasetError`, one line, where it is not what it should be.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._others = path, dict[Path, Any]()
        self._file = self._opened(path)
        self._demos: dict[int, Any] = {}
        self._tracks: dict[tuple[int, str], Any] = {}
        try:
            self._data = self._data_of(self._file)
            found = (re.fullmatch(r"demo_(0|[1-9][0-9]{0,8})", name) for name in self._data or ())
            self.episodes = sorted(int(match[1]) for match in found if match)
            """Episodes in the file, by the number in their name."""
            if not self.episodes:
                raise DatasetError(f"expected groups data/demo_0, data/demo_1 … in {path}, there are none")
        except DatasetError:
            self.close()
            raise
        self.about: dict[str, Any] = _json_attribute(self._data, "arena")
        """What this package wrote of the job that was recorded; empty for other files."""

    @property
    def env_args(self) -> dict[str, Any]:
        """What the file says of the environment: ``env_name``, ``sim_args`` …; empty where it does not."""
        return _json_attribute(self._data, "env_args")

    def __contains__(self, episode: int) -> bool:
        return demo_name(episode) in self._data

    def attribute(self, episode: int, name: str) -> Any:
        """Return an attribute of an episode, a single value; None where it has none."""
        value = _attribute(self._demo(episode), name)
        if isinstance(value, np.ndarray) and value.size == 1:
            value = value.reshape(())[()]
        if isinstance(value, np.generic):
            value = value.item()
        if not (value is None or isinstance(value, (bool, int, float, str))):
            raise DatasetError(f"expected a single value as {name} of {demo_name(episode)} in {self._path}")
        return value

    def length(self, episode: int) -> int:
        """Return the number of actions of an episode."""
        return int(self._track(episode, self._parts(episode)[0]).shape[0])

    def shapes(self, episode: int) -> dict[str, tuple[int, ...]]:
        """Return the shape of an episode's actions, without their number, of each part that they have."""
        return {part: tuple(self._track(episode, part).shape[1:]) for part in self._parts(episode)}

    def actions(self, episode: int, first: int, last: int, part: str = "") -> NDArray[Any]:
        """Return consecutive actions of an episode.

        Args:
            episode: The number in the name of its group.
            first: Index of the first action, from 0.
            last: Index after the last action. Actions beyond the end are left out.
            part: Name of a part of the actions, as `shapes` gives it; empty where they have no parts.

        Returns:
            (k, *action shape), in the file's dtype.

        Raises:
            DatasetError: There are no such actions, they are no numbers, or they cannot be read.
        """
        return self.rows(episode, f"actions/{part}".rstrip("/"), first, last)

    def parts(self, episode: int, name: str) -> list[str]:
        """Return the paths of the arrays at and below *name* in an episode; none where there is no such."""
        demo = self._demo(episode)
        return [f"{name}/{part}".rstrip("/") for part in self._parts(episode, name)] if name in demo else []

    def rows(self, episode: int, path: str, first: int, last: int) -> NDArray[Any]:
        """Return consecutive rows of an array of an episode.

        Args:
            episode: The number in the name of its group.
            path: One that `parts` gives.
            first: Index of the first row, from 0.
            last: Index after the last row. Rows beyond the end are left out.

        Returns:
            (k, *shape of a row), in the file's dtype.

        Raises:
            DatasetError: There is no such array, it holds no numbers, or it cannot be read.
        """
        name, _, part = path.partition("/")
        try:
            found: NDArray[Any] = self._track(episode, part, name)[first:last]
        except (OSError, RuntimeError) as error:
            raise DatasetError(
                f"expected {path} of {demo_name(episode)} in {self._path}, it cannot be read: "
                f"{plain_reason(error)}"
            ) from None
        return found

    def close(self) -> None:
        """Close the file; calling it twice is harmless."""
        for file in (*self._others.values(), self._file):
            file.close()

    def _opened(self, path: Path) -> Any:
        try:
            with open_regular(path):
                pass
            return open_hdf5(path, "r")
        except (OSError, ValueError) as error:
            raise DatasetError(f"expected an HDF5 file, {path} cannot be read as one: {error}") from None

    def _data_of(self, file: Any) -> Any:
        data = child(file, "data")
        return data if isinstance(data, h5py.Group) else None

    def _demo(self, episode: int) -> Any:
        if episode not in self._demos:
            name, data = demo_name(episode), self._data
            if (other := linked_file(self._path, data, name)) is not None:
                if other not in self._others:
                    self._others[other] = self._opened(other)
                data = self._data_of(self._others[other])
            found = None if data is None else child(data, name)
            if not isinstance(found, h5py.Group):
                raise DatasetError(f"expected a group data/{name} in {self._path}, there is none")
            self._demos[episode] = found
        return self._demos[episode]

    def _parts(self, episode: int, root: str = "actions") -> list[str]:
        """Return the names of the parts of an array: a single one, without a name, unless it has several."""
        parts: list[str] = []
        waiting = [("", child(self._demo(episode), root))]
        while waiting:
            name, found = waiting.pop()
            if isinstance(found, h5py.Group) and name.count("/") < DEEPEST and len(found):
                below = [f"{name}/{key}".strip("/") for key in found]
                waiting += [(path, child(found, path.rpartition("/")[2])) for path in reversed(below)]
            else:
                parts.append(name)
            if len(parts) + len(waiting) > MOST_PARTS:
                raise DatasetError(f"expected at most {MOST_PARTS} parts of {root} in {self._path}")
        return parts

    def _track(self, episode: int, part: str, root: str = "actions") -> Any:
        key = (episode, f"{root}/{part}")
        if key not in self._tracks:
            found = self._demo(episode)
            for name in (root, *(part.split("/") if part else ())):
                found = child(found, name) if isinstance(found, h5py.Group) else None
            if not isinstance(found, h5py.Dataset):
                where = f"{demo_name(episode)}/{root}{'/' * bool(part)}{part}"
                raise DatasetError(f"expected a dataset data/{where}, there is none")
            require_numbers(found)
            self._tracks[key] = found
        return self._tracks[key]


def _attribute(holder: Any, name: str) -> Any:
    try:
        return holder.attrs.get(name)
    except (OSError, RuntimeError, TypeError, ValueError):  # of a type that numpy does not have
        raise DatasetError(f"expected a plain value as {name} of {holder.name}") from None


def _json_attribute(data: Any, name: str) -> dict[str, Any]:
    text = _attribute(data, name)
    try:
        about = parse_json(text.encode()) if isinstance(text, str) else {}
    except ValueError:
        about = {}
    return about if isinstance(about, dict) else {}
