"""YAML text to plain data, with the line of every key; what JSON cannot hold is refused."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import yaml

from pytest_arena.errors import shown
from pytest_arena.jobs.messages import KeyPath, MalformedError, one_line

try:
    from yaml import CSafeLoader as _SafeLoader
except ImportError:  # PyYAML was built without libyaml
    from yaml import SafeLoader as _SafeLoader  # type: ignore[assignment]

DEEPEST = 64
"""Levels of nesting: far beyond any job, and far from what overflows a parser's stack."""

MOST_REPEATED = 1_000_000
"""Values that aliases may repeat: a few nested aliases would otherwise fill the memory."""

_TAG = "tag:yaml.org,2002:"
_STR, _INT, _FLOAT = _TAG + "str", _TAG + "int", _TAG + "float"
_BOOL, _NULL, _MERGE = _TAG + "bool", _TAG + "null", _TAG + "merge"
_MAP, _SEQ = _TAG + "map", _TAG + "seq"
# A date stays the text that was typed: no setting of a job is a date, and JSON has none.
_TEXT = frozenset({_STR, _MERGE, _TAG + "timestamp", _TAG + "value"})
_UNQUOTED_THRESHOLD = re.compile(r"""[\w"']\s*:\s*[<>]=?\s*[-+.\d]""")
_LONGEST_NUMBER = 100


class _Loader(_SafeLoader):
    """Composes nodes only to a bounded depth: libyaml's binding recurses on the stack of C."""

    depth = 0

    def descend_resolver(self, current_node: Any, current_index: Any) -> None:
        self.depth += 1
        if self.depth > DEEPEST:
            mark = current_node.start_mark
            raise yaml.MarkedYAMLError(problem=f"nested deeper than {DEEPEST} levels", problem_mark=mark)

    def ascend_resolver(self) -> None:
        self.depth -= 1


# YAML 1.1 reads 1e-3 as text for want of a dot; people, JSON and YAML 1.2 read a number.
_EXPONENT = re.compile(r"^[-+]?[0-9]+(?:\.[0-9]*)?[eE][-+]?[0-9]+$")
_Loader.add_implicit_resolver(_FLOAT, _EXPONENT, list("-+0123456789"))

_numbers = yaml.constructor.SafeConstructor()


NoteProblem = Callable[[int, KeyPath, str], None]
"""Called with line, key and text of each problem in well-formed YAML."""


def compose(text: str) -> yaml.Node | None:
    """Return the root node of *text*, None for an empty text; `MalformedError` where it is not YAML."""
    try:
        node: yaml.Node | None = yaml.compose(text, _Loader)
    except yaml.MarkedYAMLError as error:
        raise _malformed(text, error) from None
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split()).partition(" in ")[0]
        raise MalformedError(_line_of_refused(text, error), f"not valid YAML: {reason}") from None
    except (ValueError, OverflowError):  # PyYAML without libyaml lets these through
        raise MalformedError(None, "not valid YAML: an escape sequence that is no character") from None
    return node


def plain_data(root: yaml.Node | None, note: NoteProblem) -> Any:
    """Return the data under *root*, None without one; it is of use only if *note* was never called."""
    return None if root is None else _Reader(note).value(root, ())


def parse_value(text: str) -> Any:
    """Return the value of one YAML scalar, or of a flow list or mapping; `MalformedError` for any other.

    A text without brackets or quotes is one scalar as a whole, so that ``>= 0.9`` and ``a: b # c`` are texts.
    """
    text = text.strip()
    if text[:1] in tuple("[{\"'"):
        root = compose(text)
    else:
        resolver: Any = _Loader("")
        root = yaml.ScalarNode(resolver.resolve(yaml.ScalarNode, text, (True, False)), text)
    problems: list[str] = []
    value = plain_data(root, lambda line, key, problem: problems.append(problem))
    if problems:
        raise MalformedError(None, problems[0])
    return value


class Lines:
    """The line of every key under a root node; tables are made for the mappings that are asked for."""

    def __init__(self, root: yaml.Node) -> None:
        self._root = root
        self._tables: dict[int, dict[str | int, tuple[int, yaml.Node]]] = {}

    def line(self, key: KeyPath) -> int:
        """Return the line of *key*, or of its nearest parent that exists."""
        line, node = _line(self._root), self._root
        for part in key:
            entry = self._table(node).get(part)
            if entry is None:
                break
            line, node = entry
        return line

    def _table(self, node: yaml.Node) -> dict[str | int, tuple[int, yaml.Node]]:
        if id(node) not in self._tables:
            self._tables[id(node)] = self._made_table(node)
        return self._tables[id(node)]

    def _made_table(self, node: yaml.Node) -> dict[str | int, tuple[int, yaml.Node]]:
        if isinstance(node, yaml.SequenceNode):
            return {index: (_line(item), item) for index, item in enumerate(node.value)}
        if not isinstance(node, yaml.MappingNode):
            return {}
        pairs = [(key, value) for key, value in node.value if key.tag != _MERGE]
        table: dict[str | int, tuple[int, yaml.Node]] = {k.value: (_line(k), v) for k, v in pairs}
        for source in _merged(node):
            for name, entry in self._table(source).items():
                table.setdefault(name, entry)
        return table


