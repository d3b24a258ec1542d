from __future__ import annotations

import contextlib

from isaaclab import LOG


def teardown_simulation_app(suppress_exceptions: bool = False, make_new_stage: bool = True) -> None:
    with contextlib.suppress(Exception) if suppress_exceptions else contextlib.nullcontext():
        import omni.timeline
        import omni.usd
        from isaaclab.sim import SimulationContext

        LOG.append(("tear down",))
        if (simulation := SimulationContext.instance()) is not None:
            simulation._disable_app_control_on_stop_handle = True
            simulation.stop()
            simulation.clear_instance()
        omni.timeline.get_timeline_interface().stop()
        if make_new_stage:
            omni.usd.get_context().new_stage()
