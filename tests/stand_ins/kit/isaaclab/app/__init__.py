"""Stand-in for the launcher of 2.3; that of 3.0 is in `sim_launcher`."""

from __future__ import annotations

from typing import Any

import kit_stand_in

if kit_stand_in.GENERATION == 2:

    class AppLauncher:
        """Starts Kit; writes into the arguments that it is given."""

        def __init__(self, launcher_args: Any = None, **kwargs: Any) -> None:
            arguments = launcher_args if launcher_args is not None else kwargs
            arguments["experience"] = "isaaclab.python.headless.kit"
            self.app = kit_stand_in.SimulationApp(arguments)
