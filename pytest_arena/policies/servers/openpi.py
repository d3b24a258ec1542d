"""Policy servers of openpi, and of RoboArena, which adds a description, resets and sessions to the protocol.

Messages are msgpack in WebSocket frames. The server speaks first: a map that describes it. Then each request
is a map of observations, and each answer a map with ``actions``. A text in place of a map is a traceback.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

import numpy as np
from pydantic import Field

from pytest_arena.errors import EvaluationError, described, first_few
from pytest_arena.policies.servers.arrays import (
    packed,
    received_array,
    received_dtype,
    require_sendable,
    unpacked,
)
from pytest_arena.policies.servers.server_policy import ServerPolicy, ServerSettings, secret
from pytest_arena.policies.servers.streams import ServerError, Stream, words
from pytest_arena.policies.servers.websocket import WebSocket
from pytest_arena.simulators.base import SimEnv

ARRAY, SCALAR = b"__ndarray__", b"__npgeneric__"
"""Keys that mark a map as an array, or as a number of numpy: byte strings."""
RESET_ANSWER = "reset successful"
"""What a RoboArena server answers to a reset, as a text."""

WIDTHS = {"joint_position": 8, "joint_velocity": 8, "cartesian_position": 7, "cartesian_velocity": 7}
"""A RoboArena server's action space -> the numbers of one action, the last one the gripper's."""


def encode(value: Any) -> Any:
    """Return *value*, an array or a number of numpy, as openpi's map; ValueError for any other object."""
    require_sendable(value)
    if isinstance(value, np.generic):
        return {SCALAR: True, b"data": value.item(), b"dtype": value.dtype.str}
    return {ARRAY: True, b"data": value.tobytes(), b"dtype": value.dtype.str, b"shape": value.shape}


def decode(value: dict[Any, Any]) -> Any:
    """Return the owned array, or the number, that the map *value* stands for, else *value*; ValueError."""
    if ARRAY in value:
        return received_array(value.get(b"data"), value.get(b"dtype"), value.get(b"shape"))
    if SCALAR in value:
        number = np.asarray(value.get(b"data"))
        require_sendable(number)
        return number.astype(received_dtype(value.get(b"dtype")))[()]
    return value


class OpenpiSettings(ServerSettings):
    """Settings of the policies ``openpi`` and ``roboarena``."""

    api_key_env: str | None = Field(
        default=None, min_length=1, description="the environment variable that holds the server's API key"
    )


class OpenpiStream(Stream):
    """One row's connection to an openpi server, which knows no episodes."""

    def __init__(self, address: str, api_key: str | None) -> None:
        """Prepare a stream to *address*, with the header ``Authorization: Api-Key …`` for an *api_key*."""
        self._socket = WebSocket(
            address, None if api_key is None else {"Authorization": f"Api-Key {api_key}"}
        )

    @property
    def usable(self) -> bool:
        """Whether the connection stands."""
        return self._socket.is_open

    async def open(self) -> Mapping[str, Any]:
        """Connect, and return the map that the server speaks first."""
        await self._socket.open()
        return self._map(await self._socket.receive(), "a map that describes the server")

    async def ask(self, inputs: Mapping[str, Any]) -> Any:
        """Return the answer, a map with arrays."""
        await self._socket.send(packed(dict(inputs), encode))
        answer = self._map(await self._socket.receive(), "a map with actions")
        return {key: value for key, value in answer.items() if key != "server_timing"}

    def abandon(self) -> None:
        """Break the connection off."""
        self._socket.abandon()

    async def close(self) -> None:
        """Disconnect."""
        await self._socket.close()

    def _map(self, message: bytes | str, expected: str) -> dict[str, Any]:
        if isinstance(message, str):
            raise ServerError(f"the server failed: {words(message)}")
        try:
            answer = unpacked(message, decode)
        except ValueError as error:
            raise ServerError(str(error)) from None
        if not isinstance(answer, dict):
            raise ServerError(f"expected {expected}, got {described(answer)}")
        return answer


