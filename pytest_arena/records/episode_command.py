"""The shell command that runs one episode of a finished run again: the same seed, the same numbers, filmed.

    episode_command(manifest: Mapping[str, Any], record: JobRecord, episode: int) -> str | None
    command_parts(manifest: Mapping[str, Any], record: JobRecord) -> tuple[str, str] | None
    why_not_alone(manifest: Mapping[str, Any], record: JobRecord) -> str | None

*manifest* is ``run.json`` as it was read. `command_parts` is for a page with many episodes: what stands
before and behind the episode's index, the same for all episodes of a job. Where there is no command, both are
None, and `why_not_alone` says why, in words.
"""

from __future__ import annotations

import os.path
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

from pytest_arena.jobs.model import is_safe_name
from pytest_arena.records.from_json import from_json
from pytest_arena.records.manifest import JobEntry
from pytest_arena.records.schema import NOT_REPRODUCIBLE, JobRecord

_PROGRAMS = ("pytest", "py.test")
_SELECTING = {"-k", "--deselect", "--ignore", "--ignore-glob", "--keep-duplicates", "--pyargs"}
"""Options that select tests, which the node id does."""
_FAILED_BEFORE = {"--lf", "--last-failed", "--lfnf", "--last-failed-no-failures", "--ff", "--failed-first"}
_IN_PARTS = {"--nf", "--new-first", "--splits", "--group", "--shard-id", "--num-shards", "--count"}
_STEPWISE = {"--sw", "--stepwise", "--sw-skip", "--stepwise-skip", "--sw-reset", "--stepwise-reset"}
_WORKERS = {"-n", "--numprocesses", "--maxprocesses", "--max-worker-restart", "--maxschedchunk", "--dist"}
_MORE_WORKERS = {"-d", "-f", "--tx", "--px", "--rsyncdir", "--rsyncignore", "--testrunuid", "--looponfail"}
_AFTER_FAILURES = {"-x", "--exitfirst", "--maxfail", "--reruns", "--reruns-delay", "--only-rerun", "--pdb"}
_FILES = {"--junitxml", "--junit-xml", "--html", "--alluredir", "--report-log", "--log-file", "--basetemp"}
"""Options that write files, which are those of the whole run."""
_JSON_REPORT = {"--json-report", "--json-report-file", "--json-report-summary", "--json-report-indent"}
_PRINTED = {"-q", "--quiet", "-v", "--verbose", "-s", "--capture", "-l", "--showlocals", "-r", "--tb"}
_MORE_PRINTED = {"--color", "--durations", "--no-header", "--no-summary", "--verbosity", "--trace"}
_SAID_ANEW = {"--arena-jobs", "--arena-video", "--arena-resume", "--arena-gpus", "--arena-workers-per-gpu"}
_OF_VERDICTS = {"--arena-baseline", "--arena-family-error"}
"""A part has none."""
_DROPPED = frozenset(
    _SELECTING.union(_FAILED_BEFORE, _IN_PARTS, _STEPWISE, _WORKERS, _MORE_WORKERS, _AFTER_FAILURES)
    | _FILES.union(_JSON_REPORT, _PRINTED, _MORE_PRINTED, _SAID_ANEW, _OF_VERDICTS)
)
"""Options of the run that the command for one episode does without."""
_OF_PYTEST = {"-p", "-c", "-m", "--config-file", "-o", "--override-ini", "-W", "--rootdir", "--confcutdir"}
_OF_ARENA = {"--arena-set", "--arena-output", "--arena-launcher", "--arena-html"}
_WITH_A_VALUE = frozenset(_OF_PYTEST | _OF_ARENA)
"""Options that are kept, whose value may stand in the next word."""
_FILMED_IN_PART = {"cameras": None, "video_every": 1, "video_environments": None}
"""Keys of ``record`` that leave films out -> the value that leaves out none."""


def episode_command(manifest: Mapping[str, Any], record: JobRecord, episode: int) -> str | None:
    """Return the shell command that runs one episode again, filmed by every camera.

    Args:
        manifest: ``run.json``, as it was read.
        record: That of the episode's job; of a sharded job, that of the whole or of a shard.
        episode: Index of the episode in the job, from 0.

    Returns:
        One line for a POSIX shell, quoted; it begins with ``cd`` to where the run was begun. None where
        `why_not_alone` has a reason.
    """
    parts = command_parts(manifest, record)
    return None if parts is None else f"{episode}".join(parts)


