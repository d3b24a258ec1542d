"""Exported programs, read before they are loaded: only their description and plain numbers are copied.

``torch.export.load`` (torch 2.13) unpickles whatever the file says of weights, constants and sample inputs,
evaluates symbolic sizes (through sympy) and guards as Python, looks up any function below ``torch`` by name,
and loads compiled libraries. So an exported program is copied first, without all that, and every word of its
description is checked; only the copy is loaded.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytest_arena.errors import EvaluationError
from pytest_arena.policies.archive import packed

# What is copied of an exported program: its description and plain numbers.
_KEPT = re.compile(
    r"models/model\.json|archive_format|archive_version|byteorder|\.data/version"
    r"|data/weights/(weight_\d+|model_weights_config\.json)"
    r"|data/constants/(tensor_\d+|model_constants_config\.json)"
)
_SAMPLE_INPUTS = "data/sample_inputs/model.pt"
_ONE_TENSOR: dict[str, Any] = {"type": None, "context": None, "children_spec": []}
_NESTING = (  # of the inputs (one tensor, no keywords) and of the output
    [
        1,
        {
            "type": "builtins.tuple",
            "context": "null",
            "children_spec": [
                {"type": "builtins.tuple", "context": "null", "children_spec": [_ONE_TENSOR]},
                {"type": "builtins.dict", "context": "[]", "children_spec": []},
            ],
        },
    ],
    [1, _ONE_TENSOR],
)
_FUNCTION = re.compile(
    r"torch\.ops\.aten\.(?!__)\w+\.(?!__)\w+|torch\.sym_\w+|math\.\w+"
    r"|_operator\.(getitem|add|sub|mul|floordiv|truediv|mod|neg|pow|eq|ne|lt|le|gt|ge|and_|or_|not_)"
)
_SIZE = re.compile(
    r"(Symbol\('\w+'(, \w+=(True|False))*\)|Integer\(\d+\)|\b[su]\d+\b|\b\d+\b"
    r"|\b(Add|Mul|Pow|Max|Min|Mod|FloorDiv|PythonMod)\b|evaluate=(True|False)|[-+*/(), <>=])*"
)
_WORD = re.compile(r"[\w.,:>+\- ]*")
"""Any other word: names end up in generated source, so nothing that could be more than a name."""


def checked_export(members: Mapping[str, bytes], path: Path) -> io.BytesIO:
    """Return a copy of an exported program's archive that holds nothing pickled, compiled or evaluated.

    Raises `EvaluationError` where the program cannot do without.
    """
    kept = {name: data for name, data in members.items() if _KEPT.fullmatch(name)}
    for name in [name for name in kept if name.endswith(".json")]:
        try:
            kept[name] = json.dumps(_plain(name, json.loads(kept[name]))).encode()
        except ValueError as error:
            raise EvaluationError(f"checkpoint {path}: {name}: {error}") from None
    kept[_SAMPLE_INPUTS] = b""  # pickled and of no use here, but the loader wants the file
    return packed(kept, "model")


def _plain(key: str, value: Any) -> Any:
    """Return a part of the description without notes and guards; `ValueError` where it could run code."""
    if key == "metadata":
        return {}
    if key == "guards_code":
        return []
    if isinstance(value, dict):
        return {_word("key", name): _plain(name, part) for name, part in value.items()}
    if isinstance(value, list):
        return [_plain(key, part) for part in value]
    if key == "use_pickle" and value is not False:
        raise ValueError("a pickled value is not accepted")
    return _word(key, value) if isinstance(value, str) else value


def _word(key: str, word: str) -> str:
    if key in ("in_spec", "out_spec"):
        safe = json.loads(word) in _NESTING
    elif key in ("target", "as_operator"):
        safe = _FUNCTION.fullmatch(word) is not None
    elif key == "expr_str":
        safe = _SIZE.fullmatch(word) is not None
    elif key == "path_name":
        safe = re.fullmatch(r"(weight|tensor)_\d+", word) is not None
    else:
        safe = _WORD.fullmatch(word) is not None
    if not safe:
        raise ValueError(f"{key} {word!r} is not accepted in a module from one tensor to one tensor")
    return word