class _Reader:
    """Turns nodes into dicts, lists and scalars, and notes what JSON cannot hold."""

    def __init__(self, note: NoteProblem) -> None:
        self._note_problem = note
        self._open: set[int] = set()
        self._seen: set[int] = set()
        self._repeated = 0

    def value(self, node: yaml.Node, key: KeyPath) -> Any:
        """Return the data of *node*, which stands under *key*."""
        if isinstance(node, yaml.ScalarNode):
            return node.value if node.tag == _STR else self._scalar(node, key)
        known = id(node)
        if known in self._open:
            return self._note(node, key, "the alias refers to the value that it stands in")
        if known in self._seen:
            self._repeated += 1 + len(node.value)
            if self._repeated > MOST_REPEATED:
                raise MalformedError(_line(node), f"aliases repeat more than {MOST_REPEATED} values")
        self._seen.add(known)
        self._open.add(known)
        mapping = isinstance(node, yaml.MappingNode)
        data = self._mapping(node, key) if mapping else self._sequence(node, key)
        self._open.discard(known)
        return data

    def _sequence(self, node: yaml.Node, key: KeyPath) -> list[Any]:
        if node.tag != _SEQ:
            self._note(node, key, _refused(node.tag))
        return [self.value(item, (*key, index)) for index, item in enumerate(node.value)]

    def _mapping(self, node: yaml.Node, key: KeyPath) -> dict[str, Any]:
        if node.tag != _MAP:
            self._note(node, key, _refused(node.tag))
        data: dict[str, Any] = {}
        for name, value in node.value:
            if name.tag == _MERGE:
                continue
            if not isinstance(name, yaml.ScalarNode) or name.tag not in _TEXT:
                got = shown(name.value) if isinstance(name, yaml.ScalarNode) else "a list or mapping"
                self._note(name, key, f"expected a text key, got {got} (put it in quotes)")
            elif name.value in data:
                self._note(name, (*key, name.value), "duplicate key")
            else:
                data[name.value] = self.value(value, (*key, name.value))
        for source in _merged(node):
            merged = self.value(source, key)
            if isinstance(merged, dict):
                data = {**merged, **data}
            else:
                self._note(source, (*key, "<<"), "expected a mapping or a list of mappings")
        return data

    def _scalar(self, node: yaml.ScalarNode, key: KeyPath) -> Any:
        tag, text = node.tag, node.value
        if tag in _TEXT:
            return text
        if tag == _NULL:
            return None
        if tag in (_INT, _FLOAT) and len(text) > _LONGEST_NUMBER:
            return self._note(node, key, f"expected a number, got one of {len(text)} characters")
        try:
            if tag == _INT:
                return _numbers.construct_yaml_int(node)
            if tag == _FLOAT:
                return _numbers.construct_yaml_float(node)
            if tag == _BOOL:
                return _numbers.construct_yaml_bool(node)
        except (ValueError, LookupError, ArithmeticError):
            return self._note(node, key, f"expected {_shown_tag(tag)}, got {shown(text)}")
        return self._note(node, key, _refused(tag))

    def _note(self, node: yaml.Node, key: KeyPath, text: str) -> None:
        self._note_problem(_line(node), key, text)


def _merged(node: yaml.Node) -> list[yaml.Node]:
    """Return the mappings under ``<<``, in the order of precedence."""
    found: list[yaml.Node] = []
    for name, value in node.value:
        if name.tag == _MERGE:
            found += value.value if isinstance(value, yaml.SequenceNode) else [value]
    return found


def _line(node: yaml.Node) -> int:
    # A value from the command line has no marks.
    return node.start_mark.line + 1 if node.start_mark is not None else 1


def _shown_tag(tag: str) -> str:
    short = "!!" + tag.removeprefix(_TAG) if tag.startswith(_TAG) else tag
    return one_line(short[:100])


def _refused(tag: str) -> str:
    return f"expected plain data, the YAML tag {_shown_tag(tag)} is not allowed"


def _line_of_refused(text: str, error: yaml.YAMLError) -> int | None:
    """Return the line of the character that YAML's reader refuses."""
    position = text.find(chr(error.character)) if isinstance(error, yaml.reader.ReaderError) else -1
    return text.count("\n", 0, position) + 1 if position >= 0 else None


def _malformed(text: str, error: yaml.MarkedYAMLError) -> MalformedError:
    mark = error.problem_mark or error.context_mark
    line = mark.line + 1 if mark is not None else None
    rows = text.splitlines()
    row = rows[line - 1] if line is not None and line <= len(rows) else ""
    parts = [part for part in (error.context, error.problem) if part]
    reason = " ".join(", ".join(parts).split())
    if "maximum nesting depth" in reason:  # libyaml 0.2.6 has a limit of its own
        reason = f"nested deeper than {DEEPEST} levels"
    hint = ""
    if _UNQUOTED_THRESHOLD.search(row):
        hint = '; put a threshold in quotes, as in success_rate: ">= 0.9"'
    elif row.lstrip(" ").startswith("\t"):
        hint = "; indent with spaces, not with tabs"
    return MalformedError(line, f"not valid YAML: {reason}{hint}")
