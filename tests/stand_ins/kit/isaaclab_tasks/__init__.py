"""Stand-in for the shipped tasks: importable once Kit runs."""

import gymnasium
import kit_stand_in

kit_stand_in.require_running()

gymnasium.register(
    "Isaac-Count-v0",
    entry_point="isaaclab.envs:ManagerBasedRLEnv",
    disable_env_checker=True,
    kwargs={"env_cfg_entry_point": "isaaclab.envs:ManagerBasedRLEnvCfg"},
)
