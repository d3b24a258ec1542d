from __future__ import annotations

from isaaclab import LOG
from isaaclab.app import require_app

require_app(__name__)


class SimulationContext:
    _instance: SimulationContext | None = None

    def __init__(self) -> None:
        if SimulationContext._instance is not None:
            raise RuntimeError("Simulation context already exists")
        SimulationContext._instance = self
        self._disable_app_control_on_stop_handle = False

    @classmethod
    def instance(cls) -> SimulationContext | None:
        return cls._instance

    def stop(self) -> None:
        assert self._disable_app_control_on_stop_handle, "would render for ever"
        LOG.append(("stop",))

    @classmethod
    def clear_instance(cls) -> None:
        cls._instance = None
