"""Which outputs of an ONNX model are the next values of which inputs: what it remembers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence


def paired_states(inputs: Sequence[str], outputs: Sequence[str]) -> dict[str, str]:
    """Return input -> output of the states that a model's names tell.

    Known are ``h_in`` and ``h_out``, as rsl_rl and most exporters have it, ``h`` and ``h_out``, ``h_next``,
    ``next_h`` or ``new_h``, and PyTorch's ``h0`` and ``hn``.

    Args:
        inputs: The names of all inputs.
        outputs: The names of all outputs.

    Returns:
        The pairs; empty where nothing seems to be remembered.
    """
    pairs: dict[str, str] = {}
    for name in inputs:
        found = [other for other in _next_names(name) if other in outputs and other not in pairs.values()]
        if found:
            pairs[name] = found[0]
    return pairs


def require_states(states: Mapping[str, str], inputs: Sequence[str], outputs: Sequence[str]) -> None:
    """Check the pairs that a job gives; ValueError, one line, names one that the model does not have.

    Args:
        states: Input -> output.
        inputs: The names of all inputs of the model.
        outputs: The names of all its outputs.
    """
    for source, target in states.items():
        if source not in inputs:
            raise ValueError(f"states: it has no input {source!r}; it has {', '.join(inputs)}")
        if target not in outputs:
            raise ValueError(f"states: it has no output {target!r}; it has {', '.join(outputs)}")


def _next_names(name: str) -> Iterator[str]:
    stem = name.removesuffix("_in")
    yield f"{stem}_out"
    yield f"{stem}_next"
    yield f"next_{stem}"
    yield f"new_{stem}"
    if name.endswith("0"):
        yield f"{name[:-1]}n"
