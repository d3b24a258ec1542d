"""WebSocket servers of openpi, RoboArena and vla-eval on a thread; written from the protocols, not from ours."""

from __future__ import annotations

import asyncio
import http
import threading
import time
import traceback
from typing import Any, Self

import msgpack
import numpy as np
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

from tests.fake_servers.scripted import GoneError, Script


class FakeServer:
    """Base of a server; used as a context. ``address`` is where it listens, on a port that the system chose."""

    def __init__(
        self, script: Script | None = None, metadata: dict[str, Any] | None = None, key: str = "", port: int = 0,
    ) -> None:  # fmt: skip
        self.script, self.metadata, self.key, self.port = script or Script(), metadata or {}, key, port
        self.headers: list[Any] = []
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._model = asyncio.Lock()
        self._waiting, self._all_wait = 0, asyncio.Event()
        self._thread = threading.Thread(
            target=self._loop.run_until_complete, args=(self._serve(),), daemon=True
        )

    async def _serve(self) -> None:
        self._stop = asyncio.Event()
        async with serve(
            self._connection, "127.0.0.1", self.port, compression=None, max_size=None,
            ping_interval=None, process_request=self._request,
        ) as server:  # fmt: skip
            self.port = server.sockets[0].getsockname()[1]
            self._ready.set()
            await self._stop.wait()
            server.close()

    def _request(self, connection: Any, request: Any) -> Any:
        self.headers.append(dict(request.headers))
        if request.path in ("/healthz", "/health"):
            return connection.respond(http.HTTPStatus.OK, "OK\n")
        if self.key and request.headers.get("Authorization") != f"Api-Key {self.key}":
            return connection.respond(http.HTTPStatus.UNAUTHORIZED, "wrong key\n")
        return None

    async def _connection(self, socket: Any) -> None:
        stream, self.script.connections = self.script.connections, self.script.connections + 1
        if self.script.fault == "second connection" and stream > 0:
            await socket.close(1013, "one at a time")
            return
        try:
            await self.talk(socket, stream)
        except ConnectionClosed:
            pass
        except GoneError:
            socket.transport.abort()

    async def talk(self, socket: Any, stream: int) -> None:
        raise NotImplementedError

    async def before_answer(self, socket: Any, stream: int, count: int) -> None:
        """Do what is wrong before there is an answer; a model serves one request at a time."""
        script = self.script
        if script.misbehaves("gone", stream, count):
            raise GoneError
        if script.misbehaves("silent", stream, count):
            await asyncio.Event().wait()
        if script.misbehaves("half a frame", stream, count):
            socket.transport.write(b"\x82\x7f" + (10**6).to_bytes(8, "big") + bytes(1000))
            await asyncio.sleep(0)
            raise GoneError
        if script.misbehaves("no message", stream, count):
            await socket.send(b"\xc1 this is no msgpack")
            await asyncio.Event().wait()
        if script.together:
            self._waiting += 1
            if self._waiting == script.together:
                self._all_wait.set()
            await self._all_wait.wait()
        if script.seconds:
            async with self._model:
                await asyncio.sleep(script.seconds)

    @property
    def address(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *error: object) -> None:
        async def end() -> None:
            self._stop.set()
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                if "_serve" not in repr(task.get_coro()):
                    task.cancel()

        if self._thread.is_alive():
            asyncio.run_coroutine_threadsafe(end(), self._loop)
            self._thread.join(10)


