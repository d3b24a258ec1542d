"""What our clients of policy servers cost: beside openpi's own client, and with 16 rows on one slow server.

Run as ``python benchmarks/servers.py``; PYTEST_ARENA_OPENPI_PYTHON and PYTEST_ARENA_VLA_EVAL_PYTHON name
Pythons with openpi-server and vla-eval (`.ci/peers` has the commands). What is compared runs in turns, in one
process each, on the same server.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from time import perf_counter, process_time
from types import SimpleNamespace
from typing import Any

import numpy as np
from gymnasium import spaces

sys.path.insert(0, str(Path(__file__).parents[1]))

from pytest_arena.policies.servers.gr00t import Gr00t
from pytest_arena.policies.servers.openpi import Openpi
from pytest_arena.policies.servers.serve import leave_server
from pytest_arena.policies.servers.vla_eval import VlaEval

ROWS, SECONDS = 16, 0.05
BLOCKS, REQUESTS = 10, 50
OPENPI_SERVER = """
import sys, time, numpy as np
from openpi_server import WebsocketPolicyServer
class Dummy:
    def infer(self, obs):
        time.sleep(float(sys.argv[2]))
        return {"actions": np.zeros((16, 7), np.float32)}
WebsocketPolicyServer(Dummy(), "127.0.0.1", int(sys.argv[1])).serve_forever()
"""
VLA_EVAL_SERVER = """
import sys, time, numpy as np
from vla_eval.model_servers.predict import PredictModelServer
from vla_eval.model_servers.serve import serve
class Dummy(PredictModelServer):
    def predict(self, obs, ctx):
        time.sleep(float(sys.argv[2]))
        return {"actions": np.zeros((16, 7), np.float32)}
serve(Dummy(), "127.0.0.1", int(sys.argv[1]))
"""
OPENPI_NAMES = ("observation/image", "observation/wrist_image", "observation/state", "prompt")
GR00T_SERVER = """
import sys, threading
from tests.fake_servers.gr00t_server import Gr00tServer
from tests.fake_servers.scripted import Script
modalities = {"video": {"delta_indices": [0], "modality_keys": ["image", "wrist"]},
              "state": {"delta_indices": [0], "modality_keys": ["state"]}}
script = Script(seconds=float(sys.argv[2]))
with Gr00tServer(script, modalities, port=int(sys.argv[1])):
    threading.Event().wait()
"""
OPENPI_CLIENT = """
import json, sys, time, numpy as np
from openpi_client.websocket_client_policy import WebsocketClientPolicy
client = WebsocketClientPolicy("127.0.0.1", int(sys.argv[1]))
image = np.zeros((224, 224, 3), np.uint8)
inputs = {"observation/image": image, "observation/wrist_image": image + 1,
          "observation/state": np.zeros(8, np.float32), "prompt": "pick up the cup"}
for line in sys.stdin:
    times, cpu = [], time.process_time()
    for _ in range(int(line)):
        began = time.perf_counter()
        client.infer(inputs)
        times.append(time.perf_counter() - began)
    print(json.dumps([times, time.process_time() - cpu]), flush=True)
"""


def environment(rows: int) -> Any:
    image = spaces.Box(0, 255, (224, 224, 3), np.uint8)
    space = spaces.Dict(image=image, wrist=image, state=spaces.Box(-1, 1, (8,), np.float32))
    actions = spaces.Box(-1, 1, (7,), np.float32)
    return SimpleNamespace(
        num_envs=rows, single_action_space=actions, single_observation_space=space, cameras=None, step_dt=0.1
    )


def observation(rows: int) -> dict[str, np.ndarray]:
    image = np.zeros((rows, 224, 224, 3), np.uint8)
    return {"image": image, "wrist": image + 1, "state": np.zeros((rows, 8), np.float32)}


def policy(kind: str, rows: int, seconds: float, python: str, **settings: Any) -> Any:
    cls, code, names = {
        "openpi": (Openpi, OPENPI_SERVER, OPENPI_NAMES),
        "vla_eval": (
            VlaEval,
            VLA_EVAL_SERVER,
            ("images.image", "images.wrist", "states", "task_description"),
        ),
        "gr00t": (Gr00t, GR00T_SERVER, ("video.image", "video.wrist", "state.state", "language.task")),
    }[kind]
    sources = ({"from": "image"}, {"from": "wrist"}, {"from": "state"}, {"instruction": True})
    root = Path(__file__).parents[1]
    given = {
        "serve": f"PYTHONPATH={root} exec {python} -c '{code}' {{port}} {seconds}",
        "observation": dict(zip(names, sources, strict=True)),
        "execute": 1,
        "action": {"from": ["joints", "gripper"]} if kind == "gr00t" else None,
        **settings,
    }
    env = environment(rows)
    if kind == "gr00t":  # its fake answers with two numbers
        env.single_action_space = spaces.Box(-1, 1, (2,), np.float32)
    made = cls(cls.Settings.model_validate(given), env)
    made.set_task_description("pick up the cup")
    made.reset(np.arange(rows), [0] * rows)
    return made


@dataclass
class Cost:
    """Of requests: seconds each, and seconds of this process's CPU for all."""

    times: list[float] = field(default_factory=list)
    cpu: float = 0.0

    def add(self, times: list[float], cpu: float) -> None:
        self.times += times
        self.cpu += cpu

    def ask(self, count: int, act: Callable[[], Any]) -> Cost:
        times, cpu = [], process_time()
        for _ in range(count):
            began = perf_counter()
            act()
            times.append(perf_counter() - began)
        self.add(times, process_time() - cpu)
        return self

    @property
    def median(self) -> float:
        """Milliseconds."""
        return 1000 * statistics.median(self.times)

    def __str__(self) -> str:
        high, cpu = 1000 * float(np.percentile(self.times, 95)), 1000 * self.cpu / len(self.times)
        return f"{self.median:.2f} | {high:.2f} | {cpu:.2f}"


