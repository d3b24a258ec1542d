"""Command-line options and ini values → one frozen `Settings`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from pytest_arena.gate.family_error import FamilyError

VideoChoice = Literal["off", "on", "retain-on-failure"]
VIDEO_CHOICES: tuple[VideoChoice, ...] = ("off", "on", "retain-on-failure")


@dataclass(frozen=True)
class Settings:
    """What the user asked of this session; paths are absolute."""

    job_files: tuple[Path, ...]
    output: Path
    video: VideoChoice | None
    """From the command line: stronger than a job's own choice."""
    video_default: VideoChoice | None
    """From the ini file: weaker than a job's own choice."""
    overrides: tuple[str, ...]
    """The texts of ``--arena-set``."""
    launcher: str | None
    """What starts each xdist worker."""
    resume: Path | None
    """The run directory to go on with."""
    baseline: Path | None
    """What jobs with ``regression`` are compared with."""
    family_error: FamilyError | None
    """The error rate of all regressions of the session together."""


_SETTINGS = pytest.StashKey[Settings]()
_SAW_JOBS = pytest.StashKey[bool]()


def add_options(parser: pytest.Parser) -> None:
    """Add the options of the group ``arena``; each has an ini twin."""
    group = parser.getgroup("arena", "robot-policy evaluations (pytest-arena)")
    group.addoption(
        "--arena-jobs",
        metavar="FILE",
        action="append",
        help="evaluate the jobs of this job file (native YAML, or IsaacLab-Arena's JSON or YAML); needs no "
        "Python; may be given several times",
    )
    group.addoption(
        "--arena-output",
        metavar="DIR",
        help="where run directories go (default: arena-results)",
    )
    group.addoption(
        "--arena-video",
        choices=VIDEO_CHOICES,
        help="which episodes keep their videos, for all jobs (default: what the job says, else "
        "retain-on-failure)",
    )
    group.addoption(
        "--arena-set",
        metavar="[JOB:]KEY=VALUE",
        action="append",
        help="override a key of every job, or of JOB, e.g. policy.checkpoint=run42.pt or "
        "reach:rollout.episodes=2; VALUE is YAML; may be given several times",
    )
    group.addoption(
        "--arena-resume",
        metavar="RUN_DIR",
        help="go on with an interrupted run: run only the episodes that this run directory lacks",
    )
    group.addoption(
        "--arena-baseline",
        metavar="PATH",
        help="compare jobs that have the key regression with this run directory, metrics.json or LeRobot "
        "eval_info.json",
    )
    group.addoption(
        "--arena-family-error",
        metavar="RATE",
        help="error rate of all regressions of the session together, e.g. 0.05: Holm's method; '0.05 e-bh' "
        "for the share of false ones among those that are found",
    )
    group.addoption(
        "--arena-launcher",
        metavar="CMD",
        help="with -n: start each worker through CMD, over its standard input and output, e.g. "
        "'srun -u --gpus=1', 'docker exec -i NAME' or 'ssh node{worker}'; needs a file system that all "
        "workers share",
    )
    group.addoption(
        "--arena-gpus",
        metavar="LIST",
        help="with -n: the GPUs to share out to the workers, as CUDA_VISIBLE_DEVICES names them, e.g. 0,1 "
        "(default: all that are visible)",
    )
    group.addoption(
        "--arena-workers-per-gpu",
        metavar="N",
        type=int,
        help="how many workers share a GPU (default: 1)",
    )
    parser.addini("arena_jobs", "job files that are always evaluated", type="paths", default=[])
    parser.addini("arena_output", "where run directories go", default="arena-results")
    parser.addini("arena_video", "which episodes keep their videos, where a job does not say", default="")
    parser.addini("arena_launcher", "what starts each worker, where -n is given", default="")
    parser.addini("arena_gpus", "the GPUs to share out to the workers, where -n is given", default="")
    parser.addini("arena_workers_per_gpu", "how many workers share a GPU", default="1")
    parser.addini("arena_resume", "a run directory to go on with", default="")
    parser.addini("arena_baseline", "what jobs with the key regression are compared with", default="")
    parser.addini("arena_family_error", "error rate of all regressions of the session together", default="")
    parser.addini("arena_set", "overrides of job keys, [JOB:]KEY=VALUE", type="linelist", default=[])


_PATHS_AND_RATES = ("arena_output", "arena_resume", "arena_baseline", "arena_family_error")
"""What means nothing if it is empty: most likely a shell variable that is not set."""


