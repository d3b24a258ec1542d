"""Command-line options and ini values → one frozen `Settings`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_arena.comparison.family_error import FamilyError

if TYPE_CHECKING:
    from pytest_arena.jobs.sections import VideoChoice

VIDEO_CHOICES: tuple[VideoChoice, ...] = ("off", "on", "retain-on-failure")
HTML_CHOICES = ("on", "off")


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
    html: bool = True
    """Whether the pages of the run, and of those beside it, are written."""


SETTINGS = pytest.StashKey[Settings]()


def add_options(parser: pytest.Parser) -> None:
    """Add the options of the group ``arena``; each has an ini twin."""
    group = parser.getgroup("arena", "robot-policy evaluations (pytest-arena)")
    _add_what_to_evaluate(group)
    _add_where_workers_run(group)
    _add_ini_keys(parser)


def _add_what_to_evaluate(group: pytest.OptionGroup) -> None:
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
        "--arena-html",
        choices=HTML_CHOICES,
        help="whether index.html, the page of the run, is written into its directory (default: on)",
    )


def _add_where_workers_run(group: pytest.OptionGroup) -> None:
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


def _add_ini_keys(parser: pytest.Parser) -> None:
    parser.addini("arena_jobs", "job files that are always evaluated", type="paths", default=[])
    parser.addini("arena_output", "where run directories go", default="arena-results")
    parser.addini("arena_video", "which episodes keep their videos, where a job does not say", default="")
    parser.addini("arena_launcher", "what starts each worker, where -n is given", default="")
    parser.addini("arena_gpus", "the GPUs to share out to the workers, where -n is given", default="")
    parser.addini("arena_workers_per_gpu", "how many workers share a GPU", default="1")
    parser.addini("arena_resume", "a run directory to go on with", default="")
    parser.addini("arena_baseline", "what jobs with the key regression are compared with", default="")
    parser.addini("arena_family_error", "error rate of all regressions of the session together", default="")
    parser.addini("arena_html", "whether the page of the run is written: on or off", default="on")
    parser.addini("arena_set", "overrides of job keys, [JOB:]KEY=VALUE", type="linelist", default=[])


def launcher(config: pytest.Config) -> str | None:
    """Return the command that starts each worker: the command line over the ini file."""
    given: str | None = config.getoption("arena_launcher")
    return given if given is not None else config.getini("arena_launcher") or None


def settings(config: pytest.Config) -> Settings:
    """Return the session's settings."""
    return config.stash[SETTINGS]


def is_worker(config: pytest.Config) -> bool:
    """Whether this process is an xdist worker."""
    return hasattr(config, "workerinput")


def asked_by(config: pytest.Config, key: str) -> str:
    """Return where the user gave *key*: as the option if it was on the command line, else as the ini key."""
    return f"--{key.replace('_', '-')}" if config.getoption(key) else key
