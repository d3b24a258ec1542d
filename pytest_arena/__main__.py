"""``python -m pytest_arena``: what is useful outside a test session."""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn

from pytest_arena.errors import ArenaError

COMMANDS = {
    "compare": "compare the jobs of two runs, and tell by the exit status whether one is worse",
    "export": "write the results of a run as files of LeRobot, vla-eval or IsaacLab-Arena, or as tables",
    "history": "print the success rates of jobs over the runs in a folder, or write them as a page",
    "plan": "print boundary, power and mean episodes of a gate",
    "report": "write the page of a run again, also of an old one",
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
    output, prefix = io.StringIO(), f"{parser.prog} {arguments.command}: error:"
    try:
        with contextlib.redirect_stdout(output):  # so that a reader that has gone hides no exit status
            status = int(arguments.run(arguments))
    except ArenaError as error:
        print(prefix, error, file=sys.stderr)
        status = USAGE_ERROR
    # Names of files, and JSON, may hold halves of characters, which no output has letters for.
    text = output.getvalue().encode("utf-8", "backslashreplace").decode("utf-8")
    try:
        print(text, end="", flush=True)
    except BrokenPipeError:  # … | head
        _drop_output()
    except (OSError, UnicodeEncodeError) as error:
        _drop_output()
        print(prefix, f"the result could not be written: {error}", file=sys.stderr)
        return USAGE_ERROR
    return status


def _drop_output() -> None:
    """Let Python, as it ends, write what is left to where it does not fail once more."""
    with contextlib.suppress(OSError, ValueError):
        target = sys.stdout.fileno()
        os.dup2(os.open(os.devnull, os.O_WRONLY), target)


if __name__ == "__main__":
    sys.exit(main())