def _openpi_default(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return {
            b"__ndarray__": True,
            b"data": value.tobytes(),
            b"dtype": value.dtype.str,
            b"shape": value.shape,
        }
    return value


def _openpi_hook(value: dict[Any, Any]) -> Any:
    if b"__ndarray__" in value:
        return np.ndarray(value[b"shape"], np.dtype(value[b"dtype"]), value[b"data"])
    if b"__npgeneric__" in value:
        return np.dtype(value[b"dtype"]).type(value[b"data"])
    return value


class OpenpiServer(FakeServer):
    """Speaks first; counts the requests of a connection: the protocol knows no episodes."""

    async def talk(self, socket: Any, stream: int) -> None:
        await socket.send(msgpack.packb(self.metadata, default=_openpi_default))
        count = 0
        while True:
            inputs = msgpack.unpackb(await socket.recv(), object_hook=_openpi_hook)
            self.script.received.append((stream, inputs))
            count += 1
            await self.before_answer(socket, stream, count)
            try:
                answer = {
                    "actions": self.script.actions(inputs, stream, count),
                    "server_timing": {"infer_ms": 1.0},
                }
            except RuntimeError:
                await socket.send(traceback.format_exc())
                await socket.close(1011, "Internal server error")
                return
            await socket.send(msgpack.packb(answer, default=_openpi_default))


class RoboArenaServer(FakeServer):
    """Keeps the state of sessions, not of connections."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.counts: dict[str, int] = {}

    async def talk(self, socket: Any, stream: int) -> None:
        await socket.send(msgpack.packb(self.metadata, default=_openpi_default))
        while True:
            inputs = msgpack.unpackb(await socket.recv(), object_hook=_openpi_hook)
            endpoint, session = inputs.pop("endpoint"), inputs.pop("session_id", "")
            if endpoint == "reset":
                self.script.resets += 1
                self.counts[session] = 0
                failed = self.script.fault == "reset"
                await socket.send("Traceback: no reset today" if failed else "reset successful")
                continue
            self.script.received.append((session, inputs))
            self.counts[session] += 1
            await self.before_answer(socket, stream, self.counts[session])
            try:
                plan = self.script.actions(inputs, stream, self.counts[session])
            except RuntimeError:
                await socket.send(traceback.format_exc())
                await socket.close(1011, "Internal server error")
                return
            wide = np.concatenate([plan, np.zeros((len(plan), 6), np.float32)], axis=1)
            await socket.send(msgpack.packb({"actions": wide}, default=_openpi_default))


def _vla_default(value: Any) -> Any:
    return {
        "__ndarray__": True,
        "data": value.tobytes(),
        "dtype": value.dtype.str,
        "shape": list(value.shape),
    }


def _vla_hook(value: dict[Any, Any]) -> Any:
    if "__ndarray__" in value:
        return np.frombuffer(value["data"], np.dtype(value["dtype"])).reshape(value["shape"])
    return value


class VlaEvalServer(FakeServer):
    """Counts the requests of an episode, which the client begins and ends."""

    def message(self, kind: str, payload: Any, seq: int) -> bytes:
        raw = {"type": kind, "payload": payload, "seq": seq, "timestamp": time.time()}
        return bytes(msgpack.packb(raw, default=_vla_default))

    async def talk(self, socket: Any, stream: int) -> None:
        count = 0
        while True:
            raw = msgpack.unpackb(await socket.recv(), object_hook=_vla_hook)
            assert set(raw) == {"type", "payload", "seq", "timestamp"}
            kind, payload, seq = raw["type"], raw["payload"], raw["seq"]
            if kind == "hello":
                version = 2 if self.script.fault == "version" else 1
                answer = {
                    "harness_version": "0",
                    "protocol_version": version,
                    "model_server": "Fake",
                    **self.metadata,
                }
                await socket.send(self.message("hello", answer, seq))
            elif kind == "episode_start":
                self.script.resets += 1
                count = 0
                if self.script.fault == "episode_start":
                    error = {"error": "episode_start_failed: ValueError: no such task"}
                    await socket.send(self.message("error", error, seq))
            elif kind == "episode_end":
                self.script.ended.append(payload)
            else:
                count += 1
                self.script.received.append((stream, payload))
                await self._observe(socket, stream, count, payload, seq)

    async def _observe(self, socket: Any, stream: int, count: int, payload: Any, seq: int) -> None:
        await self.before_answer(socket, stream, count)
        try:
            answer = {"actions": self.script.actions(payload, stream, count)}
        except RuntimeError as error:
            await socket.send(
                self.message("error", {"error": f"observation_failed: RuntimeError: {error}"}, seq)
            )
            return
        if self.script.misbehaves("older answer first", stream, count):
            await socket.send(self.message("action", {"actions": np.full((1, 2), 0.999)}, seq - 1))
        if self.script.misbehaves("wrong seq", stream, count):
            seq += 7
        await socket.send(self.message("action", answer, seq))
