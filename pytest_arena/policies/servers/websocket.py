"""A WebSocket to a server, with its troubles in words."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from pytest_arena.policies.servers.streams import ConnectionLostError, ServerError

_LOOPBACK = ("localhost", "127.0.0.1", "::1")


class WebSocket:
    """A connection for whole messages of any size; without compression and keep-alive of our own.

    A model that warms up may block its server for minutes: how long an answer may take, the caller decides.
    """

    def __init__(self, address: str, headers: Mapping[str, str] | None = None) -> None:
        self._address, self._headers = address, headers
        self._socket: Any = None

    @property
    def is_open(self) -> bool:
        """Whether the connection stands, as far as is known."""
        return self._socket is not None and self._socket.state.name == "OPEN"

    async def open(self) -> None:
        """Connect; raises OSError, `ServerError`."""
        self.abandon()
        client: Any = importlib.import_module("websockets.asyncio.client")
        exceptions: Any = importlib.import_module("websockets.exceptions")
        # A proxy that is set for the web cannot reach this machine's own addresses.
        proxy = {"proxy": None} if urlsplit(self._address).hostname in _LOOPBACK else {}
        try:
            self._socket = await client.connect(
                self._address,
                additional_headers=self._headers,
                compression=None,
                max_size=None,
                open_timeout=None,
                ping_interval=None,
                close_timeout=1,
                **proxy,
            )
        except exceptions.InvalidStatus as error:
            answer = error.response
            body = (answer.body or b"").decode("utf-8", "replace").strip()[:500]
            raise ServerError(f"HTTP {answer.status_code} {answer.reason_phrase} {body}".rstrip()) from None
        except exceptions.InvalidMessage as error:  # also of a server that just begins, or ends
            raise ConnectionError(str(error)) from None
        except (exceptions.InvalidHandshake, exceptions.InvalidURI) as error:
            raise ServerError(f"it does not speak WebSocket: {error}") from None

    async def send(self, message: bytes) -> None:
        """Send a message; raises `ConnectionLostError`."""
        exceptions: Any = importlib.import_module("websockets.exceptions")
        try:
            await self._connected().send(message)
        except exceptions.ConnectionClosed as error:
            raise ConnectionLostError(_ended(error)) from None

    async def receive(self) -> bytes | str:
        """Return the next message; raises `ConnectionLostError`."""
        exceptions: Any = importlib.import_module("websockets.exceptions")
        try:
            message: bytes | str = await self._connected().recv()
        except exceptions.ConnectionClosed as error:
            raise ConnectionLostError(_ended(error)) from None
        return message

    def abandon(self) -> None:
        """Break the connection off: a server that does not answer would not take part in its end."""
        socket, self._socket = self._socket, None
        if socket is not None:
            socket.transport.abort()

    async def close(self) -> None:
        """Disconnect; calling it twice is harmless."""
        socket, self._socket = self._socket, None
        if socket is not None:
            await socket.close()

    def _connected(self) -> Any:
        if self._socket is None:
            raise ConnectionLostError("there is no connection")
        return self._socket


def _ended(error: Any) -> str:
    """Say how the connection ended: the server closed it, or it broke off."""
    if error.rcvd is None:
        return "the connection broke before the answer was complete"
    reason = f": {error.rcvd.reason}" if error.rcvd.reason else ""
    return f"the server closed the connection with the code {error.rcvd.code}{reason}"
