"""IsaacLab-Arena's legacy format: ``{"jobs": [job, …]}``, in JSON or YAML."""

from __future__ import annotations

from typing import Any

from pytest_arena.errors import did_you_mean, shown
from pytest_arena.jobs.isaaclab_arena_keys import check_limit, check_mappings, check_unique, native_keys
from pytest_arena.jobs.messages import KeyPath
from pytest_arena.jobs.raw_job import RawJob, Section, locator, merge

_STATUSES = ("pending", "running", "completed", "failed")
_REQUIRED = ("name", "arena_env_args", "policy_type")
_SETTINGS = ("policy_config_dict", "policy_args")
_LIMITS = ("num_steps", "num_episodes")
_KEYS = (*_REQUIRED, *_SETTINGS, *_LIMITS, "num_rebuilds", "language_instruction", "variations", "status")

# The typed format has these under environment_builder. Further settings of the builder stay among the
# environment's arguments, and the installed Arena sorts them out.
_BUILDER = (
    "num_envs",
    "seed",
    "device",
    "env_spacing",
    "placement_seed",
    "solve_relations",
    "resolve_on_reset",
    "disable_fabric",
    "mimic",
    "presets",
)

_PLACES: dict[KeyPath, KeyPath] = {
    ("simulator",): (),
    ("environment",): ("arena_env_args",),
    ("environment", "id"): ("arena_env_args", "environment"),
    ("environment", "variations"): ("variations",),
    ("environment", "options"): ("arena_env_args",),
    ("environment", "options", "args"): ("arena_env_args",),
    ("environment", "options", "builder"): ("arena_env_args",),
    ("policy",): ("policy_config_dict",),
    ("policy", "type"): ("policy_type",),
    ("rollout",): ("num_episodes",),
    ("rollout", "episodes"): ("num_episodes",),
    ("rollout", "steps"): ("num_steps",),
    ("rollout", "rebuilds"): ("num_rebuilds",),
}
_OLD_PLACES = {**_PLACES, ("policy",): ("policy_args",)}


def read_arena_json(top: Section) -> list[RawJob]:
    """Return the pending jobs of a legacy file; what is wrong with its shape is noted at *top*."""
    for key in top.document.data:
        if key != "jobs":
            top.below(key).wrong("unknown key; nothing stands beside a list of jobs")
    items: list[Any] = top.document.data["jobs"]
    raw = []
    names: list[tuple[Section, Any]] = []
    for index, item in enumerate(items):
        section = top.below("jobs", index)
        if not isinstance(item, dict):
            section.wrong(f"expected a mapping, got {shown(item)}")
            continue
        job = merge({}, item)  # drops nulls, which Arena does not pass on either
        names.append((section.below("name"), job.get("name")))
        if _is_pending(section.below("status"), job) and _is_sound(section, item, job):
            raw.append(_translated(section, job))
    check_unique(names)
    if not raw and not top.problems:
        expected = "expected a job that is pending, got none" if items else "expected at least one job"
        top.below("jobs").wrong(expected)
    return raw


def _is_pending(section: Section, job: dict[str, Any]) -> bool:
    status = job.get("status", "pending")
    if status not in _STATUSES:
        near = did_you_mean(status, _STATUSES) if isinstance(status, str) else ""
        section.wrong(f"expected one of {', '.join(_STATUSES)}, got {shown(status)}{near}")
    return bool(status == "pending")


def _is_sound(section: Section, written: dict[str, Any], job: dict[str, Any]) -> bool:
    """Whether *job* has the shape that translating needs; the values are the model's to judge."""
    before = len(section.problems)
    section.refuse_unknown(written, _KEYS)
    for key in _REQUIRED:
        if key not in job:
            section.below(key).wrong("required, but missing")
    check_mappings(section, job, ("arena_env_args", *_SETTINGS, "variations"))
    if all(key in job for key in _SETTINGS):
        section.below("policy_args").wrong("the old name of policy_config_dict, expected only one of them")
    for key in _SETTINGS:
        if isinstance(job.get(key), dict) and "type" in job[key]:
            section.below(key, "type").wrong("unknown key; the policy's type stands under policy_type")
    check_limit(section.below("num_episodes"), _limit(job))
    return len(section.problems) == before


def _limit(job: dict[str, Any]) -> dict[str, Any]:
    return {key: job[key] for key in _LIMITS if key in job}


def _translated(section: Section, job: dict[str, Any]) -> RawJob:
    arguments = job["arena_env_args"]
    environment = {key: value for key, value in arguments.items() if key not in ("environment", *_BUILDER)}
    if "environment" in arguments:
        environment["id"] = arguments["environment"]
    settings = job.get("policy_config_dict", job.get("policy_args", {}))
    data = native_keys(
        environment=environment,
        builder={key: arguments[key] for key in _BUILDER if key in arguments},
        policy={"type": job["policy_type"], **settings},
        limit=_limit(job),
        run=job,
    )
    places = _OLD_PLACES if "policy_args" in job else _PLACES
    return RawJob(job["name"], data, locator(section.document, (section.key,), places))
