"""Trajectories in HDF5, laid out as the tools of robomimic and Isaac Lab read them.

Group ``data``, with the attributes ``total`` (steps of all episodes) and ``env_args`` (JSON with
``env_name``, ``type`` and ``env_kwargs``), holds a group ``demo_<episode>`` for each episode, with the
attributes ``num_samples``, ``success`` and ``seed`` and the datasets ``actions``, ``rewards``, ``dones`` and
``obs/…``, each with a row a step. ``initial_state/…`` and ``terminal_obs/…`` have a single row, and are
there where the simulator can tell.

While a job runs, each finished episode is a whole file of its own: a killed process leaves only readable
ones. `collect` puts them together.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Hashable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from pytest_arena.records.disk_space import require_room
from pytest_arena.records.files import DATASET, TRAJECTORIES
from pytest_arena.records.hdf5_check import DEEPEST, DatasetError, child, linked_file, require_numbers
from pytest_arena.records.json_files import open_regular, parse_json

GYM_TYPE = 2
"""robomimic's number for an environment with Gymnasium's interface; Isaac Lab writes the same."""
CHUNK_BYTES, WRITE_BYTES = 1 << 18, 1 << 22
MOST_PARTS = 1000
"""Of an action that is no array."""
IMAGE_NDIM = 4
"""Steps, height, width, channels: compressed, since they would fill disks."""


def demo_name(episode: int) -> str:
    """Return the name of an episode's group."""
    return f"demo_{episode}"


def location(dataset: str, episode: int) -> str:
    """Return where an episode's trajectory is, as records have it: ``reach/dataset.hdf5#data/demo_3``."""
    return f"{dataset}#data/{demo_name(episode)}"


@contextmanager
def episode_file(directory: Path, episode: int, header: Mapping[str, Any]) -> Iterator[Any]:
    """Give the HDF5 group of one episode to fill; the file gets its name when it is whole.

    *directory* is the job's folder, *header* the attributes of ``data``. Whatever is raised leaves no file.
    """
    path = directory / TRAJECTORIES / f"episode-{episode:04d}.hdf5"
    path.parent.mkdir(exist_ok=True)
    with _drafted(path) as file:
        data = file.create_group("data")
        data.attrs.update(header)
        group = data.create_group(demo_name(episode))
        yield group
        data.attrs["total"] = int(group.attrs["num_samples"])


@contextmanager
def _drafted(path: Path) -> Iterator[Any]:
    """Give a new HDF5 file to fill, which gets the name *path* when it is whole; else none is left."""
    working = path.with_name(f".{path.name}.part")
    try:
        file = _open(working, "w")
        descriptor = file.id.get_vfd_handle()
        try:
            yield file
            file.flush()  # so that closing it has nothing left to write
        except BaseException:
            _abandon(file, descriptor)
            raise
        file.close()
        os.replace(working, path)
    finally:
        working.unlink(missing_ok=True)


def _abandon(file: Any, descriptor: int) -> None:
    """Close a draft that nobody wants, whatever the disk is like.

    HDF5 that cannot write what it holds when it closes something crashes at the end of the process. So the
    draft's *descriptor* becomes that of a file in memory.
    """
    if sys.platform == "linux":
        sink = os.memfd_create("abandoned")
        try:
            os.dup2(sink, descriptor, inheritable=False)
        finally:
            os.close(sink)
    for _ in range(2):  # after a flush that failed, closing succeeds at the second attempt
        with contextlib.suppress(OSError, RuntimeError):
            file.close()


def write_rows(group: Any, name: str, length: int, pieces: Iterable[NDArray[Any]]) -> None:
    """Write the dataset *name* of *length* rows as its *pieces* (k, …) come.

    Raises OSError where that would leave too little room to the results.
    """
    dataset, at = None, 0
    for rows in _larger(pieces):
        require_room(Path(group.file.filename).parent, rows.nbytes)
        if dataset is None:
            dataset = _create(group, name, length, rows)
        dataset[at : at + len(rows)] = rows
        at += len(rows)
    if at != length:
        raise ValueError(f"{name}: expected {length} rows, got {at}")
    group.file.flush()  # while the dataset is open: one that cannot be written when it is closed is lost


