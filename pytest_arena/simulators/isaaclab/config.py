"""From a job to Isaac Lab's configuration object: find it, and set in it what the job says.

Imports Isaac Lab, so it is used only once an app runs, or where none is needed.
"""

from __future__ import annotations

import contextlib
import copy
import importlib
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pytest_arena.errors import EvaluationError, did_you_mean, not_among
from pytest_arena.jobs.model import Job
from pytest_arena.jobs.user_modules import import_named, named
from pytest_arena.records.temporary_folders import PREFIX, remove_scratch, scratch_folder
from pytest_arena.simulators.cfg_overrides import override, set_given
from pytest_arena.simulators.devices import FIRST, assigned_device, torch_device
from pytest_arena.simulators.isaaclab.app import kit_possible
from pytest_arena.simulators.tensor_env import SEEDS


def load_configuration(
    job: Job, packages: Iterable[str], entry_point: str | None, presets: Sequence[str] = ()
) -> tuple[Any, str | None, Any]:
    """Return the configuration that the job names, and the gymnasium id or the class of its environment.

    Args:
        job: Its ``environment.id`` is a gymnasium id, with or without the module that registers it, or
            ``module:Class`` of a configuration.
        packages: Modules that are imported first, to register environments.
        entry_point: ``module:Class`` of the environment, for a configuration that is named by its class;
            None: a manager-based one.
        presets: Where the configuration has presets to choose from, as those of Isaac Lab 3 have, each place
            takes the one of these names that it knows, or else its default.

    Returns:
        (configuration, gymnasium id, environment class): one of the last two is None.

    Raises:
        EvaluationError: A module, an environment, a class or a preset of such a name is not there, or is
            not of the kind that is needed.
    """
    for package in packages:
        import_named(package, "environment.options.task_package")
    text = job.environment.id
    module, _, name = text.rpartition(":")
    held = import_named(module, "environment.id") if module else None
    found = getattr(held, name, None)
    if isinstance(found, type):
        configuration = _resolved(found(), presets)
        return configuration, None, _environment_class(type(configuration), entry_point)
    return _registered(name, dir(held) if module else (), presets), name, None


def _resolved(configuration: Any, presets: Sequence[str]) -> Any:
    hydra = sys.modules.get("isaaclab_tasks.utils.hydra")  # whoever has presets in a configuration imports it
    if not hasattr(hydra, "collect_presets"):  # before 3.0 there are none
        hydra = None
    known: set[str] = set()
    if hydra is not None:
        held = hydra.collect_presets(configuration)
        known = {name for choices in held.values() for name in choices}
    for name in presets:
        if name not in known:
            raise EvaluationError(
                f"environment.options.presets: the configuration has no preset {name!r}"
                f"{not_among(name, sorted(known))}"
            )
    return configuration if hydra is None else hydra.resolve_presets(configuration, tuple(presets))


def _registered(name: str, others: Sequence[str], presets: Sequence[str]) -> Any:
    """Return the configuration of a registered environment; one of the *others* might have been meant."""
    import gymnasium

    if name not in gymnasium.registry and importlib.util.find_spec("isaaclab_tasks") is not None:
        importlib.import_module("isaaclab_tasks")
    if name not in gymnasium.registry:
        raise EvaluationError(
            f"environment.id: no environment {name!r} is registered"
            f"{did_you_mean(name, [*gymnasium.registry, *others])}; environment.options.task_package names "
            "the modules that register environments"
        )
    entry = gymnasium.registry[name].kwargs.get("env_cfg_entry_point")
    if entry is None:
        raise EvaluationError(f"environment.id: {name!r} is registered without env_cfg_entry_point")
    if isinstance(entry, str) and entry.startswith("isaaclab_tasks."):
        # Isaac Lab's own parser does more to the tasks that ship with it.
        from isaaclab_tasks.utils import parse_env_cfg

        if not presets:
            return parse_env_cfg(name)
        try:
            return parse_env_cfg(name, overrides=[f"presets={','.join(presets)}"])
        except (ValueError, TypeError) as error:  # those that there are; or, before 3.0, that there are none
            raise EvaluationError(f"environment.options.presets: {' '.join(str(error).split())}") from None
    if isinstance(entry, str):
        module, _, attribute = entry.partition(":")
        entry = getattr(import_named(module, "env_cfg_entry_point"), attribute)
    # What is registered is other jobs', too.
    return _resolved(entry() if callable(entry) else copy.deepcopy(entry), presets)


