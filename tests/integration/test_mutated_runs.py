"""Run directories that are broken in some way: a sample of what runs at night."""

from __future__ import annotations

import subprocess
import sys

from tests.inner import ROOT, inner_environment


def test_broken_run_directories_are_refused_or_resumed_rightly() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "tests.proofs.mutated_run_directories", "16", "3"],
        cwd=ROOT,
        env=inner_environment(),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "0 faults" in ended.stdout
