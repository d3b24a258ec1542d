"""Stands for Isaac Lab below a stand-in of IsaacLab-Arena: written from their interfaces, no code of theirs.

``ARENA_STAND_IN`` chooses the release of Arena whose surface is shown: 0.2.0, 0.3.0 or 0.3.1.
"""

from __future__ import annotations

import os
from typing import Any

GENERATION = tuple(int(part) for part in os.environ.get("ARENA_STAND_IN", "0.3.1").split("."))
LOG: list[tuple[Any, ...]] = []
"""What was done to the simulator, in order."""


def logged(what: str) -> list[tuple[Any, ...]]:
    """Return the entries of this kind, without their first word."""
    return [entry[1:] for entry in LOG if entry[0] == what]
