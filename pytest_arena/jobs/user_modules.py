"""Modules and functions that job files name: they may lie beside the file."""

from __future__ import annotations

import importlib
import os
import re
import sys
from collections.abc import Callable, Iterator
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

from pytest_arena.errors import EvaluationError, StrayOutcomeError, did_you_mean
from pytest_arena.guards.foreign_code import foreign_code
from pytest_arena.jobs.messages import KeyPath, place
from pytest_arena.jobs.model import Job

_WITH_COLON = re.compile(r"([^\W\d]\w*)(\.\w+)*:[\w./-]+")
_DOTTED = re.compile(r"([^\W\d]\w*)(\.\w+)*(\.\w+|:\w+)")
_MODULE = re.compile(r"([^\W\d]\w*)(\.\w+)*")
_KEYS_OF_MODULES = ("modules", "task_package")

_found: dict[str, Path] = {}
"""Module -> the file that it has beside a job file of this process."""


def make_importable(job: Job) -> None:
    """Let Python find the modules that *job* names and that lie beside its file.

    As pytest does it with the folders of tests, the folder is put first on `sys.path`, once, and stays there:
    modules may import their neighbours later, and child processes get the same path. It is done only where
    such a module is there. A process has one module of a name: `JobFileError` where two job files bring
    different ones, or where another one was imported before.
    """
    if job.source is None:
        return
    folder = Path(os.path.abspath(job.source.file)).parent
    for key, name in _names(job):
        spec = PathFinder.find_spec(name, [str(folder)])
        if spec is None:
            continue
        _claim(job, key, name, spec)
        if str(folder) not in sys.path:
            sys.path.insert(0, str(folder))
            importlib.invalidate_caches()


def import_for(job: Job, key: KeyPath, module: str) -> ModuleType:
    """Import *module*, which *job* names under *key*.

    Args:
        job: The job, for the place in its file that an error names.
        key: The key of the job that names the module.
        module: The module's dotted name.

    Returns:
        The module.

    Raises:
        JobFileError: There is none, or it skips or exits instead of being imported: a test runner would take
            that for its own.
        Exception: What else fails inside the module, with its traceback.
    """
    try:
        with foreign_code(f"the module {module!r}"):
            return importlib.import_module(module)
    except StrayOutcomeError as error:
        raise job.problem(key, str(error)) from error.__cause__
    except ImportError as error:
        if not _is_missing(error, module):
            raise
        raise job.problem(key, f"cannot import {module!r}: {error}{where_looked(job)}") from None


def split_name(path: str) -> tuple[str, str, str]:
    """Return module, separator and name of ``module:name`` or ``module.name``."""
    return path.partition(":") if ":" in path else path.rpartition(".")


def import_named(module: str, key: str) -> ModuleType:
    """Import *module*, which a job names under *key*, once its simulator runs; else `EvaluationError`."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if not _is_missing(error, module):
            raise
        raise EvaluationError(
            f"{key}: cannot import {module!r}: {error}; looked beside the job file and on Python's path"
        ) from None


def named(path: str, key: str) -> Any:
    """Return what ``module:name`` or ``module.name``, which the job has under *key*, is.

    Raises `EvaluationError` where it is nothing.
    """
    module, _, name = split_name(path)
    if not (module and name):
        raise EvaluationError(f"{key}: expected module:name, got {path!r}")
    held = import_named(module, key)
    try:
        return getattr(held, name)  # a package may load its names when they are asked for
    except AttributeError:
        hint = did_you_mean(name, dir(held))
        raise EvaluationError(f"{key}: module {module!r} has no {name!r}{hint}") from None


def import_function(path: str) -> Callable[..., Any]:
    """Return the function ``module:name`` or ``module.name`` of ``success.callable``."""
    found = named(path, "success.callable")
    if not callable(found):
        raise EvaluationError(f"success.callable: {path!r} is not a function")
    return found  # type: ignore[no-any-return]


def _is_missing(error: ImportError, module: str) -> bool:
    """Whether *module* itself, or a package around it, was not found: that is the user's mistake."""
    missing = error.name if isinstance(error, ModuleNotFoundError) else None
    return missing is not None and f"{module}.".startswith(f"{missing}.")


def where_looked(job: Job) -> str:
    """Return what follows "cannot import …": where the modules of *job* are looked for, and what to do."""
    if job.source is None:
        return "; looked on Python's path: install its package, or add its folder to sys.path"
    folder = Path(os.path.abspath(job.source.file)).parent
    return (
        f"; looked beside the job file, in {place(folder)}, and on Python's path: put the module there, or "
        "install its package"
    )


def _claim(job: Job, key: KeyPath, name: str, spec: ModuleSpec) -> None:
    """Refuse a second module of one *name*: the job would silently get the first one."""
    if spec.origin is None:  # a folder without __init__.py: Python joins those of one name
        return
    file = Path(spec.origin)
    imported = getattr(sys.modules.get(name), "__file__", None)
    other = Path(imported) if imported is not None else _found.get(name, file)
    if os.path.realpath(other) != os.path.realpath(file):
        raise job.problem(
            key,
            f"the module {name!r} beside the job file, {place(file)}, has the name of {place(other)}, and a "
            "process can have only one of them: rename it",
        )
    _found[name] = file


def _names(job: Job) -> Iterator[tuple[KeyPath, str]]:
    """Yield where *job* names modules, and the name of the module or of the package around it."""
    texts: list[tuple[KeyPath, Any, re.Pattern[str]]] = [
        (("policy", "type"), job.policy.type, _DOTTED),
        (("success", "callable"), job.success.callable, _DOTTED),
        (("environment", "id"), job.environment.id, _WITH_COLON),
        *_texts(("environment", "options"), job.environment.options),
        *_texts(("policy",), job.policy.settings),
    ]
    for key, text, pattern in texts:
        if isinstance(text, str) and (match := pattern.fullmatch(text)) is not None:
            yield key, match[1]


def _texts(key: KeyPath, value: Any) -> Iterator[tuple[KeyPath, Any, re.Pattern[str]]]:
    if isinstance(value, dict):
        for name, item in value.items():
            yield from _texts((*key, name), item)
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _texts((*key, index), item)
    else:
        modules = any(part in _KEYS_OF_MODULES for part in key[-2:])
        yield key, value, _MODULE if modules else _WITH_COLON
