"""The JSON Schema of native job files, by which editors complete keys; run the module to write it anew."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pytest_arena.jobs.model import NAME_PATTERN, TAG_PATTERN, Job

SCHEMA_FILE = Path(__file__).with_name("job-file.schema.json")

_GROUPS = {
    "type": "object",
    "propertyNames": {"pattern": f"^{TAG_PATTERN}$"},
    "additionalProperties": {
        "type": "object",
        "minProperties": 1,
        "additionalProperties": {"type": "string"},
    },
}


def job_file_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a native job file.

    No key of a job is required, because the defaults may give it, and null, which removes a key, is
    allowed everywhere: the schema helps with typing, `load_jobs` validates.
    """
    job = Job.model_json_schema()
    del job["properties"]["name"]
    definitions: dict[str, Any] = {**job.pop("$defs"), "Job": job}
    for definition in definitions.values():
        _loosen(definition)
    reference = {"$ref": "#/$defs/Job"}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "pytest-arena job file",
        "description": "Robot-policy evaluations: every job is one test.",
        "type": "object",
        "properties": {
            "defaults": {
                "description": "merged under every job, key by key; lists replace, null removes",
                "anyOf": [reference, {"type": "null"}],
            },
            "groups": {
                "description": "tag -> thresholds on the mean over the jobs with this tag",
                "anyOf": [_GROUPS, {"type": "null"}],
            },
            "jobs": {
                "description": "job name -> job",
                "type": "object",
                "minProperties": 1,
                "propertyNames": {"pattern": f"^{NAME_PATTERN}$"},
                "additionalProperties": {"anyOf": [reference, {"type": "null"}]},
            },
        },
        "required": ["jobs"],
        "additionalProperties": False,
        "$defs": definitions,
    }


def schema_text() -> str:
    """Return the text of the shipped schema file."""
    return json.dumps(job_file_schema(), indent=2) + "\n"


def _loosen(definition: dict[str, Any]) -> None:
    """Allow null for every key of a model's schema and for every entry of its mappings."""
    definition.pop("required", None)
    properties = definition.get("properties", {})
    for name, schema in properties.items():
        schema.pop("title", None)
        if isinstance(schema.get("additionalProperties"), dict):
            schema["additionalProperties"] = _or_null(schema["additionalProperties"])
        about = {key: schema.pop(key) for key in ("description", "default") if key in schema}
        properties[name] = {**about, **_or_null(schema)}


def _or_null(schema: dict[str, Any]) -> dict[str, Any]:
    null = {"type": "null"}
    return schema if null in schema.get("anyOf", ()) else {"anyOf": [schema, null]}


if __name__ == "__main__":
    SCHEMA_FILE.write_text(schema_text(), encoding="utf-8")
