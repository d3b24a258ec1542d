"""Stand-in for the launcher of 3.0, which starts Kit for a configuration that needs it."""

from __future__ import annotations

import atexit
import contextlib
import signal
import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import kit_stand_in

if kit_stand_in.GENERATION < 3:
    raise ModuleNotFoundError(f"No module named {__name__!r}", name=__name__)


class KitLauncher:
    """Starts Kit, and closes it at exit, whatever becomes of its context."""

    def __init__(self, arguments: dict[str, Any]) -> None:
        self._app = kit_stand_in.SimulationApp(arguments)
        atexit.register(lambda: self._app.close(exit_code=int(getattr(sys, "last_exc", None) is not None)))
        signal.signal(signal.SIGINT, signal.default_int_handler)

    def close(self, exit_code: int = 0) -> None:
        """End the process with a status."""
        self._app.close(exit_code=exit_code)


def validate_launch(configuration: Any, launcher_args: dict[str, Any]) -> tuple[Any, tuple[str, ...]]:
    """Return what was found in *configuration*, and what of it needs Kit; writes into the arguments."""
    launcher_args.update(livestream=0, visualizer=None)
    cameras = configuration.scene.wrist is not None
    needs = ["Isaac Sim PhysX physics (`PhysxCfg`)"] + ["a Kit-based renderer"] * cameras
    return SimpleNamespace(has_kit_camera=cameras), tuple(needs)


@contextlib.contextmanager
def launch_simulation(configuration: Any, launcher_args: dict[str, Any]) -> Iterator[None]:
    """Start Kit, with cameras where the scene has any; leaving it ends the process."""
    found, _ = validate_launch(configuration, launcher_args)
    if found.has_kit_camera:
        launcher_args["enable_cameras"] = True
    launcher = KitLauncher(launcher_args)
    exit_code = 0
    try:
        yield
    except SystemExit as error:
        exit_code = error.code if isinstance(error.code, int) else int(error.code is not None)
        raise
    except BaseException:
        exit_code = 1
        raise
    finally:
        launcher.close(exit_code)