def configure(config: pytest.Config) -> None:
    """Read the settings; let pytest collect the job files."""
    for key in _PATHS_AND_RATES:
        if config.getoption(key) == "":
            raise pytest.UsageError(f"--{key.replace('_', '-')}: expected a value, got an empty one")
    given = [Path(config.invocation_params.dir, file) for file in config.getoption("arena_jobs") or ()]
    output = config.getoption("arena_output")
    video_default = config.getini("arena_video") or None
    if video_default not in (None, *VIDEO_CHOICES):
        raise pytest.UsageError(f"arena_video: expected one of {VIDEO_CHOICES}, got {video_default!r}")
    files = [_existing("--arena-jobs", path) for path in given]
    files += [_existing("arena_jobs", path) for path in config.getini("arena_jobs")]
    config.stash[_SETTINGS] = Settings(
        job_files=tuple(dict.fromkeys(files)),
        output=Path(config.invocation_params.dir, output)
        if output
        else Path(config.rootpath, config.getini("arena_output")),
        video=config.getoption("arena_video"),
        video_default=video_default,
        resume=_run_directory(config),
        baseline=_baseline(config),
        family_error=_family_error(config),
        overrides=(*config.getini("arena_set"), *(config.getoption("arena_set") or ())),
        launcher=launcher(config),
    )
    _collect_job_files(config)
    _refuse_bad_overrides(config)
    if config.getoption("arena_baseline") and not is_worker(config):
        from pytest_arena import baselines

        baselines.baseline_of(config)  # a wrong path ends the session before workers are started
    if config.getoption("arena_workers_per_gpu") is not None or config.getini("arena_workers_per_gpu") != "1":
        from pytest_arena.parallel import gpus

        gpus.workers_per_gpu(config)


def launcher(config: pytest.Config) -> str | None:
    """Return the command that starts each worker: the command line over the ini file."""
    given: str | None = config.getoption("arena_launcher")
    return given if given is not None else config.getini("arena_launcher") or None


def settings(config: pytest.Config) -> Settings:
    """Return the session's settings."""
    return config.stash[_SETTINGS]


def saw_jobs(config: pytest.Config) -> bool:
    """Whether this session has arena jobs; without them the plugin keeps out of the way."""
    return config.stash.get(_SAW_JOBS, False)


def note_jobs(config: pytest.Config) -> None:
    """This session has arena jobs."""
    config.stash[_SAW_JOBS] = True


def is_worker(config: pytest.Config) -> bool:
    """Whether this process is an xdist worker."""
    return hasattr(config, "workerinput")


def asked_by(config: pytest.Config, key: str) -> str:
    """Return where the user gave *key*: as the option if it was on the command line, else as the ini key."""
    return f"--{key.replace('_', '-')}" if config.getoption(key) else key


def _run_directory(config: pytest.Config) -> Path | None:
    if is_worker(config):
        return _told_to_worker(config, "arena_resume")
    given = config.getoption("arena_resume") or config.getini("arena_resume")
    if not given:
        return None
    from pytest_arena.resume import require_sound

    path = Path(config.invocation_params.dir, given).resolve()
    require_sound(config, path, f"{asked_by(config, 'arena_resume')} {given}")
    return path


def _told_to_worker(config: pytest.Config, key: str) -> Path | None:
    """Return the path that the controller has resolved, and checked."""
    path = config.workerinput.get(key)  # type: ignore[attr-defined]
    return None if path is None else Path(path)


def _baseline(config: pytest.Config) -> Path | None:
    """Return the baseline's path: the command line's is relative to where it was typed."""
    if is_worker(config):
        return _told_to_worker(config, "arena_baseline")
    if given := config.getoption("arena_baseline"):
        return Path(config.invocation_params.dir, given).resolve()
    if given := config.getini("arena_baseline"):
        return Path(config.rootpath, given).resolve()
    return None


def _family_error(config: pytest.Config) -> FamilyError | None:
    given: str = config.getoption("arena_family_error") or config.getini("arena_family_error")
    if not given:
        return None
    try:
        return FamilyError.parse(given)
    except ValueError as error:
        raise pytest.UsageError(f"{asked_by(config, 'arena_family_error')} {given}: {error}") from None


def _refuse_bad_overrides(config: pytest.Config) -> None:
    if settings(config).overrides and not is_worker(config):
        from pytest_arena.errors import JobFileError
        from pytest_arena.jobs.overrides import parse_override

        try:
            for text in settings(config).overrides:
                parse_override(text)
        except JobFileError as error:
            raise pytest.UsageError(str(error)) from None


def _existing(asked_by: str, path: Path) -> Path:
    try:
        resolved = path.resolve()
        kind = None if resolved.is_file() else "a directory" if resolved.is_dir() else "missing"
    except (OSError, RuntimeError) as error:  # a name that is too long, links in a ring
        kind = f"none: {getattr(error, 'strerror', None) or error}"
    if kind is not None:
        raise pytest.UsageError(f"{asked_by} {path}: expected a job file, this is {kind}")
    return resolved


def _collect_job_files(config: pytest.Config) -> None:
    """Add the job files to pytest's arguments, in place of the defaults where no argument was given.

    A worker is started with the arguments that the user typed, and is told what became of them.
    """
    files = settings(config).job_files
    if is_worker(config):
        config.args = config.workerinput.get("arena_args", config.args)  # type: ignore[attr-defined]
        return
    if not files:
        return
    named = {Path(config.invocation_params.dir, arg.split("::")[0]).resolve() for arg in config.args}
    added = [str(file) for file in files if file not in named]
    if config.args_source is pytest.Config.ArgsSource.ARGS or not config.getoption("arena_jobs"):
        config.args = [*config.args, *added]
    else:
        config.args = added
