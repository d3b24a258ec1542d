"""Environments that job files in tests name as ``tests.registered:arena/Scripted-v0``."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
import unittest
from typing import Any

import gymnasium
import numpy as np
import pytest
from pydantic import Field

from pytest_arena import ChunkedPolicy, ChunkSettings, PlanError, Policy
from pytest_arena.policies.base import NoSettings
from tests.fakes import ScriptedEnv


class Trap(ScriptedEnv):
    """Does something to its own process at step ``at`` of episode ``episode`` (counted in this process)."""

    def __init__(self, trap: str, episode: int = 0, at: int = 1, once: str = "", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.once = once
        self.trap, self.at, self.in_episode, self.count = trap, at, episode, -1
        if trap == "build-hangs":
            signal.pause()

    def reset(self, **kwargs: Any) -> Any:
        self.count += 1
        return super().reset(**kwargs)

    def step(self, action: Any) -> Any:
        if self.count == self.in_episode and self.t + 1 == self.at:
            self.spring()
        observation, reward, terminated, truncated, info = super().step(action)
        if self.trap == "text-success" and self.count == self.in_episode:
            info = {"success": "False"}
        return observation, reward, terminated, truncated, info

    def spring(self) -> None:
        if self.once:
            if os.path.exists(self.once):
                return
            with open(self.once, "w"):
                pass
        if self.trap == "raise":
            raise RuntimeError("the simulator broke")
        if self.trap == "sys.exit":
            sys.exit(0)
        if self.trap == "exit":
            os._exit(0)
        if self.trap == "exit1":
            os._exit(1)
        if self.trap == "ctrl-c":  # a terminal sends it to all processes of its foreground group
            assert os.getsid(0) != int(os.environ["SESSION_OF_THE_TESTS"]), "would end the tests themselves"
            with open("setup-reported", "rb", buffering=0) as reported:
                reported.read(1)
            os.killpg(0, signal.SIGINT)
        if self.trap == "hang":
            signal.pause()
        while self.trap == "hang-swallows":
            with contextlib.suppress(Exception):
                time.sleep(60)
        if self.trap in ("skip", "xfail"):
            raise {"skip": pytest.skip, "xfail": pytest.xfail}[self.trap].Exception("not here")
        if self.trap == "SkipTest":
            raise unittest.SkipTest("not here")
        if self.trap == "fork-and-exit" and os.fork() == 0:
            sys.exit(0)
        if self.trap.startswith(("close", "fork")):
            return
        os.kill(os.getpid(), getattr(signal, self.trap))

    def close(self) -> None:
        if self.trap == "close-raises":
            raise RuntimeError("cannot close")
        if self.trap == "close-hangs":
            signal.pause()


class Endless(ScriptedEnv):
    """Never ends by itself, and never succeeds."""

    def step(self, action: Any) -> Any:
        observation, reward, _, _, _ = super().step(action)
        return observation, reward, False, False, {"success": False}


class Skilled(ScriptedEnv):
    """Succeeds if the first action of its last step exceeds the luck that the seed has drawn."""

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        self.luck = np.random.default_rng([seed or 0, 1]).random()
        return super().reset(seed=seed, options=options)

    def step(self, action: Any) -> Any:
        self.success = bool(self.luck < float(action[0]))
        return super().step(action)


class Moved(Skilled):
    """Begins elsewhere in a share *moved* of the episodes, and no policy succeeds there."""

    def __init__(self, moved: float = 0.0, **settings: Any) -> None:
        super().__init__(**settings)
        self.moved, self.elsewhere = moved, False

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        self.elsewhere = np.random.default_rng([seed or 0, 2]).random() < self.moved
        observation, info = super().reset(seed=seed, options=options)
        return (observation + 0.5 if self.elsewhere else observation), info

    def step(self, action: Any) -> Any:
        return super().step(action * 0 if self.elsewhere else action)


class Telling(ScriptedEnv):
    """Tells in its infos how far it is: ``covered`` at each step, ``done`` at the last; the reset tells 0.

    Its first rows would make the vector environment's array one of integers. With *silent*, episodes whose
    seed it divides tell nothing.
    """

    def __init__(self, silent: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.silent = silent

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        observation, _ = super().reset(seed=seed, options=options)
        self.tells = not (self.silent and (seed or 0) % self.silent == 0)
        return observation, {"covered": 0}

    def step(self, action: Any) -> Any:
        observation, reward, terminated, truncated, _ = super().step(action)
        share = self.t / 10
        told: dict[str, Any] = {"covered": int(share) if share == int(share) else share} if self.tells else {}
        if terminated or truncated:
            told["done"] = np.float32(self.length)
        return observation, reward, terminated, truncated, told


class Numbered(ScriptedEnv):
    """Has numbered initial states: state k lasts k % 4 + 2 steps, and succeeds where k is even."""

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        number = (options or {}).get("state", -1)
        self.script = {seed: (number % 4 + 2, number % 2 == 0)}
        observation, info = super().reset(seed=seed, options=options)
        return observation + np.array([0.0, 10.0 * number, 0.0]), info


gymnasium.register("arena/Telling-v0", Telling, max_episode_steps=50, disable_env_checker=True)
gymnasium.register("arena/Numbered-v0", Numbered, max_episode_steps=50, disable_env_checker=True)
gymnasium.register("arena/Moved-v0", Moved, max_episode_steps=50, disable_env_checker=True)


class Unruly(ScriptedEnv):
    """Does what no environment should, where *deed* says so."""

    def __init__(self, deed: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.deed, self.steps = deed, 0
        self.do("build")

    def do(self, where: str) -> None:
        """Do the deed if this is its place."""
        if self.deed == f"skip-{where}":
            pytest.skip("no GPU")
        if self.deed == f"exit-{where}":
            sys.exit(0)
        if self.deed == f"hang-{where}":
            signal.pause()
        if self.deed == f"forks-{where}":
            os.fork()

    def reset(self, **kwargs: Any) -> Any:
        self.do("reset")
        return super().reset(**kwargs)

    def step(self, action: Any) -> Any:
        self.steps += 1
        if self.steps == 2:
            self.misbehave()
        return super().step(action)

    def render(self) -> Any:
        self.do("render")
        return super().render()

    def misbehave(self) -> None:
        """In the middle of the first episode."""
        raised = {
            "xfail": pytest.xfail.Exception("known"),
            "SkipTest": unittest.SkipTest("later"),
            "pytest.exit": pytest.exit.Exception("bye", 0),
            "base": GeneratorExit(),
        }
        if self.deed in raised:
            raise raised[self.deed]
        if self.deed == "hang":
            signal.pause()
        if self.deed == "chdir":
            os.chdir("/")
        while self.deed == "swallows":
            with contextlib.suppress(Exception):
                time.sleep(60)
        if self.deed in ("forks", "forks-and-exits") and os.fork() == 0 and self.deed == "forks-and-exits":
            sys.exit(0)

    def close(self) -> None:
        if self.deed == "close-raises":
            raise RuntimeError("cannot close")
        if self.deed == "close-exits":
            sys.exit(0)
        if self.deed == "close-hangs":
            signal.pause()


class Breaking(ScriptedEnv):
    """Breaks in its third episode."""

    episodes = 0

    def reset(self, **kwargs: Any) -> Any:
        self.episodes += 1
        return super().reset(**kwargs)

    def step(self, action: Any) -> Any:
        if self.episodes == 3:
            raise RuntimeError("the simulator broke")
        return super().step(action)


class Unclosable:
    """A policy that cannot be closed."""

    def __init__(self, env: Any) -> None:
        self.env = env

    def act(self, observation: Any) -> Any:
        return np.zeros((self.env.num_envs, 2), np.float32)

    def close(self) -> None:
        raise RuntimeError("cannot close")


class Reviewing(Policy):
    """A policy that counts what it has seen."""

    Settings = NoSettings

    def __init__(self, settings: Any, env: Any) -> None:
        self.env = env

    def act(self, observation: Any) -> Any:
        return np.zeros((self.env.num_envs, 2), np.float32)

    def review(self, episodes: Any) -> list[str]:
        return [f"I saw {len([e for e in episodes if e.outcome != 'error'])} episodes"]


gymnasium.register("arena/Unruly-v0", Unruly, max_episode_steps=50, disable_env_checker=True)
gymnasium.register("arena/Breaking-v0", Breaking, max_episode_steps=50, disable_env_checker=True)
gymnasium.register("arena/Forever-v0", ScriptedEnv, disable_env_checker=True)
gymnasium.register("arena/Skilled-v0", Skilled, max_episode_steps=50, disable_env_checker=True)
gymnasium.register("arena/Scripted-v0", ScriptedEnv, max_episode_steps=50, disable_env_checker=True)
gymnasium.register("arena/Trap-v0", Trap, max_episode_steps=50, disable_env_checker=True)
gymnasium.register("arena/Endless-v0", Endless, max_episode_steps=100, disable_env_checker=True)
gymnasium.register("arena/Unlimited-v0", Endless, disable_env_checker=True)


class Nowhere:
    """A policy whose actions are not numbers from its third episode on."""

    def __init__(self, env: Any) -> None:
        self.env, self.episodes = env, 0

    def act(self, observation: Any) -> Any:
        return np.full((self.env.num_envs, 2), np.nan if self.episodes > 2 else 0.0, np.float32)

    def reset(self) -> None:
        self.episodes += 1


class Broken:
    """A policy that raises at its n-th action."""

    def __init__(self, env: Any, at: int = 3) -> None:
        self.env, self.at, self.count = env, at, 0

    def act(self, observation: Any) -> Any:
        self.count += 1
        if self.count == self.at:
            raise ValueError(f"the policy broke at action {self.at}")
        return np.zeros((self.env.num_envs, 2), np.float32)


class Recursive:
    """A policy whose identity contains itself."""

    def __init__(self, env: Any) -> None:
        self.env = env
        self.identity: dict[str, Any] = {}
        self.identity["me"] = self.identity

    def act(self, observation: Any) -> Any:
        return np.zeros((self.env.num_envs, 2), np.float32)


class SlowIdentity:
    """A policy that takes for ever to say what it is."""

    def __init__(self, env: Any) -> None:
        self.env = env

    @property
    def identity(self) -> dict[str, Any]:
        while True:
            with contextlib.suppress(Exception):
                time.sleep(1000)

    def act(self, observation: Any) -> Any:
        return np.zeros((self.env.num_envs, 2), np.float32)


class ForksAtReset:
    """A policy that forks when its rows begin an episode, and goes on in both processes."""

    def __init__(self, env: Any) -> None:
        self.env = env

    def act(self, observation: Any) -> Any:
        return np.zeros((self.env.num_envs, 2), np.float32)

    def reset(self, env_ids: Any = None) -> None:
        os.fork()


class Skill:
    """A policy for `Skilled`: succeeds in a share *level* of the episodes, always the same ones."""

    reproducible = True

    def __init__(self, env: Any, level: float) -> None:
        self.env, self.level = env, level

    def act(self, observation: Any) -> Any:
        return np.full((self.env.num_envs, 2), self.level, np.float32)


CHANCE = np.random.default_rng(int(seed) if (seed := os.environ.get("COIN_SEED")) else None)
"""One stream a process, so that a job that is drawn anew gets other numbers."""


class Coin:
    """A policy for `Skilled` with chance of its own: no episode can be played again."""

    reproducible = False

    def __init__(self, env: Any, level: float = 0.5, breaks: str = "") -> None:
        self.env, self.level, self.breaks = env, level, breaks

    def act(self, observation: Any) -> Any:
        if self.breaks and not os.path.exists(self.breaks):
            with open(self.breaks, "w"):
                raise ValueError("the policy broke, once")
        heads = CHANCE.random((self.env.num_envs, 1)) < self.level
        return np.tile(heads, 2).astype(np.float32)


class ArenaStyle:
    """A policy with the interface of IsaacLab-Arena's classes."""

    def __init__(self, gain: float = 0.0) -> None:
        self.gain, self.resets = gain, 0

    def get_action(self, env: Any, observation: Any) -> Any:
        return np.full((env.num_envs, 2), self.gain, np.float32)

    def reset(self, env_ids: Any = None) -> None:
        self.resets += 1

    def has_length(self) -> bool:
        return True

    def length(self) -> int:
        return 30

    def set_task_description(self, text: str | None) -> str:
        return text or ""


