"""Policy servers of vla-eval: msgpack messages in WebSocket frames, each with a type and a number.

An answer has the number of the message that it answers. The begin of an episode has no answer of its own: an
error there arrives while the client waits for an action.
"""

from __future__ import annotations

import importlib
import io
import time
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pytest_arena.errors import described, shortened
from pytest_arena.policies.servers.arrays import packed, received_array, require_sendable, unpacked
from pytest_arena.policies.servers.server_policy import ServerPolicy, ServerSettings, require_packages
from pytest_arena.policies.servers.streams import ServerError, Stream, nested, words
from pytest_arena.policies.servers.websocket import WebSocket
from pytest_arena.records.schema import Episode, Outcome
from pytest_arena.simulators.base import SimEnv

ARRAY, IMAGE = "__ndarray__", "__image__"
"""Keys that mark a map as an array, or as an image."""
PROTOCOL_VERSION = 1
LARGEST_IMAGE = 2**26
"""Pixels of an image in an answer."""
JPEG_QUALITY = 95
ImageFormat: TypeAlias = Literal["png", "jpeg", "raw"]


def encode(value: Any, images: ImageFormat = "raw") -> Any:
    """Return *value*, an array or a number of numpy, as vla-eval's map or a plain number.

    Args:
        value: What msgpack does not know.
        images: How an array (H, W, 3) or, of PNG alone, (H, W, 4) of uint8 is sent; other arrays are raw.

    Returns:
        What msgpack knows.

    Raises:
        ValueError: It is any other object.
    """
    require_sendable(value)
    if isinstance(value, np.generic):
        return value.item()
    if images != "raw" and value.dtype == np.uint8 and value.ndim == 3 and value.size:
        if value.shape[2] == 3:
            return _compressed(value, images)
        if value.shape[2] == 4:  # JPEG knows no transparency
            return _compressed(value, "png")
    return {ARRAY: True, "data": value.tobytes(), "dtype": value.dtype.str, "shape": list(value.shape)}


def decode(value: dict[Any, Any]) -> Any:
    """Return the owned array that the map *value* stands for, else *value*; ValueError."""
    if IMAGE in value and value.get("format") != "raw":
        return _image(value.get("data"))
    if IMAGE in value or ARRAY in value:
        return received_array(value.get("data"), value.get("dtype"), value.get("shape"))
    return value


def _compressed(image: NDArray[np.uint8], form: ImageFormat) -> dict[str, Any]:
    pillow: Any = importlib.import_module("PIL.Image")
    file = io.BytesIO()
    options = {"quality": JPEG_QUALITY} if form == "jpeg" else {}
    pillow.fromarray(image).save(file, format=form.upper(), **options)
    return {IMAGE: True, "format": form, "data": file.getvalue(), "shape": list(image.shape)}


def _image(data: Any) -> NDArray[Any]:
    pillow: Any = importlib.import_module("PIL.Image")
    if not isinstance(data, bytes):
        raise ValueError(f"expected the bytes of an image, got {described(data)}")
    try:
        image = pillow.open(io.BytesIO(data), formats=("PNG", "JPEG"))
        if image.width * image.height > LARGEST_IMAGE:
            raise ValueError(f"{image.width} x {image.height} pixels are too many")
        return np.array(image)
    except (OSError, ValueError, SyntaxError, pillow.DecompressionBombError) as error:
        raise ValueError(f"an image cannot be read: {error}") from None


class VlaEvalSettings(ServerSettings):
    """Settings of the policy ``vla_eval``."""

    images: ImageFormat = Field(
        default="raw", description="how images are sent: raw and png are lossless, jpeg is smaller"
    )


