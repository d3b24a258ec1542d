"""Stand-in for the shipped tasks. 2.3: importable once Kit runs."""

import gymnasium
import kit_stand_in

if kit_stand_in.GENERATION == 2:
    kit_stand_in.require_running()

gymnasium.register(
    "Isaac-Count-v0",
    entry_point="isaaclab.envs:ManagerBasedRLEnv",
    disable_env_checker=True,
    kwargs={"env_cfg_entry_point": "isaaclab.envs:ManagerBasedRLEnvCfg"},
)
