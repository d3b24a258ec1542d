from __future__ import annotations

from typing import Any

from isaaclab.app import require_app

require_app(__name__)


class Registry:
    def __init_subclass__(cls) -> None:
        cls.components: dict[str, Any] = {}
        cls.configurations: dict[Any, Any] = {}

    def register(self, component: Any, key: str) -> None:
        assert key not in self.components, f"component {key} already registered"
        self.components[key] = component

    def is_registered(self, key: str, ensure_loaded: bool = True) -> bool:
        return key in self.get_all_keys()

    def get_component_by_name(self, key: str) -> Any:
        assert key in self.components, f"component {key} not found"
        return self.components[key]

    def get_all_keys(self) -> list[str]:
        return list(self.components)

    def _configuration(self, component: Any) -> Any:
        assert component in self.configurations, f"{component.__name__} must register a config"
        return self.configurations[component]


class PolicyRegistry(Registry):
    def get_all_keys(self) -> list[str]:
        import isaaclab_arena.policy  # noqa: F401

        return super().get_all_keys()

    def get_policy(self, name: str) -> Any:
        return self.get_component_by_name(name)

    def get_policy_cfg_type(self, policy_type: Any) -> Any:
        return self._configuration(policy_type)


class EnvironmentRegistry(Registry):
    def get_environment_cfg_type(self, factory_type: Any) -> Any:
        return self._configuration(factory_type)

    def get_factory_type_for_cfg(self, cfg: Any) -> Any:
        return next(factory for factory, kind in self.configurations.items() if kind is type(cfg))
