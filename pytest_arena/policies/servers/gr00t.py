"""Policy servers of GR00T: msgpack over ZeroMQ, one request and one answer in turn.

Arrays travel as files of numpy. An observation has a leading axis for rows and one for moments, T, of the
length that the server's modality configuration has.
"""

from __future__ import annotations

import importlib
import io
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from pytest_arena.errors import EvaluationError, described, did_you_mean, first_few
from pytest_arena.policies.chunks import PlanError
from pytest_arena.policies.servers.arrays import KINDS, packed, require_sendable, unpacked
from pytest_arena.policies.servers.server_policy import ServerPolicy, ServerSettings, secret
from pytest_arena.policies.servers.streams import ConnectionLostError, ServerError, Stream, nested, words
from pytest_arena.simulators.array_types import IndexArray
from pytest_arena.simulators.base import SimEnv

ARRAY, MODALITY = "__ndarray_class__", "__ModalityConfig_class__"
"""Keys that mark a map as an array, or as the configuration of a modality."""
LONGEST_HEADER = 1000
"""Bytes of the header of an array's file."""
_OLD_ERROR = b"ERROR"
"""What very old servers answer to whatever fails."""


def encode(value: Any) -> Any:
    """Return *value*, an array or a number of numpy, as GR00T's map or a plain number; ValueError."""
    require_sendable(value)
    if isinstance(value, np.generic):
        return value.item()
    file = io.BytesIO()
    np.save(file, value, allow_pickle=False)
    return {ARRAY: True, "as_npy": file.getvalue()}


def decode(value: dict[Any, Any]) -> Any:
    """Return the owned array, or the configuration, that *value* stands for, else *value*; ValueError."""
    if ARRAY in value:
        return _loaded(value.get("as_npy"))
    if MODALITY in value:
        return value.get("as_json")
    return value


def _loaded(data: Any) -> NDArray[Any]:
    if not isinstance(data, bytes):
        raise ValueError(f"expected the file of an array, got {described(data)}")
    try:
        array = np.load(io.BytesIO(data), allow_pickle=False, max_header_size=LONGEST_HEADER)
    except (OSError, EOFError, MemoryError, SyntaxError) as error:
        raise ValueError(f"an array cannot be read: {error}") from None
    if not isinstance(array, np.ndarray) or array.dtype.kind not in KINDS:
        raise ValueError(f"expected an array of booleans, integers or floats, got {described(array)}")
    return array


def observation_of(inputs: Mapping[str, Any], moments: Mapping[str, int], flat: bool) -> dict[str, Any]:
    """Return the *inputs* of K rows as a server takes them.

    Args:
        inputs: ``video.NAME``: uint8 (K, H, W, 3), ``state.NAME``: (K, D), each with an axis T after the
            first where the server asks for several moments; K texts.
        moments: ``video`` and ``state`` -> T.
        flat: Whether the names stay as they are.

    Returns:
        The same with the axes (K, T, …), states as float32; texts in lists. Unless *flat*, a map a modality.

    Raises:
        EvaluationError: An input has another shape or type.
    """
    found: dict[str, Any] = {}
    for name, value in inputs.items():
        modality = name.partition(".")[0]
        if isinstance(value, list):
            found[name] = value if flat else [[text] for text in value]
            continue
        array, length = np.asarray(value), moments.get(modality, 1)
        rank = 4 if modality == "video" else 2
        wanted = "(H, W, 3)" if modality == "video" else "(D,)"
        if length > 1:
            rank, wanted = rank + 1, f"({length}, {wanted[1:]}: the server asks for {length} moments"
        if array.ndim != rank or (length > 1 and array.shape[1] != length):
            raise EvaluationError(f"policy.observation.{name}: expected {wanted}, got {described(array[0])}")
        if modality == "video" and array.dtype != np.uint8:
            raise EvaluationError(f"policy.observation.{name}: expected images of uint8, got {array.dtype}")
        array = array if modality == "video" else array.astype(np.float32)
        found[name] = array if length > 1 else array[:, None]
    return found if flat else nested(found)