class Planner(ChunkedPolicy):
    """Plans 3 actions that tell the seed of their row's episode and their place in the plan.

    It fails in the ``fail_at``-th plan of episodes in ``failing``, with words as of a server.
    """

    class Settings(ChunkSettings):
        failing: tuple[int, ...] = Field(default=(), strict=False)
        fail_at: int = 2
        once: str = ""

    reproducible = True

    def __init__(self, settings: Any, env: Any) -> None:
        super().__init__(settings, env)
        self.settings, self.told, self.episodes = settings, {}, {}

    def set_episodes(self, env_ids: Any, episodes: Any) -> None:
        self.episodes.update(zip(env_ids.tolist(), episodes, strict=True))

    def forget(self, rows: Any, seeds: Any) -> None:
        self.told.update({row: (seed, 0) for row, seed in zip(rows.tolist(), seeds, strict=True)})

    def plan(self, rows: Any, inputs: Any) -> list[Any]:
        return [self._plan(row) for row in rows.tolist()]

    def _plan(self, row: int) -> Any:
        seed, number = self.told[row]
        self.told[row] = seed, number + 1
        if self.episodes[row] in self.settings.failing and number + 1 == self.settings.fail_at:
            mark = self.settings.once
            if not mark or not os.path.exists(f"{mark}{self.episodes[row]}"):
                if mark:
                    open(f"{mark}{self.episodes[row]}", "w").close()
                return PlanError("the server said: out of memory")
        return np.array([[seed % 997 / 1000, number / 100 + step / 1000] for step in range(3)])
