"""Weights by their names, for a module of the job's own code: reading them runs no code of the file."""

from __future__ import annotations

import importlib
import json
import math
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from pytest_arena.errors import first_few
from pytest_arena.policies.archive import require_no_bomb
from pytest_arena.records.json_files import open_regular, parse_json

_LARGEST_HEADER = 100 * 2**20
_DTYPES = {
    "BOOL": "bool",
    "U8": "uint8",
    "I8": "int8",
    "I16": "int16",
    "I32": "int32",
    "I64": "int64",
    "F16": "float16",
    "BF16": "bfloat16",
    "F32": "float32",
    "F64": "float64",
}
"""Of safetensors -> of torch."""


def read_weights(path: Path) -> dict[str, Any]:
    """Return name -> tensor, on the CPU, of a state dict (`torch.save`) or a safetensors file.

    Raises ValueError, one line without the path, and OSError.
    """
    if path.suffix.lower() == ".safetensors":
        with open_regular(path) as file:
            return _read_safetensors(file)
    return require_state_dict(read_saved(path))


def require_state_dict(found: Any) -> dict[str, Any]:
    """Return what `read_saved` or `load_saved` has *found*: name -> tensor; ValueError for anything else."""
    torch: Any = importlib.import_module("torch")
    if not isinstance(found, Mapping) or not found or not all(map(torch.is_tensor, found.values())):
        kind = f"the keys {first_few(found)}" if isinstance(found, Mapping) else type(found).__name__
        raise ValueError(f"expected a state dict, which maps names to tensors, got {kind}")
    return {str(name): tensor for name, tensor in found.items()}


def read_saved(path: Path) -> Any:
    """Return what `torch.save` wrote: tensors, on the CPU, in plain containers. Raises as `read_weights`."""
    with open_regular(path) as file:
        require_no_bomb(file)
        return load_saved(file)


def load_saved(file: BinaryIO) -> Any:
    """Return what `torch.save` wrote to *file*, as `read_saved`; ValueError, one line."""
    torch: Any = importlib.import_module("torch")
    file.seek(0)
    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ValueError(f"expected tensors and plain containers only: {_refusal(error)}") from None
    except (RuntimeError, EOFError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"expected what torch.save writes of a state dict: {_refusal(error)}") from None


def _refusal(error: Exception) -> str:
    """Return what an *error* of PyTorch's restricted reader says, without its advice to read without it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    said = [line for line in lines if not line.startswith(("Weights only load failed", "("))] or lines or [""]
    return said[0].removeprefix("WeightsUnpickler error: ").partition(". ")[0]


def load_weights(module: Any, weights: Mapping[str, Any]) -> None:
    """Give *module* its *weights*: all that it has and no others; ValueError, one line, where they differ."""
    wanted = module.state_dict()
    missing, unknown = [n for n in wanted if n not in weights], [n for n in weights if n not in wanted]
    problems = [f"lacks {first_few(missing)}"] if missing else []
    problems += [f"has {first_few(unknown)}, which the module has not"] if unknown else []
    misfits = (_misfit(weights[name], tensor) for name, tensor in wanted.items() if name in weights)
    named = zip((name for name in wanted if name in weights), misfits, strict=True)
    wrong = [f"{name} {misfit}" for name, misfit in named if misfit is not None]
    problems += [first_few(wrong)] if wrong else []
    if problems:
        raise ValueError(f"expected the weights of {type(module).__name__}: the file {'; '.join(problems)}")
    try:
        module.load_state_dict(dict(weights))
    except Exception as error:  # the module's own code may have a part in it
        raise ValueError(f"{type(module).__name__} does not take its weights: {error}") from error


def _misfit(tensor: Any, wanted: Any) -> str | None:
    """Say why *tensor* cannot be copied into *wanted* number by number; None where it can."""
    if wanted.is_meta:
        return "has no place in the module, which is on the device meta"
    if tensor.is_meta:
        return "is on the device meta, without numbers"
    if tensor.is_nested or tensor.layout != wanted.layout:
        kind = "a nested tensor" if tensor.is_nested else str(tensor.layout)
        return f"is {kind}, the module has {wanted.layout}"
    if tensor.is_quantized and not wanted.is_quantized:
        return f"is quantized ({tensor.dtype}), the module has {wanted.dtype}"
    if tensor.shape != wanted.shape:
        return f"has the shape {tuple(tensor.shape)}, the module {tuple(wanted.shape)}"
    if tensor.is_floating_point() and bool(tensor.isnan().any()):
        return "has NaN in it"
    if _rank(tensor) > _rank(wanted):
        return f"is {tensor.dtype}, the module has {wanted.dtype}, which cannot hold its numbers"
    return None


def _rank(tensor: Any) -> int:
    """Return a number that is higher for complex numbers than for floats, and for these than for integers."""
    return 2 if tensor.is_complex() else int(tensor.is_floating_point() or tensor.is_quantized)


def _read_safetensors(file: Any) -> dict[str, Any]:
    torch: Any = importlib.import_module("torch")
    size = file.seek(0, 2)
    file.seek(0)
    length = int.from_bytes(file.read(8), "little")
    if not 2 <= length <= min(size - 8, _LARGEST_HEADER):
        raise ValueError("expected a safetensors file, its header has no length that it can have")
    header = parse_json(file.read(length))
    if not isinstance(header, dict):
        raise ValueError("expected a safetensors file, its header is no object")
    tensors, first = {}, 8 + length
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        dtype, shape, begin, end = _entry(name, entry, size - first)
        file.seek(first + begin)
        content = bytearray(file.read(end - begin))
        kind = getattr(torch, dtype)
        if len(content) != math.prod(shape) * torch.empty((), dtype=kind).element_size():
            raise ValueError(f"{name}: expected {dtype} of the shape {shape}, got {len(content)} bytes")
        flat = torch.frombuffer(content, dtype=kind) if content else torch.empty(0, dtype=kind)
        tensors[name] = flat.reshape(shape)
    if not tensors:
        raise ValueError("expected a safetensors file with tensors in it, it has none")
    return tensors


def _entry(name: str, entry: Any, size: int) -> tuple[str, list[int], int, int]:
    """Return dtype, shape, first byte and the one after the last; ValueError where the file has no such."""
    try:
        dtype, shape, (begin, end) = _DTYPES[entry["dtype"]], entry["shape"], entry["data_offsets"]
        sound = all(type(n) is int and n >= 0 for n in (*shape, begin, end)) and begin <= end <= size
    except (KeyError, TypeError, ValueError):
        sound = False
    if not sound:
        raise ValueError(
            f"{name}: expected a dtype, a shape and offsets within the file, got {json.dumps(entry)[:80]}"
        )
    return dtype, list(shape), begin, end
