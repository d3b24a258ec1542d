"""``python -m pytest_arena``: what is useful outside a test session."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m pytest_arena", description="Tools of pytest-arena.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("schema", help="print the JSON Schema of job files, for editors and checks")
    parser.parse_args(argv)

    from pytest_arena.jobs.schema import job_file_schema

    with contextlib.suppress(BrokenPipeError):  # … | head
        print(json.dumps(job_file_schema(), indent=2), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
