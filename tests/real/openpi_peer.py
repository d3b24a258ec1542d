"""openpi's own server code with a policy without a model; run by a Python that has openpi-server."""

from __future__ import annotations

import os
import sys
import time
from typing import Any

import numpy as np
from openpi_client.base_policy import BasePolicy
from openpi_server import WebsocketPolicyServer

from tests.fake_servers.scripted import Script


class Dummy(BasePolicy):
    def __init__(self, fault: str) -> None:
        self.fault, self.asked = fault, 0

    def infer(self, obs: dict[str, Any]) -> dict[str, Any]:  # type: ignore[override]
        self.asked += 1
        if self.fault == "gone" and self.asked == 3:
            os._exit(1)
        if self.fault == "slow":
            time.sleep(1.5)
        script = Script(self.fault, at=3, counts=False)
        actions = script.actions(obs, 0, self.asked)
        assert all(not isinstance(value, np.ndarray) or value.dtype.kind in "biuf" for value in obs.values())
        return {"actions": actions}

    def reset(self) -> None: ...


if __name__ == "__main__":
    metadata = {"model": "dummy", "mean": np.arange(3.0)}
    policy = Dummy(sys.argv[2] if len(sys.argv) > 2 else "")
    WebsocketPolicyServer(policy, "127.0.0.1", int(sys.argv[1]), metadata).serve_forever()
