"""vla-eval's own server code with a policy without a model; run by a Python that has vla-eval."""

from __future__ import annotations

import os
import sys
import time
from typing import Any

from vla_eval.model_servers.predict import PredictModelServer
from vla_eval.model_servers.serve import serve
from vla_eval.specs import DimSpec

from tests.fake_servers.scripted import HORIZON, Script


class Dummy(PredictModelServer):
    """Its server cuts chunks: it answers each observation with one action of the latest one."""

    def __init__(self, fault: str) -> None:
        super().__init__(chunk_size=HORIZON)
        self.fault, self.asked = fault, 0

    def predict(self, obs: dict[str, Any], ctx: Any) -> dict[str, Any]:
        self.asked += 1
        if self.fault == "gone" and self.asked == 3:
            os._exit(1)
        if self.fault == "slow":
            time.sleep(1.5)
        # ctx.step counts the observations of this episode, on this connection.
        actions = Script(self.fault, at=3).actions(obs, 0, 3 if self.fault and self.asked == 3 else ctx.step)
        return {"actions": actions}

    async def on_episode_start(self, config: dict[str, Any], ctx: Any) -> None:
        if self.fault == "episode_start":
            raise ValueError("no such task")
        await super().on_episode_start(config, ctx)

    def get_action_spec(self) -> dict[str, DimSpec]:
        return {"delta": DimSpec("delta", 2, "delta_xy", (-1, 1))}

    def get_observation_spec(self) -> dict[str, DimSpec]:
        return {"states": DimSpec("states", 3, "raw")}


if __name__ == "__main__":
    serve(Dummy(sys.argv[2] if len(sys.argv) > 2 else ""), "127.0.0.1", int(sys.argv[1]))
