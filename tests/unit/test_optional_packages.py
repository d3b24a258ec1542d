"""Packages that only some jobs need: nothing imports them before, and each extra has code behind it."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = {name: needed for name, needed in PROJECT["optional-dependencies"].items() if name != "dev"}
OPTIONAL = [
    "gr00t", "isaaclab", "lerobot", "libero", "mani_skill", "metaworld", "mjlab", "mlflow", "mujoco", "msgpack", "onnx",
    "onnxruntime", "openpi_client", "rerun", "robosuite", "rsl_rl", "safetensors", "sb3_contrib", "stable_baselines3",
    "tensorboard", "torch", "vla_eval", "wandb", "websockets", "zmq",
]  # fmt: skip
IMPORT_ALL = """
import importlib, pkgutil, sys
import pytest_arena
for module in pkgutil.walk_packages(pytest_arena.__path__, "pytest_arena."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
print(*{name.partition(".")[0] for name in sys.modules} & {*sys.argv[1:]})
"""


@pytest.mark.process
def test_no_module_imports_a_package_that_only_some_jobs_need() -> None:
    found = subprocess.run(
        [sys.executable, "-c", IMPORT_ALL, *OPTIONAL], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert found.stdout.split() == []


@pytest.mark.parametrize("extra", EXTRAS)
def test_an_extra_is_what_an_error_names_and_the_docs_too(extra: str) -> None:
    sources = [path.read_text() for path in (ROOT / "pytest_arena").rglob("*.py")]
    said = any(f"pytest-arena[{extra}]" in source for source in sources)
    # Families of several packages name it once for all: pytest-arena[{extra}].
    made = any("pytest-arena[{" in source for source in sources) and any(f'"{extra}"' in s for s in sources)
    assert said or made, f"no message of the package names pytest-arena[{extra}]"
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    named = re.compile(rf"\[(?:[\w,]*,)?{extra}(?:,[\w,]*)?\]")
    assert any(named.search(page.read_text()) for page in pages), (
        f"no page of the docs names the extra {extra}"
    )
