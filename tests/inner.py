"""What a pytest that a test starts sees of the one that runs the test."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).parents[1]


def inner_environment() -> dict[str, str]:
    """Return the environment variables of an inner run: the packages are those of the outer one, no more."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name != "CI" and not name.startswith(("PYTEST_XDIST_", "GITHUB_", "GITLAB_", "CI_"))
    }
    path = os.environ.get("PYTHONPATH")
    kept["PYTHONPATH"] = f"{ROOT}{os.pathsep}{path}" if path else str(ROOT)
    # hypothesis' plugin imports all of it, which takes longer than the rest of most inner runs together.
    # pytest-randomly, where it is installed, would shuffle jobs whose order a test asserts.
    # Other reports are tested in tests/real/test_other_reports.py, and would cost every run their imports.
    kept["PYTEST_ADDOPTS"] = "-p no:hypothesispytest -p no:randomly -p no:html -p no:allure_pytest"
    return kept
