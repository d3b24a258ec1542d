"""The resolved configuration of a job as YAML, with the keys that differ from the defaults marked."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, get_args, get_origin

from markupsafe import Markup

from pytest_arena.reports.html.parts import plain

if TYPE_CHECKING:
    from pydantic import BaseModel

MOST_LINES = 300
LONGEST_VALUE = 1000
"""Characters."""
_PLAIN = re.compile(r"[A-Za-z_/][\w./+@-]*(?::[\w./+@-]+)*(?: [\w./+@-]+)*", re.ASCII)
"""Text that YAML takes for itself without quotes."""
_WORDS = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n"})
"""Text that YAML takes for something else."""

Path = tuple[str, ...]


@dataclass(frozen=True)
class Line:
    """A line of the text."""

    text: str
    changed: bool
    """Whether its key differs from the default, or there is no default."""
    from_command_line: bool = False


@dataclass(frozen=True)
class _Key:
    """What the model says of a key."""

    default: Any
    """As JSON; `_REQUIRED` where there is none."""
    below: type[BaseModel] | None
    """What its mapping is checked with."""
    each: bool
    """Whether it is each value of the mapping that is checked."""


_REQUIRED = object()


def configuration(config: Mapping[str, Any], overrides: Sequence[str] = ()) -> list[Line]:
    """Return the lines of a job's resolved configuration.

    Its name is left out, and so are sections in which nothing differs, and keys that are empty by default.

    Args:
        config: As ``run.json`` has it.
        overrides: The texts of ``--arena-set`` of the run; those for other jobs do not count.

    Returns:
        At most `MOST_LINES` lines, and one more that says how many there are beside them.
    """
    from pytest_arena.jobs.model import Job  # pydantic, which a page without jobs does not need

    shown = {key: value for key, value in config.items() if key != "name"}
    lines = list(_lines(shown, Job, (), _set_keys(overrides, config.get("name"))))
    if (more := len(lines) - MOST_LINES) > 0:
        lines[MOST_LINES:] = [Line(f"# {more} more lines: see run.json", changed=False)]
    return lines


def configuration_text(lines: Sequence[Line]) -> Markup:
    """Return *lines* as HTML for a ``<pre>``: those that are changed stand in ``<b>``."""
    parts = []
    for changed, group in itertools.groupby(lines, key=lambda line: line.changed or line.from_command_line):
        text = "".join(
            f"{line.text}{'  # --arena-set' if line.from_command_line else ''}\n" for line in group
        )
        parts.append(f"<b>{plain(text)}</b>" if changed else plain(text))
    return Markup("".join(parts))


def yaml_text(value: Any) -> str:
    """Return *value* as YAML on one line."""
    if isinstance(value, dict):
        return f"{{{', '.join(f'{_scalar(key)}: {yaml_text(below)}' for key, below in value.items())}}}"
    if isinstance(value, list | tuple):
        items = ", ".join(yaml_text(item) for item in value[:30])
        return f"[{items}{f', … {len(value) - 30} more' if len(value) > 30 else ''}]"
    return _scalar(value)


def _lines(
    config: Mapping[str, Any], model: type[BaseModel] | None, at: Path, set_keys: Sequence[Path]
) -> Iterator[Line]:
    keys = {} if model is None else _keys(model)
    closed = model is not None and model.model_config.get("extra") != "allow"
    for name, value in config.items():
        path = (*at, name)
        given = bool(set_keys) and any(path[: len(key)] == key for key in set_keys)
        begin = f"{'  ' * len(at)}{_scalar(name)}:"
        if closed and name not in keys:  # a key of another version's: nothing is known of its default
            yield Line(f"{begin} {yaml_text(value)}", changed=False, from_command_line=given)
            continue
        known = keys.get(name, _Key(_REQUIRED, None, each=False))
        if value == known.default and value in (None, {}, []):
            continue
        if not (isinstance(value, dict) and value):
            yield Line(f"{begin} {yaml_text(value)}", value != known.default, given)
            continue
        # A section that is always there is marked by its keys alone.
        head = Line(begin, known.default in (None, {}) or model is None, given)
        lines = _lines_of_each if known.each else _lines
        below = list(lines(value, known.below, path, set_keys))
        if not at and value == known.default and not any(line.from_command_line for line in below):
            continue  # a section that is as by default
        yield from _joined(head, below) if not known.each else (head, *below)


def _lines_of_each(
    config: Mapping[str, Any], model: type[BaseModel] | None, at: Path, set_keys: Sequence[Path]
) -> Iterator[Line]:
    """Yield the lines of a mapping with names of the user's."""
    for name, value in config.items():
        path = (*at, name)
        head = Line(f"{'  ' * len(at)}{_scalar(name)}:", changed=True)
        yield from _joined(head, list(_lines(value, model, path, set_keys)))


def _joined(head: Line, below: Sequence[Line]) -> Iterable[Line]:
    """Return a mapping's *head* and the lines *below* it: as one line, if none of its keys is changed."""
    if not below or any(line.changed or line.from_command_line for line in below):
        return (head, *below)
    text = f"{head.text} {{{', '.join(line.text.strip() for line in below)}}}"
    return (replace(head, text=text),)


@cache
def _keys(model: type[BaseModel]) -> dict[str, _Key]:
    """Return what *model* says of each of its keys."""
    from pydantic import BaseModel

    found = {}
    for name, field in model.model_fields.items():
        default = _REQUIRED if field.is_required() else field.get_default(call_default_factory=True)
        below = next(_models(field.annotation), None)
        if isinstance(default, BaseModel):
            default = default.model_dump(mode="json")
        if default == ():
            default = []
        found[name] = _Key(default, below, each=below is not None and get_origin(field.annotation) is dict)
    return found


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """Yield the models that *annotation* names."""
    from pydantic import BaseModel

    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models(inner)


def _set_keys(overrides: Sequence[str], name: object) -> list[Path]:
    """Return the keys of the job *name* that *overrides* have set."""
    from pytest_arena.errors import JobFileError
    from pytest_arena.jobs.overrides import parse_override

    found = []
    for text in overrides:
        try:
            override = parse_override(text)
        except JobFileError:
            continue  # it was of another version's, or it would have ended the run
        if override.job in (None, name):
            found.append(override.key)
    return found


def _scalar(value: Any) -> str:
    return _text(value) if isinstance(value, str) else json.dumps(value)


@lru_cache(4096)  # the jobs of a run have the same keys, and mostly the same values
def _text(value: str) -> str:
    text = value if len(value) <= LONGEST_VALUE else f"{value[:LONGEST_VALUE]}…"
    plain = _PLAIN.fullmatch(text) is not None and text.lower() not in _WORDS
    return text if plain else json.dumps(text, ensure_ascii=False)
