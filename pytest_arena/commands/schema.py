"""``python -m pytest_arena schema``."""

from __future__ import annotations

import argparse

from pytest_arena.jobs.editor_schema import schema_text


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Take no arguments."""


def run(arguments: argparse.Namespace) -> int:
    """Print the JSON Schema of job files."""
    print(schema_text(), end="")
    return 0