def of_modality(configuration: Mapping[str, Any], modality: str, key: str) -> list[Any]:
    """Return a list of a server's modality configuration.

    Args:
        configuration: Modality -> its configuration.
        modality: ``video``, ``state``, …
        key: ``modality_keys`` or ``delta_indices``.

    Returns:
        The list; empty where there is none.
    """
    about = configuration.get(modality)
    found = about.get(key) if isinstance(about, Mapping) else None
    return list(found) if isinstance(found, list | tuple) else []


class Gr00tSettings(ServerSettings):
    """Settings of the policy ``gr00t``."""

    api_token_env: str | None = Field(
        default=None, min_length=1, description="the environment variable that holds the server's API token"
    )
    flat_keys: bool = Field(
        default=False,
        description="the server takes video.NAME, state.NAME and texts as one flat map, as with its "
        "simulation wrapper",
    )
    batch: Literal["single", "all"] = Field(
        default="single",
        description="single: a request for each row; all: one for all rows that need a plan; "
        "faster, and its numbers may depend on the number of rows",
    )

    @model_validator(mode="after")
    def _batches_are_not_reproducible(self) -> Gr00tSettings:
        if self.batch == "all" and self.reproducible:
            raise ValueError("expected batch: single beside reproducible: true")
        return self


class Gr00tStream(Stream):
    """One row's requests to a GR00T server, whose protocol has no sessions: one answer for each request."""

    def __init__(self, context: Any, address: str, token: str | None, flat: bool) -> None:
        """Prepare a stream.

        Args:
            context: Of ZeroMQ, for asyncio.
            address: Of the server.
            token: Goes with each request.
            flat: Whether the server takes observations as one flat map.
        """
        self._context, self._address, self._flat = context, address, flat
        self._moments: dict[str, int] = {}
        self._token = {} if token is None else {"api_token": token}
        self._socket: Any = None

    @property
    def usable(self) -> bool:
        """Whether there is a socket that no answer is owed to."""
        return self._socket is not None

    async def open(self) -> Mapping[str, Any]:
        """Ask whether the server is there, and return its modality configuration."""
        zmq: Any = importlib.import_module("zmq")
        self.abandon()
        self._socket = self._context.socket(zmq.REQ)
        self._socket.setsockopt(zmq.LINGER, 0)
        try:
            self._socket.connect(self._address)
        except zmq.ZMQError as error:
            raise ServerError(str(error)) from None
        await self._request("ping")
        configuration = await self._request("get_modality_config")
        if not isinstance(configuration, dict):
            raise ServerError(f"expected the configuration of modalities, got {described(configuration)}")
        self._moments = {
            modality: len(of_modality(configuration, modality, "delta_indices")) or 1
            for modality in ("video", "state")
        }
        return configuration

    async def begin(self) -> None:
        """Let the server forget the episode; servers that keep nothing do not know this request."""
        try:
            await self._request("reset", {"options": None})
        except ServerError as error:
            if "unknown endpoint" not in str(error).lower():
                raise

    async def ask(self, inputs: Mapping[str, Any]) -> Any:
        """Return the answer: name -> (T, D) array."""
        batch = {key: [value] if isinstance(value, str) else value[None] for key, value in inputs.items()}
        return (await self.ask_for_rows(batch, 1))[0]

    async def ask_for_rows(self, inputs: Mapping[str, Any], rows: int) -> list[dict[str, Any]]:
        """Return the answers for K *rows*, asked with one request of K inputs; raises as `ask`."""
        observation = observation_of(inputs, self._moments, self._flat)
        answer = await self._request("get_action", {"observation": observation, "options": None})
        action = answer[0] if isinstance(answer, list) and answer else answer
        if not isinstance(action, dict):
            raise ServerError(f"expected a map of actions and one of notes, got {described(answer)}")
        for key, value in action.items():
            if not isinstance(value, np.ndarray) or value.ndim != 3 or len(value) != rows:
                wanted = f"expected {key} as an array of the shape ({rows}, T, D)"
                raise ServerError(f"{wanted}, got {described(value)}")
        return [{key: value[row] for key, value in action.items()} for row in range(rows)]

    def abandon(self) -> None:
        """Give the socket up: one that waits for an answer can send nothing more."""
        socket, self._socket = self._socket, None
        if socket is not None:
            socket.close()

    async def _request(self, endpoint: str, data: Mapping[str, Any] | None = None) -> Any:
        if self._socket is None:
            raise ConnectionLostError("there is no connection")
        request = {"endpoint": endpoint, **({} if data is None else {"data": data}), **self._token}
        await self._socket.send(packed(request, encode))
        answer = await self._socket.recv()
        if answer == _OLD_ERROR:
            raise ServerError("the server failed, and says no more than ERROR")
        try:
            value = unpacked(answer, decode)
        except ValueError as error:
            raise ServerError(str(error)) from None
        if isinstance(value, dict) and isinstance(value.get("error"), str):
            raise ServerError(f"the server failed: {words(value['error'])}")
        return value


