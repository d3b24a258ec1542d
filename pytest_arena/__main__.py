"""``python -m pytest_arena``: what is useful outside a test session."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn

from pytest_arena.errors import ArenaError

COMMANDS = {
    "compare": "compare the jobs of two runs, and tell by the exit status whether one is worse",
    "plan": "print boundary, power and mean episodes of a gate",
    "schema": "print the JSON Schema of job files, for editors and checks",
}
"""Name, which is that of the module under `pytest_arena.commands`, and what it does."""

USAGE_ERROR = 4
"""As pytest has it: smaller numbers say what a command found."""


class _Parser(argparse.ArgumentParser):
    """Ends with `USAGE_ERROR` where argparse would end with 2."""

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(USAGE_ERROR, f"{self.prog}: error: {message}\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status."""
    given = sys.argv[1:] if argv is None else list(argv)
    parser = _Parser(prog="python -m pytest_arena", description="Tools of pytest-arena.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, about in COMMANDS.items():
        command = commands.add_parser(name, help=about, description=f"{about[0].upper()}{about[1:]}.")
        if name in given[:1]:  # the other ones are not imported
            module = import_module(f"pytest_arena.commands.{name}")
            module.add_arguments(command)
            command.set_defaults(run=module.run)
    arguments = parser.parse_args(given)
    with contextlib.suppress(BrokenPipeError):  # … | head
        try:
            return int(arguments.run(arguments))
        except ArenaError as error:
            print(f"{parser.prog} {arguments.command}: error: {error}", file=sys.stderr)
            return USAGE_ERROR
    return 0


if __name__ == "__main__":
    sys.exit(main())
