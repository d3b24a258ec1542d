"""``python -m pytest_arena export RUN_DIR --to FORMAT``."""

from __future__ import annotations

import argparse
from importlib import import_module
from pathlib import Path

from pytest_arena.errors import RunDirectoryError
from pytest_arena.export.finished_run import Written, read_finished_run

FORMATS = {
    "lerobot": ("lerobot_eval_info", "eval_info.json, as lerobot-eval writes it"),
    "vla-eval": ("vla_eval_aggregate", "SIMULATOR_aggregate.json of vla-evaluation-harness"),
    "arena": ("arena_episode_results", "JSON Lines of episodes and the result of IsaacLab-Arena"),
    "lerobot-dataset": ("lerobot_dataset", "a LeRobotDataset of each job with trajectories; needs LeRobot"),
    "csv": ("csv_tables", "jobs.csv and episodes.csv"),
}
"""Name -> module under `pytest_arena.export`, and what it writes."""


_EPILOG = """\
Files of an earlier export are replaced, datasets are not. What a format cannot say is printed,
a line each: an error never becomes a failure. Exit status: 0, or 4 where nothing can be written."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Take a run, a format and a folder."""
    width = max(map(len, FORMATS))
    formats = "\n".join(f"  {name:{width}}  {about}" for name, (_, about) in FORMATS.items())
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = f"formats:\n{formats}\n\n{_EPILOG}"
    parser.add_argument("RUN_DIR", type=Path, help="a run directory, such as arena-results/latest")
    parser.add_argument("--to", required=True, choices=FORMATS, metavar="FORMAT", help=", ".join(FORMATS))
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FOLDER",
        help="where the files go (default: a folder named like the run and the format, in the current one)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Write the files, and print where they are and what they cannot say."""
    found = read_finished_run(arguments.RUN_DIR)
    folder = arguments.output or Path(f"{found.name}-{arguments.to}")
    module = import_module(f"pytest_arena.export.{FORMATS[arguments.to][0]}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        written: Written = module.write(found, folder)
    except OSError as error:
        raise RunDirectoryError(f"{folder}: cannot be written: {error.strerror or error}") from None
    for line in (*(f"wrote {path}" for path in written.files), *written.notes):
        print(line)
    return 0