class Gr00t(ServerPolicy):
    """A policy in a server of GR00T, with one socket a row."""

    Settings = Gr00tSettings
    name, extra, packages = "gr00t", "gr00t", ("zmq", "msgpack")
    schemes = ("tcp",)
    settings: Gr00tSettings

    def __init__(self, settings: Gr00tSettings, env: SimEnv) -> None:
        """Connect; see `ServerPolicy`."""
        self._token = secret(settings.api_token_env, "api_token_env")
        self._context: Any = None
        super().__init__(settings, env)

    def stream(self, row: int) -> Stream:
        """Return a socket's stream; all sockets share a context of their own."""
        if self._context is None:
            self._context = importlib.import_module("zmq.asyncio").Context()
        return Gr00tStream(self._context, self.address, self._token, self.settings.flat_keys)

    def plan(self, rows: IndexArray, inputs: Mapping[str, Any]) -> Sequence[Any]:
        """Return each row's answer, or a `PlanError` with the server's words."""
        if self.settings.batch == "single":
            return super().plan(rows, inputs)
        return self._loop.run(self._ask_together(rows.tolist(), inputs))

    async def _ask_together(self, rows: Sequence[int], inputs: Mapping[str, Any]) -> list[Any]:
        """Ask with one request, on the stream of the first row; an error of it is one of all rows."""
        answers: list[Any] = [self.failure(row) for row in rows]
        places = [place for place, answer in enumerate(answers) if answer is None]
        if not places:
            return answers
        batch = {
            key: [value[place] for place in places] if isinstance(value, list) else value[places]
            for key, value in inputs.items()
        }
        stream = self._streams[rows[places[0]]]
        assert isinstance(stream, Gr00tStream)
        found = await self.answer_in_time(stream, stream.ask_for_rows(batch, len(places)))
        for index, place in enumerate(places):
            answers[place] = found if isinstance(found, PlanError) else found[index]
        return answers

    def check_server(self) -> None:
        """Check that the observation map has all that the server's modality configuration names."""
        modalities = ("video", "state") if self.settings.flat_keys else ("video", "state", "language")
        keys = {modality: of_modality(self.metadata, modality, "modality_keys") for modality in modalities}
        names = [f"{modality}.{key}" for modality in modalities for key in keys[modality]]
        given = self.settings.observation or {}
        if missing := [name for name in names if name not in given]:
            raise EvaluationError(
                f"policy.observation: the server asks for {first_few(names, 20)}; the map has no "
                f"{missing[0]}{did_you_mean(missing[0], given)}, it has {first_few(given, 20) or 'nothing'}"
            )

    def close(self) -> None:
        """Disconnect."""
        super().close()
        if self._context is not None:
            self._context.destroy(linger=0)