class VlaEvalStream(Stream):
    """One row's connection to a vla-eval server, which keeps the state of an episode for each connection."""

    def __init__(self, address: str, images: ImageFormat, task: Mapping[str, Any]) -> None:
        """Prepare a stream to *address*; *task* is read when an episode begins."""
        self._socket, self._images, self._task = WebSocket(address), images, task
        self._sent = 0  # the number of the latest message
        self._episode = 0  # the number of the message that began the episode

    @property
    def usable(self) -> bool:
        """Whether the connection stands."""
        return self._socket.is_open

    async def open(self) -> Mapping[str, Any]:
        """Connect, and return what the server answers to a greeting."""
        await self._socket.open()
        greeting = {"harness_version": "pytest-arena", "protocol_version": PROTOCOL_VERSION}
        answer = await self._answer("hello", await self._send("hello", greeting))
        version = answer.get("protocol_version")
        if version != PROTOCOL_VERSION:
            raise ServerError(f"expected the protocol's version {PROTOCOL_VERSION}, got {version!r}")
        return answer

    async def begin(self) -> None:
        """Say that an episode begins. The server answers nothing unless it fails, and then later."""
        self._episode = await self._send("episode_start", {"task": dict(self._task)})

    async def ask(self, inputs: Mapping[str, Any]) -> Any:
        """Return the answer, a map with arrays."""
        return await self._answer("action", await self._send("observation", nested(inputs)))

    async def end(self, episode: Episode) -> None:
        """Say how the episode ended."""
        result: dict[str, Any] = {"success": episode.outcome is Outcome.SUCCESS}
        if episode.error is not None:
            result["failure_reason"] = episode.error
        await self._send("episode_end", result)

    def abandon(self) -> None:
        """Break the connection off."""
        self._socket.abandon()

    async def close(self) -> None:
        """Disconnect."""
        await self._socket.close()

    async def _send(self, kind: str, payload: Mapping[str, Any]) -> int:
        self._sent += 1
        message = {"type": kind, "payload": payload, "seq": self._sent, "timestamp": time.time()}
        await self._socket.send(packed(message, lambda value: encode(value, self._images)))
        return self._sent

    async def _answer(self, expected: str, to: int) -> dict[str, Any]:
        """Return the payload of the answer to the message number *to*; older answers are discarded."""
        while True:
            kind, payload, number = _message(await self._socket.receive())
            if number > to:
                raise ServerError(f"expected an answer to message {to}, got one to {number}, which is none")
            if kind == "error" and number in (to, self._episode):
                raise ServerError(f"the server failed: {words(str(payload.get('error', payload)))}")
            if number < to:
                continue
            if kind != expected:
                raise ServerError(f"expected an answer of the type {expected}, got {kind!r}")
            return payload


def _message(frame: bytes | str) -> tuple[str, dict[str, Any], int]:
    """Return type, payload and number of a message; raises `ServerError`."""
    if isinstance(frame, str):
        raise ServerError(f"expected a message, got the text: {words(frame)}")
    try:
        message = unpacked(frame, decode)
    except ValueError as error:
        raise ServerError(str(error)) from None
    if not isinstance(message, dict):
        raise ServerError(f"expected a message with type, payload and seq, got {described(message)}")
    kind, payload, number = message.get("type"), message.get("payload"), message.get("seq")
    if not isinstance(kind, str) or not isinstance(payload, dict) or type(number) is not int:
        found = shortened(repr({"type": kind, "payload": described(payload), "seq": number}))
        raise ServerError(f"expected a message with type, payload and seq, got {found}")
    return kind, payload, number


class VlaEval(ServerPolicy):
    """A policy in a server of vla-eval, with one connection a row."""

    Settings = VlaEvalSettings
    name, extra, packages = "vla_eval", "vla_eval", ("websockets", "msgpack")
    schemes, health = ("ws", "wss"), "/health"
    settings: VlaEvalSettings

    def __init__(self, settings: VlaEvalSettings, env: SimEnv) -> None:
        """Connect; see `ServerPolicy`."""
        if settings.images != "raw":
            require_packages(self.name, ("PIL",), self.extra)
        self._task: dict[str, Any] = {}
        super().__init__(settings, env)

    def stream(self, row: int) -> Stream:
        """Return a connection."""
        return VlaEvalStream(self.address, self.settings.images, self._task)

    def set_task_description(self, text: str | None) -> None:
        """Name the task to the server when an episode begins, too."""
        super().set_task_description(text)
        self._task.clear()
        if text is not None:
            self._task["name"] = text