def command_parts(manifest: Mapping[str, Any], record: JobRecord) -> tuple[str, str] | None:
    """Return what stands before and behind the index of an episode in its command; see `episode_command`."""
    found = _found(manifest, record)
    return None if isinstance(found, str) else found


def why_not_alone(manifest: Mapping[str, Any], record: JobRecord) -> str | None:
    """Say in words why there is no command for an episode of *record*; None where there is one."""
    found = _found(manifest, record)
    return found if isinstance(found, str) else None


@dataclass(frozen=True, slots=True)
class _Options:
    """The settings of this package that a run was begun with."""

    job_files: list[str] = field(default_factory=list)
    launcher: str | None = None


@dataclass(frozen=True, slots=True)
class _Begun:
    """How a run was begun."""

    command: list[str]
    working_directory: str
    rootdir: str | None = None
    """Node ids are relative to it; None in runs of earlier versions, mostly it is the working directory."""
    arguments: list[str] | None = None
    """What pytest was given beside paths; None in runs of earlier versions."""
    options: _Options = field(default_factory=_Options)


def _found(manifest: Mapping[str, Any], record: JobRecord) -> tuple[str, str] | str:
    """Return the two parts of the command, or why there is none."""
    try:
        begun, entry = from_json(_Begun, manifest), _entry(manifest, record.job)
    except ValueError:
        return "run.json does not say how the job was run"
    nodeid = entry.nodeid if entry.shard is None else entry.shard.nodeid
    if not nodeid:
        return "the job was not run by pytest"
    if _at(entry.config, "rollout", "episodes") is None:
        return "the job is limited by steps: how many episodes there are depends on how long they last"
    if not record.reproducible:
        return _why_not_reproducible(record)
    if begun.arguments is None and not _is_pytest(begun.command):
        return "run.json does not say how pytest was called"
    name = _at(entry.config, "name")
    options = [*_kept_options(begun), *_selection(begun, nodeid), *_filmed(record, entry.config)]
    if _at(entry.config, "rollout", "shards") not in (None, 1):
        options += ["--arena-set", f"{name}:rollout.shards=1"]
    if (budget := _larger_budget(record, entry.config)) is not None:
        options += ["--arena-set", f"{name}:gate.episodes_max={budget}"]
    path = _path(begun, nodeid.partition("::")[0])
    words = [*_program(begun.command), "::".join([path, *nodeid.split("::")[1:]]), *options]
    where = begun.working_directory
    if not all(word.isprintable() for word in (*words, where)) or not (
        isinstance(name, str) and is_safe_name(name)
    ):
        return "the command has characters that cannot be typed"
    before = f"cd {shlex.quote(where)} && {shlex.join(words)} --arena-set '{name}:rollout.only=["
    return before, "]'"


def _entry(manifest: Mapping[str, Any], label: str) -> JobEntry:
    """Return what ``run.json`` says of the job *label*; of a sharded one, what it says of any shard."""
    jobs = manifest.get("jobs")
    if not isinstance(jobs, Mapping):
        raise ValueError("jobs: expected an object")
    if label in jobs:
        return from_json(JobEntry, jobs[label])
    for data in jobs.values():
        if isinstance(data, Mapping) and _at(data, "shard", "label") == label:
            return from_json(JobEntry, data)
    raise ValueError(f"jobs.{label}: required, but missing")


def _why_not_reproducible(record: JobRecord) -> str:
    noted = [note for note in record.notes if note.startswith(NOT_REPRODUCIBLE)]
    if noted:
        return noted[0].removeprefix(NOT_REPRODUCIBLE)
    capabilities = record.identity.get("capabilities")
    if not isinstance(capabilities, Mapping):
        return "it is not known what its episodes depend on: the environment was never there"
    if capabilities.get("episode_seeds") is False:
        return "the rows of the environment share one stream of random numbers"
    if capabilities.get("deterministic") is False:
        return "the environment leaves something to chance"
    return "the policy does not say that an episode depends on its seed alone"


