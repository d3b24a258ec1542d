"""TorchScript archives, read before they are loaded: code in them may do nothing but compute with tensors.

TorchScript has no Python in it, but its operators ``aten::save`` and ``aten::from_file`` read and write files
of the program's choice, others call other processes or load compiled libraries, and ``__setstate__`` of a
class runs while the archive is loaded. So what it says is read first, as the Python that it looks like, and a
copy of only what was read is loaded.

This is a check of the program's words, no sandbox: its operators are compiled code that trusts its arguments.
"""

from __future__ import annotations

import ast
import io
import re
from collections.abc import Iterator, Mapping

from pytest_arena.policies.archive import packed

NAMESPACES = frozenset(
    (
        "aten",
        "mkl",
        "mkldnn",
        "mkldnn_prepacked",
        "onednn",
        "prim",
        "prims",
        "profiler",
        "quantized",
        "sparse",
    )
)
"""Of operators, as in ``ops.quantized.linear``: PyTorch's own that compute. ``torch.add`` is in ``aten``."""
_CLASSES = frozenset(("quantized", "sparse"))
"""Of compiled classes, ``__torch__.torch.classes.…``: those that hold packed weights."""
_REFUSED = frozenset(
    ("from_file", "load", "load_library", "rpc_async", "rpc_remote", "rpc_sync", "save", "set_source")
)
"""Operators, whichever way they are called: as ``torch.save(x)``, ``x.save()`` or ``rpc_sync(…)``."""
_CALLED = re.compile(r"\b(" + "|".join(sorted(_REFUSED)) + r")\s*\(")
_KEPT = re.compile(
    r"data\.pkl|constants\.pkl|version|byteorder|\.data/\w+|\.format_version|\.storage_alignment"
    r"|(data|constants)/\d+|code/(__torch__/)?[\w./]+\.py"
)
"""What is loaded of an archive."""
_COMPILED = re.compile(rb"__torch__\.torch\.classes\.(\w*)")


def checked_script(members: Mapping[str, bytes]) -> io.BytesIO:
    """Return a copy of the archive *members* with nothing in it that has not been looked at.

    Raises ValueError, one line that names the file in the archive, where its code may do more than compute.
    """
    kept = {name: data for name, data in members.items() if _KEPT.fullmatch(name) and ".." not in name}
    for name, data in kept.items():
        if name.endswith(".pkl"):
            for found in _COMPILED.finditer(data):
                if (space := found[1].decode()) not in _CLASSES:
                    raise ValueError(f"{name} uses torch.classes.{space}, which reaches beyond tensors")
        elif name.endswith(".py"):
            _require_computing(name, data)
    return packed(kept, "archive")


def _require_computing(name: str, data: bytes) -> None:
    try:
        text = data.decode("ascii")
        if odd := re.search(r"[^\x20-\x7e\n]", text):
            raise ValueError(f"the character {odd[0]!r}")
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        reason = str(error) or type(error).__name__
        raise ValueError(f"{name} cannot be read as TorchScript: {reason}") from None
    # What another reader of the same text would take for a call, were it in a string or a comment to ours.
    if found := _CALLED.search(text):
        raise ValueError(f"{name} uses {found[1]}, which reaches beyond tensors")
    for problem in _problems(tree):
        raise ValueError(f"{name} uses {problem}, which reaches beyond tensors")


def _problems(tree: ast.AST) -> Iterator[str]:
    """Yield the names of what *tree* uses that does more than compute."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names = ", ".join(alias.name for alias in node.names)
            if names != "__torch__":
                yield f"import {names}"
        elif isinstance(node, ast.Name) and node.id in _REFUSED:
            yield node.id
        elif isinstance(node, ast.Attribute):
            path = _dotted(node)
            if node.attr in _REFUSED:
                yield ".".join(path)
            if path[0] == "ops" and path[1] not in NAMESPACES:
                yield ".".join(path)
            if path[:3] == ["__torch__", "torch", "classes"] and len(path) > 3 and path[3] not in _CLASSES:
                yield ".".join(path)


def _dotted(node: ast.Attribute) -> list[str]:
    parts = [node.attr]
    inner: ast.AST = node.value
    while isinstance(inner, ast.Attribute):
        parts.append(inner.attr)
        inner = inner.value
    parts.append(inner.id if isinstance(inner, ast.Name) else "…")
    return parts[::-1]
