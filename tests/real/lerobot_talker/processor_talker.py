from __future__ import annotations

from typing import Any

from lerobot.policies.act.processor_act import make_act_pre_post_processors


def make_talker_pre_post_processors(config: Any, dataset_stats: Any = None) -> Any:
    return make_act_pre_post_processors(config, dataset_stats)
