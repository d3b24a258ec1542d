"""Jobs as a page reads them, with little to type."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pytest_arena import Episode, JobRecord
from pytest_arena.records.manifest import JobEntry
from pytest_arena.reports.html.stored_job import StoredJob


def stored(run_dir: Path, finished: Sequence[Episode], name: str = "reach", **changes: Any) -> StoredJob:
    """Write the *finished* episodes as those of the job *name*, whose record has the *changes*, and return the job."""
    folder = run_dir / name
    folder.mkdir(exist_ok=True)
    lines = "".join(json.dumps(episode.to_json()) + "\n" for episode in finished)
    (folder / "episodes.jsonl").write_text(lines)
    fields: dict[str, Any] = {"config_sha256": "0", "simulator": "gymnasium", "environment": "CartPole-v1"}
    record = JobRecord(name, 1, policy="zero", **{**fields, **changes})
    return StoredJob(folder, name, 1, record, JobEntry())
