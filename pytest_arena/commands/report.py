"""``python -m pytest_arena report RUN_DIR``."""

from __future__ import annotations

import argparse
import math
from pathlib import Path

from pytest_arena.errors import RunDirectoryError
from pytest_arena.reports.html.run_page import write_run_page

EMBEDDED_MIB = 20
"""What mail servers let pass, about."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Take the run directory, and whether the page has the films in it."""
    parser.add_argument("RUN_DIR", type=Path, help="a run directory, of this version or of an earlier one")
    parser.add_argument(
        "--embed",
        metavar="MIB",
        type=float,
        nargs="?",
        const=EMBEDDED_MIB,
        default=0.0,
        help="put films into the page, those of failures first, up to so many MiB "
        f"(default: {EMBEDDED_MIB}), so that one file can be mailed",
    )


def run(arguments: argparse.Namespace) -> int:
    """Write the page and print its path; returns the exit status."""
    run_dir: Path = arguments.RUN_DIR
    if not run_dir.is_dir():
        raise RunDirectoryError(f"{run_dir}: expected a run directory, there is none")
    if not (run_dir / "run.json").exists() and not any(run_dir.glob("*/record.json")):
        raise RunDirectoryError(f"{run_dir}: expected a run directory, got one without run.json and records")
    if not 0 <= arguments.embed < math.inf:
        raise RunDirectoryError(f"--embed: expected a number of MiB from 0, got {arguments.embed:g}")
    try:
        print(write_run_page(run_dir, embed=int(arguments.embed * 2**20)))
    except OSError as error:
        raise RunDirectoryError(f"{run_dir}: index.html could not be written: {error.strerror}") from None
    return 0
