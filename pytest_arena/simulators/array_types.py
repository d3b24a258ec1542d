"""The types of what passes through the simulator seam: N rows, or K of them."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Observation: TypeAlias = Any
"""What N rows see: an (N, …) array, or a dict (or tuple) of such, as the environment's space of one row says;
numpy or torch, on the simulator's device, in the simulator's own units."""


Action: TypeAlias = Any
"""What N rows do: (N, A) floats for a `Box`, (N,) integers for a `Discrete`, a dict or tuple of these where
the space of one row is one; numpy or torch."""


BoolArray: TypeAlias = NDArray[np.bool_]


FloatArray: TypeAlias = NDArray[np.float64]


IndexArray: TypeAlias = NDArray[np.int64]


SuccessArray: TypeAlias = NDArray[np.int8]