def _environment_class(configuration: type, entry_point: str | None) -> Any:
    if entry_point is not None:
        key = "environment.options.entry_point"
        found = named(entry_point, key)
        if not isinstance(found, type):
            raise EvaluationError(f"{key}: expected module:Class of an environment, got {entry_point!r}")
        return found
    from isaaclab.envs import ManagerBasedRLEnv, ManagerBasedRLEnvCfg

    if issubclass(configuration, ManagerBasedRLEnvCfg):
        return ManagerBasedRLEnv
    raise EvaluationError(
        f"environment.id: {configuration.__name__} is no configuration of a manager-based environment: name "
        "the environment's class in environment.options.entry_point, as module:Class"
    )


def configure(
    configuration: Any, job: Job, overrides: Mapping[str, Any], *, final_observation: bool, cameras: bool
) -> None:
    """Set in *configuration* what the job says: first values, then what the job has keys of its own for.

    Args:
        configuration: Isaac Lab's configuration of the environment. It is changed in place.
        job: What is evaluated; its ``environment`` section is set.
        overrides: Values by nested or dotted keys: ``environment.options.overrides``.
        final_observation: Whether terminal observations are computed, where the version can do that.
        cameras: Whether any are on.

    Raises:
        EvaluationError: The configuration has no such key, or a value is a text in place of a number.
    """
    environment = job.environment
    override(configuration, environment.variations, "environment.variations")
    override(configuration, overrides, "environment.options.overrides")
    configuration.seed = environment.seed % SEEDS
    configuration.scene.num_envs = environment.num_envs
    configuration.sim.device = device_of(job)
    set_horizon(configuration, environment.max_episode_steps)
    if final_observation and hasattr(configuration, "compute_final_obs"):
        configuration.compute_final_obs = True
    for name, camera in environment.cameras.items():
        if (sensor := getattr(configuration.scene, name, None)) is not None:
            set_given(sensor, camera)
    if cameras:
        rerender_on_reset(configuration)
    redirect_dataset(configuration, wanted=job.record.trajectory)


def set_horizon(configuration: Any, steps: int | None) -> None:
    """End episodes after *steps* steps; None: when the configuration says so."""
    if steps is not None:
        step = configuration.sim.dt * configuration.decimation
        configuration.episode_length_s = (steps - 0.5) * step  # it is rounded up


def device_of(job: Job) -> str:
    """Return the job's device: its own, the worker's GPU if no mask hides the others, the first, the CPU."""
    wanted = job.environment.device
    assigned = assigned_device() if kit_possible() and wanted in FIRST else None
    return assigned or torch_device(wanted)


def rerender_on_reset(configuration: Any) -> None:
    """Isaac Sim's renderer shows the old episode after a reset until it has rendered once more."""
    if getattr(configuration, "num_rerenders_on_reset", None) == 0:
        configuration.num_rerenders_on_reset = 1


def redirect_dataset(configuration: Any, *, wanted: bool) -> None:
    """Keep Isaac Lab's recorder from writing to the file that all processes of the machine share by default.

    Its file is made when the environment is; the one that is *wanted* is opened when the rollout begins.
    """
    recorders = getattr(configuration, "recorders", None)
    if recorders is None:
        return
    if wanted and type(recorders).__name__ == "RecorderManagerBaseCfg":  # it records nothing
        from isaaclab.envs.mdp.recorders.recorders_cfg import ActionStateRecorderManagerCfg

        recorders = configuration.recorders = ActionStateRecorderManagerCfg()
    # EXPORT_ALL, when an episode ends, or EXPORT_NONE: the record says which episode is which.
    recorders.dataset_export_mode = type(recorders.dataset_export_mode)(1 if wanted else 0)
    recorders.export_in_record_pre_reset = True
    recorders.dataset_export_dir_path = str(scratch_folder())


@contextlib.contextmanager
def kept_if_built(configuration: Any) -> Iterator[Path | None]:
    """Give the folder that `redirect_dataset` made; it goes if the environment cannot be built inside."""
    scratch = scratch_of(configuration)
    try:
        yield scratch
    except BaseException:
        if scratch is not None:
            remove_scratch(scratch)
        raise


def scratch_of(configuration: Any) -> Path | None:
    """Return the folder that `redirect_dataset` made."""
    recorders = getattr(configuration, "recorders", None)
    path = getattr(recorders, "dataset_export_dir_path", None)
    return Path(path) if path is not None and Path(path).name.startswith(PREFIX) else None