def _larger(pieces: Iterable[NDArray[Any]]) -> Iterator[NDArray[Any]]:
    """Join pieces up to a few megabytes: writing one costs as much as copying thousands of numbers."""
    waiting: list[NDArray[Any]] = []
    for piece in pieces:
        waiting.append(piece)
        if sum(held.nbytes for held in waiting) >= WRITE_BYTES:
            yield np.concatenate(waiting)
            waiting = []
    if waiting:
        yield np.concatenate(waiting)


def _create(group: Any, name: str, length: int, rows: NDArray[Any]) -> Any:
    shape, chunk = rows.shape[1:], min(length, max(1, CHUNK_BYTES // max(1, rows[:1].nbytes)))
    images = rows.ndim >= IMAGE_NDIM and rows.dtype == np.uint8
    chunks = (chunk, *shape) if images or length > chunk else None
    compression: dict[str, Any] = {"compression": "gzip", "compression_opts": 1} if images else {}
    return group.create_dataset(name, (length, *shape), rows.dtype, chunks=chunks, **compression)


def write_tree(group: Any, name: str, tree: Mapping[Any, Any]) -> None:
    """Write nested mappings of arrays as groups of datasets below *name*."""
    names = safe_names(tree)
    for key, value in tree.items():
        if isinstance(value, Mapping):
            write_tree(group, f"{name}/{names[key]}", value)
        else:
            group[f"{name}/{names[key]}"] = value


def safe_names(keys: Iterable[Hashable]) -> dict[Hashable, str]:
    """Return key -> a name that HDF5 takes within one group and that no other of the *keys* has.

    Keys whose text is such a name keep it: ``a/b``, which would be two groups, becomes ``a_b``, or ``a_b-2``
    beside a key ``a_b``.
    """
    safe = {key: re.sub(r"[/\0\ud800-\udfff]", "_", str(key)) for key in keys}
    names: dict[Hashable, str] = {}
    taken: set[str] = set()
    order = sorted(safe, key=lambda key: (safe[key] != key, type(key).__name__, str(key)))
    for key in order:
        base = safe[key] if safe[key].strip(".") else "_" * max(1, len(safe[key]))
        name, number = base, 2
        while name in taken:
            name, number = f"{base}-{number}", number + 1
        taken.add(name)
        names[key] = name
    return names


def dataset_names(paths: Iterable[tuple[Hashable, ...]]) -> dict[tuple[Hashable, ...], str]:
    """Return path -> the name of its dataset, ``outer/inner``: see `safe_names`."""
    known = list(paths)
    levels: dict[tuple[Hashable, ...], dict[Hashable, None]] = {}
    for path in known:
        for depth, key in enumerate(path):
            levels.setdefault(path[:depth], {})[key] = None
    names = {prefix: safe_names(keys) for prefix, keys in levels.items()}
    return {path: "/".join(names[path[:i]][key] for i, key in enumerate(path)) for path in known}


def collect(directory: Path) -> None:
    """Put the finished episodes of a job's folder into its ``dataset.hdf5``, beside those that it has.

    The new file takes the name at once, and only then the episodes' own files go: at any moment each episode
    is in one of the two.
    """
    parts = sorted((directory / TRAJECTORIES).glob("episode-*.hdf5"))
    if parts:
        target = directory / DATASET
        _write_whole(target, [*([target] if target.exists() else []), *parts], linked=False)
        for part in parts:
            part.unlink()
    with contextlib.suppress(OSError):  # there is none, or a killed process left something there
        (directory / TRAJECTORIES).rmdir()


def link(target: Path, sources: Iterable[Path]) -> None:
    """Write a dataset whose episodes are links into *sources*: it takes no space, and moves with them."""
    _write_whole(target, sources, linked=True)


def _write_whole(target: Path, sources: Iterable[Path], *, linked: bool) -> None:
    sources = list(sources)
    require_room(target.parent, 0 if linked else sum(path.stat().st_size for path in sources))
    with _drafted(target) as file:
        data = file.create_group("data")
        for path in sources:
            with _open(path, "r") as source:
                try:
                    _take_over(data, source["data"], os.path.relpath(path, target.parent) if linked else None)
                except (KeyError, TypeError, ValueError) as error:
                    raise OSError(f"{path.name} is no dataset of episodes: {error}") from None
        data.attrs["total"] = sum(int(demo.attrs.get("num_samples", 0)) for demo in data.values())


def _take_over(data: Any, source: Any, linked_path: str | None) -> None:
    for key, value in source.attrs.items():
        data.attrs[key] = value
    for name in source:
        if name in data:  # run again since
            del data[name]
        if linked_path is None:
            source.file.copy(source[name], data, name)
        else:
            data[name] = h5py.ExternalLink(linked_path, f"/data/{name}")


class Dataset:
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
        self.about: dict[str, Any] = _about(self._data)
        """What this package wrote of the job that was recorded; empty for other files."""

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
        return int(self._actions(episode, self._parts(episode)[0]).shape[0])

    def shapes(self, episode: int) -> dict[str, tuple[int, ...]]:
        """Return the shape of an episode's actions, without their number, of each part that they have."""
        return {part: tuple(self._actions(episode, part).shape[1:]) for part in self._parts(episode)}

    def actions(self, episode: int, first: int, last: int, part: str = "") -> NDArray[Any]:
        """Return actions *first* to *last*, excluded, as (k, *action shape); or the *part* with this name."""
        try:
            found: NDArray[Any] = self._actions(episode, part)[first:last]
        except (OSError, RuntimeError) as error:
            raise DatasetError(
                f"expected the actions of {demo_name(episode)} in {self._path}, they cannot be read: "
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
            return _open(path, "r")
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

    def _parts(self, episode: int) -> list[str]:
        """Return the names of the parts of an action: a single one, without a name, unless it has several."""
        parts: list[str] = []
        waiting = [("", child(self._demo(episode), "actions"))]
        while waiting:
            name, found = waiting.pop()
            if isinstance(found, h5py.Group) and name.count("/") < DEEPEST and len(found):
                below = [f"{name}/{key}".strip("/") for key in found]
                waiting += [(path, child(found, path.rpartition("/")[2])) for path in reversed(below)]
            else:
                parts.append(name)
            if len(parts) + len(waiting) > MOST_PARTS:
                raise DatasetError(f"expected at most {MOST_PARTS} parts of an action in {self._path}")
        return parts

    def _actions(self, episode: int, part: str = "") -> Any:
        if (episode, part) not in self._tracks:
            found = self._demo(episode)
            for name in ("actions", *(part.split("/") if part else ())):
                found = child(found, name) if isinstance(found, h5py.Group) else None
            if not isinstance(found, h5py.Dataset):
                where = f"{demo_name(episode)}/actions{'/' * bool(part)}{part}"
                raise DatasetError(f"expected a dataset data/{where}, there is none")
            require_numbers(found)
            self._tracks[episode, part] = found
        return self._tracks[episode, part]


def _attribute(holder: Any, name: str) -> Any:
    try:
        return holder.attrs.get(name)
    except (OSError, RuntimeError, TypeError, ValueError):  # of a type that numpy does not have
        raise DatasetError(f"expected a plain value as {name} of {holder.name}") from None


def _about(data: Any) -> dict[str, Any]:
    text = _attribute(data, "arena")
    try:
        about = parse_json(text.encode()) if isinstance(text, str) else {}
    except ValueError:
        about = {}
    return about if isinstance(about, dict) else {}


def plain_reason(error: Exception) -> str:
    """Return in one line why a dataset could not be written; HDF5 itself tells it in many."""
    told = re.search(r"errno = (\d+)", str(error))
    number = int(told[1]) if told else getattr(error, "errno", None)
    return os.strerror(number) if number else (str(error).splitlines() or [type(error).__name__])[0]


def _open(path: Path, mode: str) -> Any:
    # Some file systems of clusters have no locks, and none is needed: a file has one writer, under a name
    # that no reader knows.
    return h5py.File(path, mode, locking="best-effort")