def _is_pytest(command: Sequence[str]) -> bool:
    if not command:
        return False
    path = PurePath(command[0])
    return path.name in _PROGRAMS or path.parts[-2:] == ("pytest", "__main__.py")


def _program(command: Sequence[str]) -> list[str]:
    """Return ``pytest`` where that was typed: ``python -m pytest`` finds other modules."""
    return ["pytest"] if command and PurePath(command[0]).name in _PROGRAMS else ["python", "-m", "pytest"]


def _kept_options(begun: _Begun) -> Iterator[str]:
    """Yield the run's options that an episode needs as well, as they were typed."""
    known = begun.arguments is not None
    for name, words in _options(begun.arguments if begun.arguments is not None else begun.command[1:]):
        if name in _DROPPED or name.startswith("--cov"):
            continue
        if name == "--arena-set" and any("rollout.only=" in word for word in words):  # said anew
            continue
        # Without a list of the paths, a word behind an option of somebody's own is taken for a path.
        yield from words if known else words[: 2 if name in _WITH_A_VALUE and words[0] == name else 1]
    if begun.options.launcher is not None:  # which starts workers: there the simulator is
        yield from ("-n", "1")


def _options(arguments: Sequence[str]) -> list[tuple[str, list[str]]]:
    """Return each option with its name and its words: itself, and those behind it up to the next option."""
    found: list[tuple[str, list[str]]] = []
    for word in arguments:
        if word.startswith("--"):
            found.append((word.partition("=")[0], [word]))
        elif word.startswith("-") and len(word) > 1:
            found.append((word[:2], [word]))
        elif found:
            found[-1][1].append(word)
    return [option for option in found if option[0] != "--"]


def _selection(begun: _Begun, nodeid: str) -> Iterator[str]:
    """Yield what makes pytest collect the job's file, and no other job file."""
    files = [os.path.normpath(file) for file in begun.options.job_files]
    own = os.path.normpath(os.path.join(begun.rootdir or begun.working_directory, nodeid.partition("::")[0]))
    if own in files:
        yield from ("--arena-jobs", _path(begun, own))
    arguments = begun.arguments if begun.arguments is not None else begun.command[1:]
    typed = {
        os.path.normpath(os.path.join(begun.working_directory, file))
        for name, words in _options(arguments)
        if name == "--arena-jobs"
        for file in ([words[0].partition("=")[2]] if "=" in words[0] else words[1:2])
    }
    if {*files} - typed:  # of the ini file, which would be evaluated as well
        yield from ("-o", "arena_jobs=")


def _path(begun: _Begun, path: str) -> str:
    """Return a path of a node id as it is typed where the run was begun."""
    absolute = os.path.join(begun.rootdir or begun.working_directory, path)
    relative = os.path.relpath(absolute, begun.working_directory)
    return absolute if relative.startswith("..") else relative


def _filmed(record: JobRecord, config: Mapping[str, Any]) -> Iterator[str]:
    """Yield what has the episode filmed by every camera, whatever the job keeps of films."""
    for key, every in _FILMED_IN_PART.items():
        if (_at(config, "record", key) or every) != every:
            yield from ("--arena-set", f"{_at(config, 'name')}:record.{key}=null")
    # To ask for films where there are no cameras, or no images, would be an error. Records of earlier
    # versions do not tell the cameras.
    cameras = record.identity.get("cameras", _at(config, "environment", "cameras") or record.videos)
    if cameras and not any(note.startswith("no videos: ") for note in record.notes):
        yield from ("--arena-video", "on")


def _larger_budget(record: JobRecord, config: Mapping[str, Any]) -> int | None:
    """Return the budget of a gate that has grown since run.json was written; None where it has not."""
    begun, requested = _at(config, "rollout", "episodes"), record.episodes.get("requested", 0)
    grows = _at(config, "gate", "method") == "e_process" and record.only is None
    return requested if grows and isinstance(begun, int) and requested > begun else None


def _at(data: Any, *key: str) -> Any:
    for part in key:
        data = data.get(part) if isinstance(data, Mapping) else None
    return data
