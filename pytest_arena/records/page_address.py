"""Where a run's page shows a job or an episode: addresses relative to the run directory."""

from __future__ import annotations

PAGE = "index.html"
"""The page of a run, in its directory."""


def job_address(folder: str) -> str:
    """Return e.g. ``index.html#reach``: the page calls a job by the *folder* of its attempt."""
    return f"{PAGE}#{folder}"


def episode_address(folder: str, episode: int | str) -> str:
    """Return e.g. ``index.html#reach/episode-3``: *episode* is an index from 0, or what stands for it."""
    return f"{job_address(folder)}/episode-{episode}"
