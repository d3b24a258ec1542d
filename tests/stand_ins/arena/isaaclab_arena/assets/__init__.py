"""The module of the registries has another name before and since 0.3."""

from pathlib import Path

from isaaclab import GENERATION

__path__.append(str(Path(__file__).parent / ("since" if GENERATION >= (0, 3) else "before")))
