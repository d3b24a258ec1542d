"""From the command line and the ini file to checked `Settings`, before anything is collected."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_arena.comparison.family_error import FamilyError
from pytest_arena.options import (
    HTML_CHOICES,
    SETTINGS,
    VIDEO_CHOICES,
    Settings,
    asked_by,
    is_worker,
    launcher,
    settings,
)

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
    html = config.getoption("arena_html") or config.getini("arena_html")
    if html not in HTML_CHOICES:
        raise pytest.UsageError(f"arena_html: expected one of {HTML_CHOICES}, got {html!r}")
    files = [_existing("--arena-jobs", path) for path in given]
    files += [_existing("arena_jobs", path) for path in config.getini("arena_jobs")]
    config.stash[SETTINGS] = Settings(
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
        html=html == "on",
    )
    _collect_job_files(config)
    _refuse_bad_overrides(config)
    if config.getoption("arena_baseline") and not is_worker(config):
        from pytest_arena.session import baseline_check

        baseline_check.baseline_of(config)  # a wrong path ends the session before workers are started
    if config.getoption("arena_workers_per_gpu") is not None or config.getini("arena_workers_per_gpu") != "1":
        from pytest_arena.parallel import gpus

        gpus.workers_per_gpu(config)


def _run_directory(config: pytest.Config) -> Path | None:
    if is_worker(config):
        return _from_controller(config, "arena_resume")
    given = config.getoption("arena_resume") or config.getini("arena_resume")
    if not given:
        return None
    from pytest_arena.session.resumed_jobs import require_sound

    path = Path(config.invocation_params.dir, given).resolve()
    require_sound(config, path, f"{asked_by(config, 'arena_resume')} {given}")
    return path


def _from_controller(config: pytest.Config, key: str) -> Path | None:
    """Return the path that the controller has resolved, and checked."""
    path = config.workerinput.get(key)  # type: ignore[attr-defined]
    return None if path is None else Path(path)


def _baseline(config: pytest.Config) -> Path | None:
    """Return the baseline's path: the command line's is relative to where it was typed."""
    if is_worker(config):
        return _from_controller(config, "arena_baseline")
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
