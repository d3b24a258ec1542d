"""Where a page finds a film: beside itself, or in itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote


@dataclass
class Films:
    """The films of a run, as a page in its directory shows them."""

    run_dir: Path
    missing: list[str] = field(default_factory=list)
    """Films that records name and that are not there, as paths in the run directory."""

    def source(self, path: str) -> str | None:
        """Return the URL of the film at *path*, which is relative to the run directory.

        None where there is no such film; it is noted in `missing`.
        """
        if not (self.run_dir / path).is_file():
            self.missing.append(path)
            return None
        return quote(path)
