"""The first thing that a launched worker runs, on whichever machine that is.

A script, because its command line has to survive launchers that hand it to a shell (ssh does): no quotes, no
parentheses. What it needs to know comes over standard input, ahead of what xdist sends. Standard library
only.
"""

from __future__ import annotations

import json
import os
import socket
import sys

READY = "pytest-arena: worker ready"
"""Written without a newline: a launcher that holds output back until a line is complete must not pass."""


def _prepare(line: str) -> None:
    """Go to the controller's working directory and answer; exits where that cannot be."""
    if not line:
        sys.exit(
            "pytest-arena: standard input is closed: the launcher must pass it on "
            "(docker exec, podman exec and kubectl exec need -i)"
        )
    directory = json.loads(line)["directory"]
    try:
        os.chdir(directory)
    except OSError as error:
        sys.exit(
            f"pytest-arena: {socket.gethostname()} cannot enter the working directory {directory} "
            f"({error.strerror}): workers need the file system of the machine that runs pytest"
        )
    sys.stdout.write(READY)
    sys.stdout.flush()


if __name__ == "__main__":
    sys.path[0] = ""  # the current directory, as for "python -c", not the folder of this script
    _prepare(sys.stdin.readline())
    exec(eval(sys.stdin.readline()))  # what execnet tells every interpreter that it starts
