from __future__ import annotations

import os
import sys
from typing import Any

from isaaclab import LOG

KNOWN = {"headless", "enable_cameras", "device", "rendering_mode", "disable_pinocchio_patch", "multi_gpu"}


class SimulationApp:
    def close(self) -> None:
        LOG.append(("close the app",))
        os._exit(0)


class AppLauncher:
    arguments: dict[str, Any] | None = None

    def __init__(self, launcher_args: Any = None) -> None:
        if AppLauncher.arguments is not None:
            raise RuntimeError("a second app")
        if len(sys.argv) > 1:
            raise RuntimeError(f"Kit does not know {sys.argv[1:]}")
        arguments = launcher_args if isinstance(launcher_args, dict) else vars(launcher_args)
        if unknown := set(arguments) - KNOWN:
            raise ValueError(f"the launcher does not know {sorted(unknown)}")
        AppLauncher.arguments = dict(arguments)
        arguments.clear()
        sys.stdout = sys.__stdout__
        LOG.append(("launch", AppLauncher.arguments))
        self.app = SimulationApp()

    @staticmethod
    def add_app_launcher_args(parser: Any) -> None:
        parser.add_argument("--headless", action="store_true")
        parser.add_argument("--enable_cameras", action="store_true")
        parser.add_argument("--device", default="cuda:0")
        parser.add_argument("--rendering_mode", default=None)
        parser.parse_known_args()  # of the process, as the real one does


def require_app(module: str) -> None:
    """What needs Kit cannot be imported before it runs."""
    if AppLauncher.arguments is None:
        raise ImportError(f"{module} was imported before the app was started")
