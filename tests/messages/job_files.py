"""Job files that must be refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from pytest_arena.jobs.loader import load_file

GOOD = "simulator: s, environment: {id: e}, policy: {type: p}, rollout: {episodes: 2}"
ARENA = '"arena_env_args":{"environment":"e"},"policy_type":"z"'
RUN = "environment: {type: e}, policy: {type: z}"


def native(more: str = "", good: str = GOOD) -> str:
    return f"jobs:\n  r: {{{good}{more}}}\n"


def named(name: str) -> str:
    return f"jobs:\n  {name}: {{{GOOD}}}\n"


def legacy(more: str = "", start: str = f'"name":"a",{ARENA}') -> str:
    return '{"jobs":[\n{' + start + more + "}]}"


def laughs() -> str:
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    lines += [f"{c}: &{c} [{', '.join(['*' + p] * 9)}]" for p, c in zip("abcdefgh", "bcdefghi", strict=True)]
    return "\n".join(lines)


YAML_SYNTAX = {
    "empty": "",
    "only-comments": "# nothing\n",
    "tab": "jobs:\n\tr: 1",
    "unclosed-list": "jobs: [1",
    "unclosed-quote": "jobs: 'x",
    "undefined-alias": "jobs: *x",
    "two-documents": "jobs: 1\n---\njobs: 2",
    "threshold-in-braces": "jobs:\n  r:\n    thresholds: {success_rate: >= 0.9}\n",
    "threshold-in-a-block": "jobs:\n  r:\n    thresholds:\n      success_rate: >= 0.9\n",
    "control-character": "jobs:\n  r: \x07",
    "python-tag": "jobs:\n  r: !!python/object/apply:os.system [ls]",
    "own-tag": "jobs: {r: !mine x}",
    "set-tag": "jobs: {r: !!set {a, b}}",
    "wrong-int-tag": "jobs: {r: !!int x}",
    "recursion": "jobs: &j\n  r: *j",
    "merge-of-itself": "jobs: &j\n  <<: *j",
    "merge-of-a-scalar": "jobs:\n  r:\n    <<: 3",
    "billion-laughs": laughs(),
    "deep-flow": "[" * 100_000,
    "deep-block": "- " * 50_000 + "x",
    "duplicate-job": "jobs:\n  r: {}\n  r: {}",
    "duplicate-key": "jobs: {r: {policy: {a: 1, a: 2}}}",
    "integer-key": "jobs:\n  1: {}",
    "boolean-key": "jobs:\n  on: {}",
    "null-key": "jobs:\n  ~: {}",
    "list-key": "jobs:\n  ? [a]\n  : {}",
}
VALUES = {
    "top-level-list": "- jobs",
    "top-level-scalar": "hello",
    "neither-jobs-nor-runs": "a: 1",
    "only-defaults": "defaults: {}",
    "misspelled-jobs": "job: {}",
    "jobs-and-runs": "jobs: {}\nruns: {}",
    "unknown-top-level": native() + "default: {}",
    "no-jobs": "jobs: {}",
    "null-jobs": "jobs:",
    "scalar-jobs": "jobs: 3",
    "scalar-job": "jobs:\n  r: 3",
    "list-defaults": "defaults: [1]\n" + native(),
    "empty-job": "jobs:\n  r: {}",
    "name-in-job": native(", name: x"),
    "unknown-key": native(", sucess: {}"),
    "unknown-key-with-null": native(", sucess: null"),
    "unknown-key-below": native(", rollout: {episode: 3}", GOOD.partition(", rollout")[0]),
    "far-from-any-key": native(", zzz: 1"),
    "text-for-integer": "jobs:\n  reach:\n    rollout:\n      episodes: ten\n    <<: {" + GOOD + "}\n",
    "both-limits": native().replace("2}", "2, steps: 3}"),
    "both-limits-by-defaults": "defaults: {rollout: {steps: 3}}\n" + native(),
    "neither-limit": native().replace("episodes: 2", ""),
    "zero-episodes": native().replace("episodes: 2", "episodes: 0"),
    "boolean-episodes": native().replace(": 2", ": yes"),
    "float-episodes": native().replace(": 2", ": 2.5"),
    "too-many-rebuilds": native().replace(": 2", ": 2, rebuilds: 3"),
    "wrong-steps": native().replace("episodes: 2", "steps: all"),
    "scalar-environment": native().replace("environment: {id: e}", "environment: e"),
    "null-id": native().replace("id: e", "id: null"),
    "empty-id": native().replace("id: e", "id: ''"),
    "camera-too-small": native().replace("id: e", "id: e, cameras: {c: {width: 1}}"),
    "huge-seed": native().replace("id: e", f"id: e, seed: {10**30}"),
    **{
        f"seeds-{name}": native().replace("id: e", f"id: e, seeds: {seeds}")
        for name, seeds in {
            "too-few": "[1]",
            "scalar": "3",
            "text": "[1, two]",
            "negative": "[1, -2]",
            "true": "[1, true]",
            "misspelled": "{strat: 3}",
            "empty": "{}",
            "beyond-the-last": f"{{start: {2**31 - 1}}}",
            "far-beyond": f"{{start: {2**31}}}",
        }.items()
    },
    **{
        f"only-{name}": native().replace("episodes: 2", f"episodes: 2, {keys}")
        for name, keys in {
            "out-of-range": "only: [0, 2]",
            "negative": "only: [-1]",
            "twice": "only: [1, 0, 1]",
            "empty": "only: []",
            "a-number": "only: 1",
            "text": "only: [first]",
            "true": "only: [true]",
            "beside-shards": "only: [1], shards: 2",
        }.items()
    },
    "only-beside-steps": native().replace("episodes: 2", "steps: 2, only: [1]"),
    "seeds-beside-steps": native().replace("id: e", "id: e, seeds: [1, 2]").replace("episodes", "steps"),
    "thousands-of-digits": native().replace("id: e", "id: e, seed: " + "9" * 5000),
    "nan": native().replace("type: p", "type: p, x: .nan"),
    "infinity": native().replace("type: p", "type: p, x: [-.inf]"),
    "empty-key": native().replace("type: p", "type: p, '': 1"),
    "number-threshold": native(", thresholds: {success_rate: 0.9}"),
    "nested-null": native(", tags: [null]"),
    "scalar-tags": native(", tags: smoke"),
    "hyphen-in-tag": native(", tags: [a, b-c]"),
    "misspelled-choice": native(", record: {video: retain-on-failur}"),
    "word-read-as-boolean": native(", language_instruction: no"),
    "two-success-sources": native(", success: {term: a, info_key: b}"),
    **{
        f"success-{name}": native(f", success: {{{text}}}")
        for name, text in {
            "reward-number": "reward: 4",
            "reward-word": "reward: high",
            "info-alone": "info: coverage",
            "bound-alone": "at_least: 0.5",
            "bounds-that-cross": "info: coverage, at_least: 2, at_most: 1",
            "misspelled-bound": "info: coverage, at_leas: 2",
            "reward-and-info": "reward: '>= 4', info: coverage, at_least: 1",
            "length-of-any-first-step": "length: '< 50'",
        }.items()
    },
    "metric-of-no-info": native(", metrics: {coverage: {reduce: max}}"),
    "metric-misspelled-reduce": native(", metrics: {coverage: {info: coverage, reduce: maxx}}"),
    "metric-unknown-key": native(", metrics: {coverage: {info: coverage, over_episode: max}}"),
    "metric-without-a-name": native(", metrics: {'': {info: coverage}}"),
    "metric-scalar": native(", metrics: {coverage: coverage}"),
    **{
        f"tag-{mark}": native(f", tags: [{mark}]")
        for mark in (
            *("skip", "skipif", "xfail", "parametrize", "usefixtures"),
            *("filterwarnings", "tryfirst", "trylast", "arena"),
        )
    },
}
NAMES = {
    "name-above": named("../x"),
    "name-absolute": named("/x"),
    "name-empty": named("''"),
    "name-dot": named("."),
    "name-dots": named(".."),
    "name-long": named("x" * 300),
    "name-slash": named("a/b"),
    "name-backslash": named("a\\b"),
    "name-drive": named("C:run"),
    "name-newline": named('"x\\n"'),
    "name-underscore": named("_x"),
}
JSON = {
    "json-empty": "{",
    "json-trailing-comma": '{"jobs": [\n1,\n]}',
    "json-missing-colon": '{"jobs" []}',
    "json-comment": '{"jobs": [] // no\n}',
    "json-duplicate-key": '{"jobs":\n{"a": {"x": 1, "x": 2}}}',
    "json-duplicate-key-without-lines": '{"jobs": {"a": {"x": 1, "x": "\\ud83d\\ude00"}}}',
    "json-nan": legacy(',"policy_config_dict":{"x":NaN}'),
    "json-overflow": legacy(',"policy_config_dict":{"x":1e999}'),
    "json-huge-integer": legacy(',"num_steps":' + "9" * 5000),
    "json-surrogate": legacy(',"variations":{"a":"\\ud800"}'),
    "json-deep": '{"jobs":' + "[" * 100_000,
    "json-deep-but-closed": '{"jobs":' + "[" * 100 + "]" * 100 + "}",
    "json-list": "[1]",
}
LEGACY = {
    "legacy-no-jobs": '{"jobs":[]}',
    "legacy-beside": '{"jobs":[],"shared":{}}',
    "legacy-scalar-job": '{"jobs":[3]}',
    "legacy-empty-job": '{"jobs":[{}]}',
    "legacy-unknown-key": legacy(',"num_step":1'),
    "legacy-unknown-null": legacy(',"num_step":null'),
    "legacy-both-limits": legacy(',"num_steps":1,"num_episodes":1'),
    "legacy-zero-envs": legacy(
        start='"name":"a","policy_type":"z","arena_env_args":{"environment":"e","num_envs":0}'
    ),
    "legacy-null-environment": legacy(
        start='"name":"a","policy_type":"z","arena_env_args":{"environment":null}'
    ),
    "legacy-list-of-arguments": legacy(start='"name":"a","policy_type":"z","arena_env_args":["e"]'),
    "legacy-zero-rebuilds": legacy(',"num_rebuilds":0'),
    "legacy-more-rebuilds-than-episodes": legacy(',"num_episodes":2,"num_rebuilds":3'),
    "legacy-both-settings": legacy(',"policy_args":{},"policy_config_dict":{}'),
    "legacy-type-in-settings": legacy(',"policy_config_dict":{"type":"x"}'),
    "legacy-status": legacy(',"status":"pendin"'),
    "legacy-list-status": legacy(',"status":[]'),
    "legacy-nothing-pending": legacy(',"status":"failed"'),
    "legacy-unsafe-name": legacy(start=f'"name":"../a",{ARENA}'),
    "legacy-integer-name": legacy(start=f'"name":3,{ARENA}'),
    "legacy-same-name-twice": '{"jobs":[{"name":"a",' + ARENA + '},\n{"name":"a",' + ARENA + "}]}",
    "legacy-list-of-variations": legacy(',"variations":[]'),
}
TYPED = {
    "typed-no-runs": "runs: {}",
    "typed-scalar-runs": "runs: 3",
    "typed-scalar-run": "runs:\n  a: 3",
    "typed-scalar-run-in-list": "runs: [3]",
    "typed-unknown-top": "share: {}\nruns: {a: {}}",
    "typed-unknown-key": "runs: {a: {polcy: {}}}",
    "typed-unknown-shared": "shared: {polcy: {}}\nruns: {a: {}}",
    "typed-list-shared": "shared: []\nruns: {a: {}}",
    "typed-empty-run": "runs: {a: {}}",
    "typed-name": "runs: {1a: {}}",
    "typed-name-dot": "runs: {a.b: {}}",
    "typed-no-name": f"runs: [{{{RUN}}}]",
    "typed-unsafe-name": f"runs: [{{name: ../a, {RUN}}}]",
    "typed-same-name-twice": f"runs:\n- {{name: a, {RUN}}}\n- {{name: a, {RUN}}}",
    "typed-id": "runs: {a: {environment: {type: e, id: e}, policy: {type: z}}}",
    "typed-unknown-limit": f"runs: {{a: {{{RUN}, rollout_limit: {{num_step: 3}}}}}}",
    "typed-both-limits": f"runs: {{a: {{{RUN}, rollout_limit: {{num_steps: 3, num_episodes: 3}}}}}}",
    "typed-text-seed": f"runs: {{a: {{{RUN}, environment_builder: {{seed: x}}}}}}",
    "typed-scalar-environment": "runs: {a: {environment: e, policy: {type: z}}}",
}


def gated(gate: Any, rollout: Any = None) -> str:
    job = {
        "simulator": "gymnasium",
        "environment": {"id": "CartPole-v1"},
        "policy": {"type": "zero"},
        "rollout": {"episodes": 20},
    }
    return yaml.safe_dump(
        {"defaults": job, "jobs": {"job": {"gate": gate, "rollout": rollout or {}}}}, sort_keys=False
    )


GATES = {
    "gate-no-episodes": gated({"episodes_max": 0}),
    "gate-text-for-episodes": gated({"episodes_max": "many"}),
    "gate-confidence-in-per-cent": gated({"confidence": 95}),
    "gate-beta-zero": gated({"beta": 0.0}),
    "gate-unknown-key": gated({"look_evry": 5}),
    "gate-inconclusive": gated({"inconclusive": "skip"}),
    "gate-method": gated({"method": "sprt"}),
    "gate-beside-steps": gated({"episodes_max": 50}, {"episodes": None, "steps": 9}),
    "gate-fewer-episodes-than-shards": gated({"episodes_max": 3}, {"shards": 4}),
    **{
        f"{key}-bare": "jobs:\n  reach:\n    simulator: gymnasium\n    environment: {id: CartPole-v1}\n"
        "    policy: {type: zero}\n    rollout: {episodes: 50}\n"
        f"    thresholds: {{success_rate: '>= 0.8'}}\n    {key}:\n"
        for key in ("gate", "regression")
    },
}


def grouped(groups: str) -> str:
    jobs = [
        f"  {name}: {{{GOOD}, tags: [{tags}]}}\n" for name, tags in (("reach", "easy, arm"), ("push", "easy"))
    ]
    return f"jobs:\n{''.join(jobs)}groups:\n  {groups}\n"


GROUPS = {
    "groups-list": grouped("- easy"),
    "groups-misspelled-tag": grouped("eazy: {return: '> 3'}"),
    "groups-number": grouped("easy: 3"),
    "groups-empty": grouped("easy: {}"),
    "groups-number-threshold": grouped("easy: {return: 3}"),
    "groups-null": grouped("easy: null"),
}


def arena(**changes: Any) -> str:
    job = {
        "name": "microwave",
        "arena_env_args": {"environment": "gr1_open_microwave", "num_envs": 3},
        "num_episodes": 4,
        "policy_type": "zero_action",
    }
    return json.dumps({"jobs": [{**job, **changes}]})


LEGACY |= {
    "legacy-arguments-as-texts": arena(arena_env_args=["gr1_open_microwave", "--num_envs", 3]),
    "legacy-text-for-a-number": arena(arena_env_args={"environment": "gr1_open_microwave", "num_envs": "3"}),
    "legacy-text-for-a-limit": arena(num_episodes="4"),
}
RECORDED = (
    "runs: {a: {environment: {type: table}, policy: {type: zero_action},"
    " recorded_variation_samples_paths: [r0.jsonl, r1.jsonl], num_rebuilds: 9}}"
)
"""Of the two files there is the first."""
TYPED |= {
    "typed-both-limits-by-shared": "shared: {rollout_limit: {num_steps: 50}}\nruns:\n  a:\n"
    "    environment: {type: e}\n    policy: {type: z}\n    rollout_limit: {num_episodes: 3}\n",
    "typed-recorded-variations-missing": RECORDED,
    "typed-recorded-variations-none": RECORDED.replace("[r0.jsonl, r1.jsonl]", "[]"),
    "typed-recorded-variations-text": RECORDED.replace("[r0.jsonl, r1.jsonl]", "r0.jsonl"),
    "typed-recorded-variations-beside-a-limit": RECORDED.replace(
        "num_rebuilds: 9", "rollout_limit: {num_steps: 4}"
    ),
}
NO_TEXT = {
    "bytes-latin-1": b"jobs:\n  \xff: 1",
    "bytes-utf-16": "jobs: {}".encode("utf-16"),
    "bytes-binary": b"\x7fELF\x02\x01\x00",
    "bytes-image": b"\x89PNG\r\n\x1a\n",
}
UNREADABLE = {
    "path-missing": "missing.yaml",
    "path-folder": "folder",
    "path-missing-folder": "folder/x/y.yaml",
    "path-loop": "loop",
    "path-null": "a\0b",
    "path-long": "x" * 300,
    "path-endless": "/dev/zero",
}


def load(content: bytes, name: str) -> None:
    Path("r0.jsonl").write_text("{}\n")
    Path(name).write_bytes(content)
    load_file(Path(name))


def open_only(path: str) -> None:
    Path("folder").mkdir()
    Path("loop").symlink_to("loop")
    load_file(Path(path))


TEXTS = {**YAML_SYNTAX, **VALUES, **NAMES, **JSON, **LEGACY, **TYPED, **GATES, **GROUPS}
MISTAKES: dict[str, Callable[[], object]] = {
    **{
        name: partial(
            load, text.encode(), "jobs.json" if name.startswith(("json-", "legacy-")) else "jobs.yaml"
        )
        for name, text in TEXTS.items()
    },
    **{name: partial(load, content, "jobs.yaml") for name, content in NO_TEXT.items()},
    **{name: partial(open_only, path) for name, path in UNREADABLE.items()},
}
