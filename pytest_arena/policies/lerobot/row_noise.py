"""Noise for a batch of rows in one pass of a model: each row's from its own generator."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any


def noise_by_row(generators: Sequence[Any]) -> AbstractContextManager[Any]:
    """Return a context in which what PyTorch draws for a batch is drawn row by row.

    Meant are `torch.randn`, `randn_like`, `rand` and `normal`, where the first axis of the result is that of
    the rows and no generator is named: diffusion and flow matching begin with such noise. A row gets the
    numbers that it would get alone.

    Args:
        generators: A `torch.Generator` for each of the K rows of the batch.
    """
    torch: Any = importlib.import_module("torch")
    fills: dict[Any, Callable[[Any, Mapping[str, Any], Any], Any]] = {
        torch.randn: lambda row, _, generator: row.normal_(generator=generator),
        torch.randn_like: lambda row, _, generator: row.normal_(generator=generator),
        torch.rand: lambda row, _, generator: row.uniform_(generator=generator),
        torch.normal: lambda row, given, generator: row.normal_(
            given["mean"], given["std"], generator=generator
        ),
    }

    def call(mode: Any, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        result = function(*args, **kwargs)
        fill = fills.get(function)
        alone = function is torch.normal and not {"mean", "std", "size"} <= kwargs.keys()
        if fill is None or alone or kwargs.get("generator") is not None:
            return result
        if result.ndim and len(result) == len(generators):
            for index, generator in enumerate(generators):
                fill(result[index : index + 1], kwargs, generator)
        return result

    mode = type("NoiseByRow", (torch.overrides.TorchFunctionMode,), {"__torch_function__": call})
    context: AbstractContextManager[Any] = mode()
    return context
