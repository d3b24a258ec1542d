"""Registers the cart of evals/cart.py by name, as a package of tasks does when it is imported."""

import gymnasium

gymnasium.register(
    "Arena-Cart",
    "isaaclab.envs:ManagerBasedRLEnv",
    disable_env_checker=True,
    kwargs={"env_cfg_entry_point": "evals.cart:CartEnvCfg"},
)
