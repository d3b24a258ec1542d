from __future__ import annotations

from dataclasses import MISSING, dataclass, field, fields
from types import SimpleNamespace
from typing import Any

import yaml
from isaaclab.app import require_app

require_app(__name__)


def describe(name: str, settings: Any) -> Any:
    """Return the description of an environment; *settings* may be parsed arguments."""
    known = {"embodiment": "gr1_joint", "script": None, "broken_at": None, "recorders": True, "metrics": None}
    values = {key: getattr(settings, key, default) for key, default in known.items()}
    values["metrics"] = values["metrics"] or {}
    return SimpleNamespace(
        name=name, enable_cameras=bool(settings.enable_cameras), settings=settings, **values
    )


@dataclass
class Gr1OpenMicrowaveCfg:
    object: str = "mustard_bottle"
    embodiment: str = "gr1_pink"
    enable_cameras: bool = False


@dataclass
class MapleTableCfg:
    pick_up_object: str
    destination_location: str = "bowl"
    embodiment: str = "droid_abs_joint_pos"
    hdr: str | None = None
    additional_table_objects: tuple[str, ...] = ()
    enable_cameras: bool = False


@dataclass
class CountingCfg:
    """For tests: rows that end when and how *script* says, and that break."""

    script: list[Any] = field(default_factory=list)
    broken_at: int | None = None
    recorders: bool = True
    metrics: dict[str, Any] = field(default_factory=dict)
    enable_cameras: bool = False


CONFIGURATIONS = {
    "gr1_open_microwave": Gr1OpenMicrowaveCfg,
    "pick_and_place_maple_table": MapleTableCfg,
    "counting": CountingCfg,
}


class ExampleEnvironmentBase:
    """An environment of the style that has its own command-line arguments."""

    name: str

    @staticmethod
    def add_cli_args(parser: Any) -> None:
        raise NotImplementedError

    def get_env(self, args_cli: Any) -> Any:
        return describe(self.name, args_cli)


def factory(name: str, cfg_type: Any) -> Any:
    """Return a typed factory."""

    def build(self: Any, cfg: Any) -> Any:
        return describe(name, cfg)

    return type(f"{cfg_type.__name__}Environment", (), {"name": name, "build": build, "cfg_type": cfg_type})


def example(name: str, cfg_type: Any) -> Any:
    """Return the same environment as it was before there were typed configurations."""

    def add_cli_args(parser: Any) -> None:
        for one in fields(cfg_type):
            default = (
                one.default_factory() if one.default is MISSING and callable(one.default_factory) else None
            )
            if one.name in ("additional_table_objects", "script"):
                parser.add_argument(f"--{one.name}", nargs="*", type=yaml.safe_load, default=[])
            elif one.name != "enable_cameras":
                default = one.default if one.default is not MISSING else default
                parser.add_argument(f"--{one.name}", type=yaml.safe_load, default=default)

    members = {"name": name, "add_cli_args": staticmethod(add_cli_args)}
    return type(f"{cfg_type.__name__}Example", (ExampleEnvironmentBase,), members)