def one_request(openpi: str, vla_eval: str) -> None:
    """Ours and openpi's own client in turns, on one server that answers at once."""
    ours = policy("openpi", 1, 0.0, openpi)
    seen = observation(1)
    inputs = ours.observed(seen, np.array([0]))
    client = subprocess.Popen(
        [openpi, "-c", OPENPI_CLIENT, str(ours._served.port)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert client.stdin is not None
    assert client.stdout is not None
    theirs, asked, acted = Cost(), Cost(), Cost()
    for block in range(BLOCKS + 1):
        client.stdin.write(f"{REQUESTS}\n")
        client.stdin.flush()
        found = json.loads(client.stdout.readline())
        costs = (
            Cost().ask(REQUESTS, lambda: ours.plan(np.array([0]), inputs)),
            Cost().ask(REQUESTS, lambda: ours.act(seen)),
        )
        if block:  # the first one warms up
            theirs.add(*found)
            for total, cost in zip((asked, acted), costs, strict=True):
                total.add(cost.times, cost.cpu)
    client.stdin.close()
    client.wait()
    assert not ours.row_errors
    ours.close()
    print(
        "| a request of two images of 224 x 224, in ms | p50 | p95 | CPU of the client |\n|---|---|---|---|"
    )
    print(f"| openpi's own client | {theirs} |")
    print(f"| ours: the request | {asked} |")
    print(f"| ours: a step of the policy, with its maps | {acted} |")
    for form in ("raw", "png", "jpeg"):
        other = policy("vla_eval", 1, 0.0, vla_eval, images=form)
        print(f"| vla_eval, images: {form} | {Cost().ask(2 * REQUESTS, partial(other.act, seen))} |")
        other.close()
    other = policy("gr00t", 1, 0.0, sys.executable)
    print(f"| gr00t | {Cost().ask(2 * REQUESTS, partial(other.act, seen))} |")
    other.close()
    print(f"\nOur side more than theirs, p50: {acted.median - theirs.median:.2f} ms (target: 1.5 ms)")


def many_rows(openpi: str, vla_eval: str) -> None:
    """16 rows on one server that needs 50 ms for each request, one after the other."""
    print(f"\n| {ROWS} rows on a server of {1000 * SECONDS:g} ms a request | s a step | over its own time |")
    print("|---|---|---|")
    for kind, python in (("openpi", openpi), ("vla_eval", vla_eval), ("gr00t", sys.executable)):
        made = policy(kind, ROWS, SECONDS, python)
        seen = observation(ROWS)
        times = Cost().ask(6, partial(made.act, seen)).times[1:]
        assert not made.row_errors
        made.close()
        median = statistics.median(times)
        print(f"| {kind} | {median:.3f} | {median / (ROWS * SECONDS):.3f} |")


def main() -> None:
    openpi, vla_eval = os.environ["PYTEST_ARENA_OPENPI_PYTHON"], os.environ["PYTEST_ARENA_VLA_EVAL_PYTHON"]
    try:
        one_request(openpi, vla_eval)
        many_rows(openpi, vla_eval)
    finally:
        leave_server()


if __name__ == "__main__":
    main()