class Openpi(ServerPolicy):
    """A policy in a server of openpi, with one connection a row."""

    Settings = OpenpiSettings
    name, extra, packages = "openpi", "openpi", ("websockets", "msgpack")
    schemes, health = ("ws", "wss"), "/healthz"
    settings: OpenpiSettings

    def __init__(self, settings: OpenpiSettings, env: SimEnv) -> None:
        """Connect; see `ServerPolicy`."""
        self._api_key = secret(settings.api_key_env, "api_key_env")
        super().__init__(settings, env)

    def stream(self, row: int) -> Stream:
        """Return a connection."""
        return OpenpiStream(self.address, self._api_key)


def require_images(inputs: Mapping[str, Any], configuration: Mapping[str, Any]) -> None:
    """Check one row's *inputs* against a RoboArena server's *configuration*: the cameras, and their size.

    Raises `EvaluationError`.
    """
    images = {key: value for key, value in inputs.items() if np.ndim(value) == 3}
    wanted = ["observation/wrist_image_left"] if configuration.get("needs_wrist_camera", True) else []
    cameras = range(int(configuration.get("n_external_cameras", 1)))
    wanted += [f"observation/exterior_image_{index}_left" for index in cameras]
    if configuration.get("needs_stereo_camera", False):
        wanted += [name.removesuffix("_left") + "_right" for name in wanted]
    if missing := [name for name in wanted if name not in images]:
        raise EvaluationError(f"policy.observation: the server asks for the images {first_few(missing)}")
    size = configuration.get("image_resolution", (224, 224))
    for name, image in images.items():
        if size is not None and list(image.shape[:2]) != list(size):
            raise EvaluationError(
                f"policy.observation.{name}: the server asks for images of {list(size)} (height, width), got "
                f"{list(image.shape[:2])}: add resize: {list(size)}"
            )


class RoboArenaStream(OpenpiStream):
    """One row's connection to a RoboArena server: a request says what it is, and of which session."""

    def __init__(self, address: str, api_key: str | None, session: str) -> None:
        """Prepare a stream to *address*; *session* is its name where the server wants one."""
        super().__init__(address, api_key)
        self._name = session
        self._session: Mapping[str, str] = {}
        self._configuration: Mapping[str, Any] = {}
        self._width: int | None = None

    async def open(self) -> Mapping[str, Any]:
        """Connect, and return the server's configuration."""
        configuration = dict(await super().open())
        self._configuration = configuration
        self._session = {"session_id": self._name} if configuration.get("needs_session_id") else {}
        self._width = WIDTHS.get(configuration.get("action_space", "joint_position"))
        return configuration

    async def begin(self) -> None:
        """Let the server forget this session's episode."""
        await self._socket.send(packed({"endpoint": "reset", **self._session}, encode))
        answer = await self._socket.receive()
        if isinstance(answer, str) and answer.strip() != RESET_ANSWER:
            raise ServerError(f"the server failed: {words(answer)}")

    async def ask(self, inputs: Mapping[str, Any]) -> Any:
        """Return the answer, a map with arrays; its actions must be as wide as the server says."""
        require_images(inputs, self._configuration)
        answer = await super().ask({**inputs, **self._session, "endpoint": "infer"})
        shape = np.shape(answer.get("actions", ()))
        if self._width is not None and (len(shape) != 2 or shape[1] != self._width):
            raise ServerError(f"expected actions of the shape (H, {self._width}), got {shape}")
        return answer


class RoboArena(Openpi):
    """A policy in a server of RoboArena: all actions of an answer are executed unless ``execute`` is set."""

    name = "roboarena"

    def stream(self, row: int) -> Stream:
        """Return a connection with a session of its own."""
        return RoboArenaStream(self.address, self._api_key, f"{secrets.token_hex(8)}-row{row}")
