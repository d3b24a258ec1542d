"""An exact fake with Isaac Lab's habits: it counts, so that a wrong adapter is caught by a number.

Row i's episodes last ``lengths[i]`` steps and end as ``outcomes[i]`` says. Observations are
``[env, episode, t]``, rewards ``t``, every pixel ``(env, episode, t)``. Reward, flags and images are written in
place; ``extras`` is one dict whose old keys stay; rows are reset inside `step`; the length is 0 after that; what
reads the state after `step` sees the next episode; closing twice is an error.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import gymnasium
import numpy as np
import pytest

torch = pytest.importorskip("torch")

LENGTHS = (3, 5, 4, 2)
OUTCOMES = ("success", "fallen", "time_out", "success")
TERMS = ("success", "fallen", "time_out")


class Terms:
    """A termination manager; `get_term` returns a view of a column, as Isaac Lab does."""

    def __init__(self, env: FakeLabEnv, names: Sequence[str]) -> None:
        self.active_terms = list(names)
        self._env, self._fired = env, torch.zeros((env.num_envs, len(names)), dtype=torch.bool)

    def get_term(self, name: str) -> torch.Tensor:
        return self._fired[:, self.active_terms.index(name)]

    def get_term_cfg(self, name: str) -> Any:
        return SimpleNamespace(func=lambda env: env.holds(name), params={})

    def compute(self) -> None:
        for index, name in enumerate(self.active_terms):
            self._fired[:, index] = self._env.holds(name)


class Camera:
    """A camera sensor: one buffer for ever, 4 channels of colour."""

    def __init__(self, env: FakeLabEnv, floats: bool) -> None:
        self.cfg = SimpleNamespace(data_types=["depth", "rgb"])
        self._env, self._floats = env, floats
        self._image = torch.zeros((env.num_envs, 4, 6, 4), dtype=torch.float32 if floats else torch.uint8)

    @property
    def data(self) -> Any:
        env = self._env
        pixel = torch.stack([env.rows, env.episode, env.t, torch.full_like(env.t, 9)], dim=1)
        self._image[:] = (pixel / 255.0 if self._floats else pixel)[:, None, None, :]
        return SimpleNamespace(output={"rgb": self._image})


class FakeLabEnv(gymnasium.Env[Any, Any]):
    """A manager-based environment; ``terms=()`` makes it a direct one, which says nothing of success."""

    def __init__(
        self,
        lengths: Sequence[int] = LENGTHS,
        outcomes: Sequence[str] = OUTCOMES,
        *,
        final_obs: bool = True,
        cameras: bool = True,
        floats: bool = False,
        terms: Sequence[str] = TERMS,
    ) -> None:
        self.num_envs, self.device, self.step_dt = len(lengths), "cpu", 0.02
        self.max_episode_length = max(lengths)
        n = self.num_envs
        self.lengths, self.outcomes = torch.tensor(lengths), list(outcomes)
        self.rows = torch.arange(n)
        self.episode, self.t = torch.full((n,), -1), torch.zeros(n, dtype=torch.long)
        self.single_action_space = gymnasium.spaces.Box(-1.0, 1.0, (2,), np.float32)
        self.single_observation_space = gymnasium.spaces.Dict(
            {"policy": gymnasium.spaces.Box(-np.inf, np.inf, (3,), np.float32)}
        )
        self.cfg = SimpleNamespace(seed=None, compute_final_obs=final_obs, recorders=None)
        self.scene = SimpleNamespace(sensors={"wrist": Camera(self, floats)} if cameras else {})
        if terms:
            self.termination_manager = Terms(self, terms)
        self.extras: dict[str, Any] = {}
        self.episode_length_buf = torch.zeros(n, dtype=torch.long)
        self.common_step_counter = 0
        self._reward = torch.zeros(n)
        self._terminated, self._truncated = torch.zeros(n, dtype=torch.bool), torch.zeros(n, dtype=torch.bool)
        self.seeds: list[int | None] = []
        self.closed_times = 0

    def holds(self, outcome: str) -> torch.Tensor:
        """Whether the state that a row is in now ends its episode so."""
        wanted = torch.tensor([o == outcome for o in self.outcomes])
        return (self.t == self.lengths) & wanted

    def _observe(self) -> dict[str, torch.Tensor]:
        return {"policy": torch.stack([self.rows, self.episode, self.t], dim=1).float()}

    def reset(self, *, seed: int | None = None, env_ids: Any = None, options: Any = None) -> Any:
        self.seeds.append(seed)
        self._reset_idx(self.rows if env_ids is None else env_ids)
        return self._observe(), self.extras

    def _reset_idx(self, env_ids: torch.Tensor) -> None:
        self.episode[env_ids] += 1
        self.t[env_ids] = 0
        self.episode_length_buf[env_ids] = 0
        self.extras["log"] = {"Episode_Termination/success": torch.tensor(0.5)}

    def step(self, action: torch.Tensor) -> Any:
        assert isinstance(action, torch.Tensor)
        assert action.shape == (self.num_envs, 2), "Invalid action shape"
        self.common_step_counter += 1
        self.t += 1
        self.episode_length_buf += 1
        if hasattr(self, "termination_manager"):
            self.termination_manager.compute()
        self._reward[:] = self.t.float()
        self._truncated[:] = self.holds("time_out")
        self._terminated[:] = (self.t == self.lengths) & ~self._truncated
        done = self._terminated | self._truncated
        if done.any():
            if getattr(self.cfg, "compute_final_obs", False):
                self.extras["final_obs"] = self._observe()
            self.extras["solved"] = self.holds("success").float()
            self.extras["unsure"] = None
            self._reset_idx(done.nonzero(as_tuple=False).squeeze(-1))
        return self._observe(), self._reward, self._terminated, self._truncated, self.extras

    def close(self) -> None:
        self.closed_times += 1
        assert self.closed_times == 1, "closed twice"


def held(env: FakeLabEnv) -> torch.Tensor:
    """Return success of the state that *env* is in: a function for ``success.callable``."""
    return env.holds("success")


class FakeTeamEnv(FakeLabEnv):
    """A direct multi-agent environment: two agents, dicts of everything."""

    def __init__(self, **changes: Any) -> None:
        super().__init__(terms=(), **changes)
        self.possible_agents = ["arm", "base"]
        self.action_spaces = {"arm": self.single_action_space, "base": gymnasium.spaces.Discrete(3)}
        self.observation_spaces = dict.fromkeys(self.possible_agents, self.single_observation_space["policy"])
        del self.single_action_space, self.single_observation_space
        self.extras = {agent: {} for agent in self.possible_agents}

    def step(self, actions: Any) -> Any:
        assert set(actions) == set(self.possible_agents)
        assert actions["base"].dtype == torch.int64
        observation, reward, terminated, truncated, extras = super().step(actions["arm"])
        if "final_obs" in extras:
            final = extras.pop("final_obs")["policy"]
            for agent in self.possible_agents:
                extras[agent]["final_obs"] = final
        both = lambda value: dict.fromkeys(self.possible_agents, value)  # noqa: E731
        return both(observation["policy"]), both(reward), both(terminated), both(truncated), extras

    def reset(self, **kwargs: Any) -> Any:
        observation, extras = super().reset(**kwargs)
        return dict.fromkeys(self.possible_agents, observation["policy"]), extras
