"""How a job's recordings for the Rerun viewer are named, in the job's folder.

::

    rerun/episode-0003-env1.rrd         an episode's recording
    rerun/.episode-0003-env1.rrd.part   one that is being made
"""

from __future__ import annotations

from pathlib import Path

RERUN = "rerun"
"""Folder, in a job's, of the recordings of its episodes."""


def recording_name(episode: int, row: int) -> str:
    """Return the name of the recording of an *episode*, by its index, that *row* of the environment ran."""
    return f"episode-{episode:04d}-env{row}.rrd"


def unfinished_recording(recording: Path) -> Path:
    """Return the hidden file that grows with the steps of *recording*, and becomes it."""
    return recording.with_name(f".{recording.name}.part")
