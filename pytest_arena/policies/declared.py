"""Whether a policy's author has said that its episodes are reproducible: nobody else can know."""

from __future__ import annotations

import inspect
from typing import Any

from pytest_arena.policies.base import Policy
from pytest_arena.policies.duck_typed import CustomPolicy

_DECIDES = ("act", "reset", "plan", "forget", "set_episodes")
"""Methods that decide what a row does: who replaces one answers for what the class says of itself."""


def says_nothing_of_its_episodes(policy: Policy) -> bool:
    """Whether *policy* is of a class of somebody's own that does not say whether it is ``reproducible``.

    A class that only adds to one of this package's, and leaves alone how it acts, has its statement.
    """
    if isinstance(policy, CustomPolicy):
        return not hasattr(policy.wrapped, "reproducible")
    classes = type(policy).__mro__
    own = [cls for cls in classes if cls.__module__.partition(".")[0] != "pytest_arena" and cls is not object]
    own = [cls for cls in own if issubclass(cls, Policy)]
    if not own or any("reproducible" in vars(cls) for cls in own):
        return False
    base: type[Any] = next(cls for cls in classes if cls not in own and issubclass(cls, Policy))
    if inspect.isabstract(base):  # it states nothing, and an object may do so itself
        return "reproducible" not in vars(policy)
    return any(name in vars(cls) for cls in own for name in _DECIDES)
