"""Pickles of Stable-Baselines3, read without running what they name.

A pickle names classes and functions, and unpickling calls them. Here only spaces of gymnasium and arrays of
numpy are made. Every other name becomes an `Unread`, which remembers the name and runs nothing: most of what
these files have besides, such as schedules and buffers, nobody asks for.
"""

from __future__ import annotations

import importlib
import io
import pickle
from collections.abc import Iterator
from types import FunctionType
from typing import Any

_PLAIN = {
    "builtins": ("dict", "list", "set", "slice", "tuple"),
    "collections": ("OrderedDict",),
    "numpy": ("dtype", "ndarray"),
    "numpy.core.multiarray": ("_reconstruct", "scalar"),
    "numpy._core.multiarray": ("_reconstruct", "scalar"),
    "numpy.core.numeric": ("_frombuffer",),
    "numpy._core.numeric": ("_frombuffer",),
    "gymnasium.spaces.box": ("Box",),
    "gymnasium.spaces.dict": ("Dict",),
    "gymnasium.spaces.discrete": ("Discrete",),
    "gymnasium.spaces.multi_binary": ("MultiBinary",),
    "gymnasium.spaces.multi_discrete": ("MultiDiscrete",),
}
"""Module -> its names that make plain values. All else is `Unread`."""
_OF_MODULES = ("torch.nn.modules.", "stable_baselines3.", "sb3_contrib.")
"""Beginnings of the names of classes that may be meant: modules of torch, which compute."""


class Unread:
    """What a pickle has instead of an object of a class that is not made. It takes whatever is done to it."""

    name = ""
    """``module.name`` of the class or function."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Unread:
        """Take any arguments."""
        return super().__new__(cls)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def __setitem__(self, key: Any, value: Any) -> None:
        """Forget it."""

    def append(self, item: Any) -> None:
        """Forget it."""


def read_plain(data: bytes) -> Any:
    """Return what the pickle *data* holds: plain values, arrays, spaces, and `Unread` for all else.

    Raises ValueError, one line, where it is no pickle or a broken one.
    """
    try:
        return _PlainUnpickler(io.BytesIO(data)).load()
    except (ArithmeticError, AssertionError, AttributeError, EOFError, ImportError, LookupError) as error:
        raise ValueError(f"expected a pickle: {error}") from None
    except (MemoryError, RecursionError, TypeError, ValueError, pickle.UnpicklingError) as error:
        raise ValueError(f"expected a pickle: {error}") from None


def with_modules(value: Any) -> Any:
    """Return *value* with the modules of torch that its dicts, lists and tuples name; the rest stays unread.

    They are looked up now, and were not there to be called while the pickle was read.
    """
    if isinstance(value, type) and issubclass(value, Unread):
        return _module_named(value.name) or value
    if isinstance(value, dict):
        return {key: with_modules(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(with_modules(part) for part in value)
    return value


def unread_names(value: Any) -> Iterator[str]:
    """Yield the name of each `Unread` in *value*: itself, or in dicts, lists and tuples."""
    if isinstance(value, Unread) or (isinstance(value, type) and issubclass(value, Unread)):
        yield value.name
    elif isinstance(value, dict):
        for part in value.values():
            yield from unread_names(part)
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from unread_names(part)


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if name in _PLAIN.get(module, ()):
            found = getattr(_imported(module), name)
            # A pickle can set attributes of what it has: of functions it gets another one each time.
            return (lambda *args: found(*args)) if isinstance(found, FunctionType) else found
        return type("Unread", (Unread,), {"name": f"{module}.{name}"})

    def persistent_load(self, pid: Any) -> Any:
        raise pickle.UnpicklingError("it refers to something outside")


def _imported(module: str) -> Any:
    """Return the module, under the name that it has in the installed numpy: the other one warns."""
    present = module.replace("numpy.core", "numpy._core")
    try:
        return importlib.import_module(present)
    except ImportError:
        return importlib.import_module(present.replace("numpy._core", "numpy.core"))


def _module_named(path: str) -> type[Any] | None:
    """Return the class of that name, where it is a module of torch of a known package; else None."""
    module, _, name = path.rpartition(".")
    if not path.startswith(_OF_MODULES):
        return None
    try:
        found = getattr(importlib.import_module(module), name, None)
    except ImportError:  # of another version of the package
        return None
    torch: Any = importlib.import_module("torch")
    return found if isinstance(found, type) and issubclass(found, torch.nn.Module) else None
