"""A stream: the requests of one row to a server, one after the other."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from pytest_arena.records.schema import Episode

LONGEST_WORDS = 4000
"""Characters of a server's words that are kept: of a traceback the end, which says what happened."""


class ServerError(Exception):
    """A server's error, or an answer that is none: the text ends an episode."""


class ConnectionLostError(ServerError):
    """The connection to a server has ended."""


class Stream(ABC):
    """One row's stream. All of its methods run on the policy's event loop, and are given a time from outside.

    A stream that failed is abandoned, and opened anew when an episode begins: never in the middle of one.
    """

    @property
    @abstractmethod
    def usable(self) -> bool:
        """Whether requests can be sent: it is open, as far as is known."""

    @abstractmethod
    async def open(self) -> Mapping[str, Any]:
        """Connect, and return what the server says of itself; raises OSError, `ServerError`."""

    async def begin(self) -> None:
        """Tell the server that an episode begins, where the protocol can say so; raises `ServerError`."""

    @abstractmethod
    async def ask(self, inputs: Mapping[str, Any]) -> Any:
        """Return the server's answer to one row's *inputs*: an array, or a map with arrays.

        Raises `ServerError`; ValueError for inputs that cannot be sent.
        """

    async def end(self, episode: Episode) -> None:
        """Tell the server that *episode* has ended, where the protocol can say so; raises `ServerError`."""

    @abstractmethod
    def abandon(self) -> None:
        """Give up the connection at once, without a word to the server; calling it twice is harmless."""

    async def close(self) -> None:
        """Disconnect; calling it twice is harmless."""
        self.abandon()


def words(text: str) -> str:
    """Return a server's *text* for a message: its end, where it is long."""
    text = text.strip()
    return text if len(text) <= LONGEST_WORDS else f"… {text[-LONGEST_WORDS:]}"


def nested(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Return *inputs* with ``group.name`` as ``name`` in a map ``group``: only a name's first dot counts."""
    found: dict[str, Any] = {}
    for key, value in inputs.items():
        group, dot, name = key.partition(".")
        if dot:
            found.setdefault(group, {})[name] = value
        else:
            found[key] = value
    return found
