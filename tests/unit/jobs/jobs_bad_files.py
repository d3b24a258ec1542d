"""Job files that must be refused: id -> (text, words that the message must hold, …)."""

from __future__ import annotations

GOOD = "simulator: s, environment: {id: e}, policy: {type: p}, rollout: {episodes: 2}"
ARENA = '"arena_env_args":{"environment":"e"},"policy_type":"z"'
RUN = "environment: {type: e}, policy: {type: z}"
NAME = "expected a name of 1 to 100 letters"
TAG = "expected a tag"


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
    "empty": ("", "jobs.yaml: expected jobs, the file is empty"),
    "only-comments": ("# nothing\n", "expected jobs, the file is empty"),
    "tab": ("jobs:\n\tr: 1", "jobs.yaml:2: not valid YAML", "indent with spaces"),
    "unclosed-list": ("jobs: [1", "not valid YAML"),
    "unclosed-quote": ("jobs: 'x", "not valid YAML"),
    "undefined-alias": ("jobs: *x", "jobs.yaml:1: not valid YAML: found undefined alias"),
    "two-documents": ("jobs: 1\n---\njobs: 2", "jobs.yaml:2: not valid YAML", "another document"),
    "threshold-in-braces": (
        "jobs:\n  r:\n    thresholds: {success_rate: >= 0.9}\n",
        "jobs.yaml:3: not valid YAML",
        'put a threshold in quotes, as in success_rate: ">= 0.9"',
    ),
    "threshold-in-a-block": (
        "jobs:\n  r:\n    thresholds:\n      success_rate: >= 0.9\n",
        "jobs.yaml:4: not valid YAML",
        "put a threshold in quotes",
    ),
    "control-character": ("jobs:\n  r: \x07", "jobs.yaml:2: not valid YAML: unacceptable character"),
    "python-tag": (
        "jobs:\n  r: !!python/object/apply:os.system [ls]",
        "jobs.yaml:2: jobs.r: expected plain data",
        "the YAML tag !!python/object/apply:os.system is not allowed",
    ),
    "own-tag": ("jobs: {r: !mine x}", "jobs.r: expected plain data, the YAML tag !mine is not allowed"),
    "set-tag": ("jobs: {r: !!set {a, b}}", "jobs.r: expected plain data, the YAML tag !!set"),
    "wrong-int-tag": ("jobs: {r: !!int x}", "jobs.r: expected !!int, got 'x'"),
    "recursion": ("jobs: &j\n  r: *j", "jobs.r: the alias refers to the value that it stands in"),
    "merge-of-itself": ("jobs: &j\n  <<: *j", "the alias refers to the value"),
    "merge-of-a-scalar": ("jobs:\n  r:\n    <<: 3", "jobs.yaml:3: jobs.r['<<']: expected a mapping"),
    "billion-laughs": (laughs(), "aliases repeat more than 1000000 values"),
    "deep-flow": ("[" * 100_000, "nested deeper than 64 levels"),
    "deep-block": ("- " * 50_000 + "x", "jobs.yaml:1: not valid YAML: nested deeper than 64 levels"),
    "duplicate-job": ("jobs:\n  r: {}\n  r: {}", "jobs.yaml:3: jobs.r: duplicate key"),
    "duplicate-key": ("jobs: {r: {policy: {a: 1, a: 2}}}", "jobs.r.policy.a: duplicate key"),
    "integer-key": ("jobs:\n  1: {}", "jobs.yaml:2: jobs: expected a text key, got '1' (put it in quotes)"),
    "boolean-key": ("jobs:\n  on: {}", "jobs: expected a text key, got 'on' (put it in quotes)"),
    "null-key": ("jobs:\n  ~: {}", "jobs: expected a text key, got '~'"),
    "list-key": ("jobs:\n  ? [a]\n  : {}", "jobs: expected a text key, got a list or mapping"),
}
VALUES = {
    "top-level-list": ("- jobs", "jobs.yaml:1: expected a mapping with the key jobs or runs, got a list"),
    "top-level-scalar": ("hello", "expected a mapping with the key jobs or runs, got 'hello'"),
    "neither-jobs-nor-runs": ("a: 1", "jobs.yaml:1: a: expected the key jobs or runs"),
    "only-defaults": ("defaults: {}", "expected the key jobs or runs"),
    "misspelled-jobs": ("job: {}", "job: expected the key jobs or runs (did you mean 'jobs'?)"),
    "jobs-and-runs": ("jobs: {}\nruns: {}", "jobs.yaml:2: runs: expected either jobs or runs, got both"),
    "unknown-top-level": (
        native() + "default: {}",
        "jobs.yaml:3: default: unknown key (did you mean 'defaults'?)",
    ),
    "no-jobs": ("jobs: {}", "jobs.yaml:1: jobs: expected at least one job, got an empty mapping"),
    "null-jobs": ("jobs:", "jobs: expected at least one job, got null"),
    "scalar-jobs": ("jobs: 3", "jobs: expected a mapping or a list of jobs, got 3"),
    "scalar-job": ("jobs:\n  r: 3", "jobs.yaml:2: jobs.r: expected a mapping, got 3"),
    "list-defaults": ("defaults: [1]\n" + native(), "jobs.yaml:1: defaults: expected a mapping, got a list"),
    "empty-job": (
        "jobs:\n  r: {}",
        "jobs.r.simulator: required, but missing",
        "3 more problems in this file",
    ),
    "name-in-job": (native(", name: x"), "jobs.r.name: unknown key; a job's name is its key"),
    "unknown-key": (
        native(", sucess: {}"),
        "jobs.yaml:2: jobs.r.sucess: unknown key (did you mean 'success'?)",
    ),
    "unknown-key-with-null": (
        native(", sucess: null"),
        "jobs.r.sucess: unknown key (did you mean 'success'?)",
    ),
    "unknown-key-below": (
        native(", rollout: {episode: 3}", GOOD.partition(", rollout")[0]),
        "jobs.r.rollout.episode: unknown key (did you mean 'episodes'?)",
    ),
    "far-from-any-key": (
        native(", zzz: 1"),
        "jobs.r.zzz: unknown key; known: environment, gate, language_instruction",
    ),
    "text-for-integer": (
        "jobs:\n  reach:\n    rollout:\n      episodes: ten\n    <<: {" + GOOD + "}\n",
        "jobs.yaml:4: jobs.reach.rollout.episodes: expected an integer, got 'ten'",
    ),
    "both-limits": (
        native().replace("2}", "2, steps: 3}"),
        "jobs.r.rollout: expected exactly one of",
        "got both",
    ),
    "both-limits-by-defaults": (
        "defaults: {rollout: {steps: 3}}\n" + native(),
        "(jobs.r.rollout.episodes and defaults.rollout.steps; null removes one)",
    ),
    "neither-limit": (
        native().replace("episodes: 2", ""),
        "jobs.r.rollout: expected exactly one of",
        "got neither",
    ),
    "zero-episodes": (
        native().replace("episodes: 2", "episodes: 0"),
        "rollout.episodes: expected at least 1, got 0",
    ),
    "boolean-episodes": (native().replace(": 2", ": yes"), "rollout.episodes: expected an integer, got true"),
    "float-episodes": (native().replace(": 2", ": 2.5"), "rollout.episodes: expected an integer, got 2.5"),
    "too-many-rebuilds": (
        native().replace(": 2", ": 2, rebuilds: 3"),
        "jobs.r.rollout: expected at least one episode",
    ),
    "wrong-steps": (
        native().replace("episodes: 2", "steps: all"),
        "jobs.r.rollout.steps: expected an integer or 'policy', got 'all'",
    ),
    "scalar-environment": (
        native().replace("environment: {id: e}", "environment: e"),
        "jobs.r.environment: expected a mapping, got 'e'",
    ),
    "null-id": (
        native().replace("id: e", "id: null"),
        "jobs.r.environment.id: required, but missing (environment id, as the simulator knows it)",
    ),
    "empty-id": (
        native().replace("id: e", "id: ''"),
        "environment.id: expected text of at least 1 characters, got ''",
    ),
    "camera-too-small": (
        native().replace("id: e", "id: e, cameras: {c: {width: 1}}"),
        "jobs.r.environment.cameras.c.width: expected at least 16, got 1",
    ),
    "huge-seed": (
        native().replace("id: e", f"id: e, seed: {10**30}"),
        "jobs.r.environment.seed: expected an integer of at most 64 bits",
    ),
    "thousands-of-digits": (
        native().replace("id: e", "id: e, seed: " + "9" * 5000),
        "jobs.r.environment.seed: expected a number, got one of 5000 characters",
    ),
    "nan": (
        native().replace("type: p", "type: p, x: .nan"),
        "jobs.r.policy.x: expected a finite number, got nan",
    ),
    "infinity": (
        native().replace("type: p", "type: p, x: [-.inf]"),
        "jobs.r.policy.x[0]: expected a finite number",
    ),
    "empty-key": (native().replace("type: p", "type: p, '': 1"), "jobs.r.policy['']: expected a key"),
    "number-threshold": (
        native(", thresholds: {success_rate: 0.9}"),
        'jobs.r.thresholds.success_rate: expected a string such as ">= 0.9", got 0.9',
    ),
    "nested-null": (native(", tags: [null]"), "jobs.r.tags[0]: expected text, got null"),
    "scalar-tags": (native(", tags: smoke"), "jobs.r.tags: expected a list, got 'smoke'"),
    "hyphen-in-tag": (native(", tags: [a, b-c]"), f"jobs.r.tags[1]: {TAG}", "got 'b-c'"),
    "misspelled-choice": (
        native(", record: {video: retain-on-failur}"),
        "jobs.r.record.video: expected 'off', 'on' or 'retain-on-failure', got 'retain-on-failur'",
        "did you mean 'retain-on-failure'?",
    ),
    "word-read-as-boolean": (
        native(", language_instruction: no"),
        "jobs.r.language_instruction: expected text, got false (YAML reads yes, no, on and off",
    ),
    "two-success-sources": (
        native(", success: {term: a, info_key: b}"),
        "jobs.r.success: expected at most one of term, info_key and callable, got term, info_key",
    ),
    **{
        f"tag-{mark}": (native(f", tags: [{mark}]"), f"jobs.r.tags[0]: {TAG} of your own, '{mark}'")
        for mark in (
            *("skip", "skipif", "xfail", "parametrize", "usefixtures"),
            *("filterwarnings", "tryfirst", "trylast", "arena"),
        )
    },
}
NAMES = {
    "name-above": (named("../x"), "jobs.yaml:2: jobs['../x']: " + NAME, "got '../x'"),
    "name-absolute": (named("/x"), f"jobs['/x']: {NAME}"),
    "name-empty": (named("''"), "jobs['']: expected a key of one or more characters"),
    "name-dot": (named("."), f"jobs['.']: {NAME}"),
    "name-dots": (named(".."), f"jobs['..']: {NAME}"),
    "name-long": (named("x" * 300), f"…']: {NAME}"),
    "name-slash": (named("a/b"), f"jobs['a/b']: {NAME}"),
    "name-backslash": (named("a\\b"), rf"jobs['a\\b']: {NAME}"),
    "name-drive": (named("C:run"), f"jobs['C:run']: {NAME}"),
    "name-newline": (named('"x\\n"'), rf"jobs['x\n']: {NAME}"),
    "name-underscore": (named("_x"), f"jobs._x: {NAME}"),
}
JSON = {
    "json-empty": ("{", "jobs.json:1: not valid JSON: expecting property name"),
    "json-trailing-comma": (
        '{"jobs": [\n1,\n]}',
        "jobs.json:2: not valid JSON: a comma before the closing ]",
    ),
    "json-missing-colon": ('{"jobs" []}', "jobs.json:1: not valid JSON: expecting ':' delimiter"),
    "json-comment": ('{"jobs": [] // no\n}', "jobs.json:1: not valid JSON"),
    "json-duplicate-key": ('{"jobs":\n{"a": {"x": 1, "x": 2}}}', "jobs.json:2: jobs.a.x: duplicate key"),
    "json-duplicate-key-without-lines": (
        '{"jobs": {"a": {"x": 1, "x": "\\ud83d\\ude00"}}}',
        "jobs.json: x: duplicate key",
    ),
    "json-nan": (
        legacy(',"policy_config_dict":{"x":NaN}'),
        "policy_config_dict.x: expected a finite number, got nan",
    ),
    "json-overflow": (legacy(',"policy_config_dict":{"x":1e999}'), "expected a finite number, got inf"),
    "json-huge-integer": (
        legacy(',"num_steps":' + "9" * 5000),
        "jobs[0].num_steps: expected an integer of at most",
    ),
    "json-surrogate": (
        legacy(',"variations":{"a":"\\ud800"}'),
        "jobs[0].variations.a: expected text without lone",
    ),
    "json-deep": ('{"jobs":' + "[" * 100_000, "jobs.json: not valid JSON: nested too deeply"),
    "json-deep-but-closed": ('{"jobs":' + "[" * 100 + "]" * 100 + "}", "nested deeper than 64 levels"),
    "json-list": ("[1]", "jobs.json:1: expected a mapping with the key jobs or runs, got a list"),
}
LEGACY = {
    "legacy-no-jobs": ('{"jobs":[]}', "jobs.json:1: jobs: expected at least one job"),
    "legacy-beside": ('{"jobs":[],"shared":{}}', "shared: unknown key; nothing stands beside a list of jobs"),
    "legacy-scalar-job": ('{"jobs":[3]}', "jobs[0]: expected a mapping, got 3"),
    "legacy-empty-job": (
        '{"jobs":[{}]}',
        "jobs[0].name: required, but missing; 2 more problems in this file",
    ),
    "legacy-unknown-key": (
        legacy(',"num_step":1'),
        "jobs.json:2: jobs[0].num_step: unknown key (did you mean",
    ),
    "legacy-unknown-null": (legacy(',"num_step":null'), "jobs[0].num_step: unknown key"),
    "legacy-both-limits": (
        legacy(',"num_steps":1,"num_episodes":1'),
        "jobs[0].num_episodes: expected at most one",
    ),
    "legacy-zero-envs": (
        legacy(start='"name":"a","policy_type":"z","arena_env_args":{"environment":"e","num_envs":0}'),
        "jobs[0].arena_env_args.num_envs: expected at least 1, got 0",
    ),
    "legacy-null-environment": (
        legacy(start='"name":"a","policy_type":"z","arena_env_args":{"environment":null}'),
        "jobs[0].arena_env_args.environment: required, but missing",
    ),
    "legacy-list-of-arguments": (
        legacy(start='"name":"a","policy_type":"z","arena_env_args":["e"]'),
        "jobs[0].arena_env_args: expected a mapping, got a list",
    ),
    "legacy-zero-rebuilds": (legacy(',"num_rebuilds":0'), "jobs[0].num_rebuilds: expected at least 1, got 0"),
    "legacy-more-rebuilds-than-episodes": (
        legacy(',"num_episodes":2,"num_rebuilds":3'),
        "jobs[0].num_episodes: expected at least one episode a rebuild",
    ),
    "legacy-both-settings": (
        legacy(',"policy_args":{},"policy_config_dict":{}'),
        "jobs[0].policy_args: the old name of policy_config_dict, expected only one of them",
    ),
    "legacy-type-in-settings": (
        legacy(',"policy_config_dict":{"type":"x"}'),
        "jobs[0].policy_config_dict.type: unknown key",
    ),
    "legacy-status": (
        legacy(',"status":"pendin"'),
        "jobs[0].status: expected one of pending, running, completed, failed, got 'pendin' (did you mean",
    ),
    "legacy-list-status": (legacy(',"status":[]'), "jobs[0].status: expected one of pending"),
    "legacy-nothing-pending": (
        legacy(',"status":"failed"'),
        "jobs: expected a job that is pending, got none",
    ),
    "legacy-unsafe-name": (legacy(start=f'"name":"../a",{ARENA}'), f"jobs[0].name: {NAME}"),
    "legacy-integer-name": (legacy(start=f'"name":3,{ARENA}'), "jobs[0].name: expected text, got 3"),
    "legacy-same-name-twice": (
        '{"jobs":[{"name":"a",' + ARENA + '},\n{"name":"a",' + ARENA + "}]}",
        "jobs.json:2: jobs[1].name: expected a unique name, 'a' is already used",
    ),
    "legacy-list-of-variations": (legacy(',"variations":[]'), "jobs[0].variations: expected a mapping"),
}
TYPED = {
    "typed-no-runs": ("runs: {}", "jobs.yaml:1: runs: expected at least one run, got an empty mapping"),
    "typed-scalar-runs": ("runs: 3", "runs: expected at least one run, got 3"),
    "typed-scalar-run": ("runs:\n  a: 3", "jobs.yaml:2: runs.a: expected a mapping, got 3"),
    "typed-scalar-run-in-list": ("runs: [3]", "runs[0]: expected a mapping, got 3"),
    "typed-unknown-top": ("share: {}\nruns: {a: {}}", "share: unknown key (did you mean 'shared'?)"),
    "typed-unknown-key": ("runs: {a: {polcy: {}}}", "runs.a.polcy: unknown key (did you mean 'policy'?)"),
    "typed-unknown-shared": (
        "shared: {polcy: {}}\nruns: {a: {}}",
        "jobs.yaml:1: shared.polcy: unknown key (did you mean 'policy'?)",
    ),
    "typed-list-shared": ("shared: []\nruns: {a: {}}", "shared: expected a mapping, got an empty list"),
    "typed-empty-run": ("runs: {a: {}}", "runs.a.environment.type: required, but missing"),
    "typed-name": ("runs: {1a: {}}", "runs.1a: expected a run's name to be a letter"),
    "typed-name-dot": ("runs: {a.b: {}}", "runs['a.b']: expected a run's name to be a letter"),
    "typed-no-name": (f"runs: [{{{RUN}}}]", "runs[0].name: required, but missing"),
    "typed-unsafe-name": (f"runs: [{{name: ../a, {RUN}}}]", f"runs[0].name: {NAME}"),
    "typed-same-name-twice": (
        f"runs:\n- {{name: a, {RUN}}}\n- {{name: a, {RUN}}}",
        "jobs.yaml:3: runs[1].name: expected a unique name",
    ),
    "typed-id": (
        "runs: {a: {environment: {type: e, id: e}, policy: {type: z}}}",
        "runs.a.environment.id: unknown key; the environment's name stands under type",
    ),
    "typed-unknown-limit": (
        f"runs: {{a: {{{RUN}, rollout_limit: {{num_step: 3}}}}}}",
        "runs.a.rollout_limit.num_step: unknown key (did you mean 'num_steps'?)",
    ),
    "typed-both-limits": (
        f"runs: {{a: {{{RUN}, rollout_limit: {{num_steps: 3, num_episodes: 3}}}}}}",
        "runs.a.rollout_limit: expected at most one of num_steps and num_episodes, got both",
    ),
    "typed-text-seed": (
        f"runs: {{a: {{{RUN}, environment_builder: {{seed: x}}}}}}",
        "runs.a.environment_builder.seed: expected an integer, got 'x'",
    ),
    "typed-scalar-environment": (
        "runs: {a: {environment: e, policy: {type: z}}}",
        "runs.a.environment: expected a mapping, got 'e'",
    ),
}
CASES = {**YAML_SYNTAX, **VALUES, **NAMES, **JSON, **LEGACY, **TYPED}
