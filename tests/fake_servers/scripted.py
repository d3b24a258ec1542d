"""What a fake server answers, and what it does wrong."""

from __future__ import annotations

import threading
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

HORIZON = 3


class GoneError(Exception):
    """The server ends the connection without a word."""


@dataclass
class Script:
    """A policy whose actions (H, 2) encode a request: (checksum of the inputs, requests of this episode).

    ``fault`` is what the server does wrong, at the request with the number ``at`` (from 1) of the stream with
    the number ``stream`` (from 0; None: of all).
    """

    fault: str = ""
    at: int = 1
    stream: int | None = None
    counts: bool = True
    """Whether actions tell the number of the request: else they depend on its inputs alone."""
    seconds: float = 0.0
    """That each answer takes."""
    together: int = 0
    """Requests that must wait before any of them is answered."""
    connections: int = 0
    resets: int = 0
    ended: list[Any] = field(default_factory=list)
    received: list[Any] = field(default_factory=list)
    release: threading.Event = field(default_factory=threading.Event)
    """Ends a silence, so that the server can be closed."""

    def misbehaves(self, fault: str, stream: int, count: int) -> bool:
        """Whether the server does *fault* now."""
        return self.fault == fault and self.at == count and self.stream in (None, stream)

    def actions(self, inputs: Mapping[str, Any], stream: int, count: int) -> np.ndarray:
        """Return (H, 2) float32, or what is wrong as one."""
        if self.misbehaves("traceback", stream, count):
            raise RuntimeError("CUDA error: the model broke")
        if self.misbehaves("wrong shape", stream, count):
            return np.zeros((HORIZON, 5), np.float32)
        if self.misbehaves("texts", stream, count):
            return np.array([["a", "b"]])
        plan = np.empty((HORIZON, 2), np.float32)
        plan[:, 0] = checksum(inputs) / 1000
        plan[:, 1] = (count / 100 if self.counts else 0) + np.arange(HORIZON) / 1000
        if self.misbehaves("nan", stream, count):
            plan[-1, -1] = np.nan
        return plan


def checksum(inputs: Mapping[str, Any]) -> int:
    """Return a number below 1000 of all that *inputs* hold, in the order of their names."""
    total = 0
    for name in sorted(inputs):
        value = inputs[name]
        if isinstance(value, Mapping):
            total += checksum(value)
        else:
            content = (
                np.ascontiguousarray(value).tobytes()
                if isinstance(value, np.ndarray)
                else repr(value).encode()
            )
            total += zlib.crc32(name.encode() + content)
    return total % 1000
