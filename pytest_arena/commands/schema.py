"""``python -m pytest_arena schema``."""

from __future__ import annotations

import argparse
import json

from pytest_arena.jobs.schema import job_file_schema


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Take no arguments."""


def run(arguments: argparse.Namespace) -> int:
    """Print the JSON Schema of job files."""
    print(json.dumps(job_file_schema(), indent=2), flush=True)
    return 0
