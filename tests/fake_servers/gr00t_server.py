"""A GR00T server on a thread, written from the protocol: as strict about shapes and types as the real one."""

from __future__ import annotations

import io
import threading
import time
from typing import Any, Self

import msgpack
import numpy as np
import zmq

from tests.fake_servers.scripted import Script

MODALITIES = {
    "video": {"delta_indices": [0], "modality_keys": ["front"]},
    "state": {"delta_indices": [0], "modality_keys": ["arm"]},
    "action": {"delta_indices": [0, 1, 2], "modality_keys": ["joints", "gripper"]},
    "language": {"delta_indices": [0], "modality_keys": ["annotation.human.task"]},
}


def _default(value: Any) -> Any:
    file = io.BytesIO()
    np.save(file, value, allow_pickle=False)
    return {"__ndarray_class__": True, "as_npy": file.getvalue()}


def _hook(value: dict[Any, Any]) -> Any:
    if "__ndarray_class__" in value:
        return np.load(io.BytesIO(value["as_npy"]), allow_pickle=False)
    return value


class Gr00tServer:
    """One request at a time; of a silence it remembers nothing. Used as a context."""

    def __init__(
        self, script: Script | None = None, modalities: Any = None, token: str = "", flat: bool = False,
        knows_reset: bool = True, port: int = 0,
    ) -> None:  # fmt: skip
        self.script, self.modalities, self.token = script or Script(), modalities or MODALITIES, token
        self.flat, self.knows_reset, self.count = flat, knows_reset, 0
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.ROUTER)
        self._socket.setsockopt(zmq.LINGER, 0)
        if port:
            self._socket.bind(f"tcp://127.0.0.1:{port}")
        self.port = port or self._socket.bind_to_random_port("tcp://127.0.0.1")
        self.address = f"tcp://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._over = threading.Event()

    def _serve(self) -> None:
        while not self._over.is_set():
            if not self._socket.poll(50):
                continue
            client, empty, request = self._socket.recv_multipart()
            try:
                answer = self._answer(msgpack.unpackb(request, object_hook=_hook))
            except Exception as error:
                answer = {"error": str(error)}
            if answer is not self:
                message = answer if isinstance(answer, bytes) else msgpack.packb(answer, default=_default)
                self._socket.send_multipart([client, empty, message])

    def _answer(self, request: dict[str, Any]) -> Any:
        if self.token and request.get("api_token") != self.token:
            raise ValueError("Unauthorized: Invalid API token")
        endpoint = request.get("endpoint", "get_action")
        if endpoint == "ping":
            self.script.connections += 1
            return {"status": "ok", "message": "Server is running"}
        if endpoint == "get_modality_config":
            return {
                name: {"__ModalityConfig_class__": True, "as_json": about}
                for name, about in self.modalities.items()
            }
        if endpoint == "reset" and self.knows_reset:
            self.script.resets += 1
            self.count = 0
            return {}
        if endpoint != "get_action":
            raise ValueError(f"Unknown endpoint: {endpoint}")
        return self._act(request["data"]["observation"])

    def _act(self, observation: Any) -> Any:
        self.count += 1
        self.script.received.append((0, observation))
        self._check(observation)
        if self.script.misbehaves("silent", 0, self.count):
            return self
        if self.script.misbehaves("gone", 0, self.count):
            self._over.set()
            return self
        if self.script.misbehaves("old error", 0, self.count):
            return b"ERROR"
        if self.script.misbehaves("no message", 0, self.count):
            return b"\xc1 this is no msgpack"
        time.sleep(self.script.seconds)
        rows = self._rows(observation)
        plan = np.stack([self.script.actions(one, 0, self.count) for one in rows])
        prefix = "action." if self.flat else ""
        return [{f"{prefix}joints": plan[:, :, :1], f"{prefix}gripper": plan[:, :, 1:]}, {}]

    def _rows(self, observation: Any) -> list[dict[str, Any]]:
        """Return one map of names -> values for each of the B rows."""
        flat = observation if self.flat else {
            f"{group}.{key}": value for group, part in observation.items() for key, value in part.items()
        }  # fmt: skip
        count = {len(value) for value in flat.values()}
        assert len(count) == 1, f"as many rows everywhere: {count}"
        return [{name: value[row] for name, value in flat.items()} for row in range(count.pop())]

    def _check(self, observation: Any) -> None:
        flat = observation if self.flat else {
            f"{group}.{key}": value for group, part in observation.items() for key, value in part.items()
        }  # fmt: skip
        for name, value in flat.items():
            if name.startswith("video."):
                assert value.dtype == np.uint8, f"{name}: {value.dtype}"
                assert value.ndim == 5, f"{name}: {value.shape}"
                assert value.shape[1] == len(self.modalities["video"]["delta_indices"]), (
                    f"{name}: {value.shape}"
                )
            elif name.startswith("state."):
                assert value.dtype == np.float32, f"{name}: {value.dtype}"
                assert value.ndim == 3, f"{name}: {value.shape}"
            else:
                assert isinstance(value[0], str if self.flat else list), f"{name}: {value}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join(10)
        self._context.destroy(linger=0)
