"""An exact fake with mjlab's habits: it counts, so that a wrong adapter is caught by a number.

Row i's episodes last ``lengths[i]`` steps and end as ``outcomes[i]`` says. Observations are
``[env, episode, t, noise]``, rewards ``t``, every pixel ``(env, episode, t)``. Reward, flags and images are written
in place; ``extras`` is one dict. In manual mode a step with rows that wait for their reset is refused, and a reset
of some rows draws new noise for all of them. Cameras look once a step or reset, at its end. Closing twice is an
error.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

LENGTHS = (3, 5, 4, 2)
OUTCOMES = ("success", "fallen", "time_out", "success")
TERMS = ("success", "fallen", "time_out")


def box(*shape: int, low: Any = -np.inf, high: Any = np.inf) -> SimpleNamespace:
    """Return a space of mjlab's own kind, which is not gymnasium's."""
    return SimpleNamespace(shape=shape, dtype="float32", low=low, high=high)


class Terms:
    """A termination manager whose flags outlive the resets of their step."""

    def __init__(self, env: FakeMjlabEnv, names: Sequence[str]) -> None:
        self._env, self.active_terms = env, list(names)
        self._fired = {name: torch.zeros(env.num_envs, dtype=torch.bool) for name in names}

    def get_term(self, name: str) -> torch.Tensor:
        return self._fired[name]

    def get_term_cfg(self, name: str) -> Any:
        return SimpleNamespace(func=lambda env: env.holds(name), params={}, time_out=name == "time_out")

    def compute(self) -> None:
        for name, fired in self._fired.items():
            fired[:] = self._env.holds(name)


class FakeMjlabEnv:
    """A `ManagerBasedRlEnv`."""

    step_dt, device = 0.02, "cpu"

    def __init__(
        self, *, auto_reset: bool = False, terms: Sequence[str] = TERMS, cameras: bool = True
    ) -> None:
        self.num_envs, self.max_episode_length = len(LENGTHS), max(LENGTHS)
        n = self.num_envs
        self.cfg = SimpleNamespace(auto_reset=auto_reset)
        self.rows = torch.arange(n)
        self.episode, self.t = torch.full((n,), -1), torch.zeros(n, dtype=torch.long)
        self.single_action_space = box(2, low=(-1.0, -2.0), high=1.0)
        self.single_observation_space = SimpleNamespace(spaces={"actor": box(4)}, shape=())
        self.termination_manager = Terms(self, terms)
        sensor = SimpleNamespace(cfg=SimpleNamespace(data_types=("rgb",)))
        sensor.data = SimpleNamespace(rgb=torch.zeros((n, 4, 6, 3), dtype=torch.uint8))
        self.scene = SimpleNamespace(sensors={"wrist": sensor} if cameras else {})
        self._sensor = sensor
        self.common_step_counter = 0
        self.extras: dict[str, Any] = {}
        self._pending = torch.zeros(n, dtype=torch.bool)
        self._reward = torch.zeros(n)
        self._terminated, self._truncated = torch.zeros(n, dtype=torch.bool), torch.zeros(n, dtype=torch.bool)
        self.draws = 0
        self.seeds: list[int | None] = []
        self.resets: list[list[int]] = []
        self.actions: list[torch.Tensor] = []
        self.closed_times = 0

    @property
    def unwrapped(self) -> FakeMjlabEnv:
        return self

    def holds(self, outcome: str) -> torch.Tensor:
        """Whether the state that a row is in now ends its episode so."""
        return (self.t == torch.tensor(LENGTHS)) & torch.tensor([o == outcome for o in OUTCOMES])

    def _observe(self) -> dict[str, torch.Tensor]:
        self.draws += 1
        pixel = torch.stack([self.rows, self.episode, self.t], dim=1)
        self._sensor.data.rgb[:] = pixel[:, None, None, :]
        noise = torch.full_like(self.t, self.draws)
        return {"actor": torch.cat([pixel, noise[:, None]], dim=1).float()}

    def reset(self, *, seed: int | None = None, env_ids: Any = None, options: Any = None) -> Any:
        rows = self.rows if env_ids is None else env_ids
        assert rows.dtype == torch.int64
        self.seeds.append(seed)
        self.resets.append(rows.tolist())
        self._reset_idx(rows)
        return self._observe(), self.extras

    def _reset_idx(self, env_ids: torch.Tensor) -> None:
        self.episode[env_ids] += 1
        self.t[env_ids] = 0
        self._pending[env_ids] = False

    def step(self, action: torch.Tensor) -> Any:
        if self._pending.any():
            raise RuntimeError("Environments must be reset before calling step() again")
        assert action.shape == (self.num_envs, 2)
        assert torch.isfinite(action).all()
        self.actions.append(action)
        self.common_step_counter += 1
        self.t += 1
        self.termination_manager.compute()
        self._reward[:] = self.t.float()
        self._truncated[:] = self.holds("time_out")
        self._terminated[:] = self.holds("success") | self.holds("fallen")
        done = self._terminated | self._truncated
        if self.cfg.auto_reset:
            if done.any():
                self._reset_idx(done.nonzero(as_tuple=False).squeeze(-1))
        else:
            self._pending |= done
        return self._observe(), self._reward, self._terminated, self._truncated, self.extras

    def close(self) -> None:
        self.closed_times += 1
        assert self.closed_times == 1, "closed twice"


def held(env: FakeMjlabEnv) -> torch.Tensor:
    """Return success of the state that *env* is in: a function for ``success.callable``."""
    return env.holds("success")
