"""``python -m tests.fake_servers KIND PORT [NAME=VALUE …]``: a fake server of its own, with a `Script` of these values.

Its process id is in the file ``servers`` of the working directory.
"""

from __future__ import annotations

import os
import sys
import threading
from typing import Any

from tests.fake_servers.scripted import Script


def main(kind: str, port: str, *values: str) -> None:
    given = dict(value.split("=", 1) for value in values)
    script = Script(
        fault=given.get("fault", ""),
        at=int(given.get("at", 1)),
        stream=int(given["stream"]) if "stream" in given else None,
        counts="stateless" not in given,
        seconds=float(given.get("seconds", 0)),
    )
    with open("servers", "a") as file:
        file.write(f"{os.getpid()}\n")
    server: Any
    if kind == "gr00t":
        from tests.fake_servers.gr00t_server import Gr00tServer

        modalities = {"state": {"delta_indices": [0], "modality_keys": ["all"]}}
        server = Gr00tServer(script, modalities, port=int(port))
    else:
        from tests.fake_servers.websockets_server import OpenpiServer, VlaEvalServer

        server = {"openpi": OpenpiServer, "vla_eval": VlaEvalServer}[kind](script, port=int(port))
    with server:
        print(f"{kind} serves on {server.address}", flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
