from __future__ import annotations

from typing import Any, ClassVar

from isaaclab.app import require_app

require_app(__name__)


class PolicyRegistry:
    _components: ClassVar[dict[str, Any]] = {}

    def get_all_keys(self) -> list[str]:
        import isaaclab_arena.policy  # noqa: F401

        return list(self._components)

    def get_policy(self, name: str) -> Any:
        return self._components[name]
