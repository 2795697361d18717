"""The grammar of policy files as JSON Schema (draft 2020-12): what editors check and offer."""

from __future__ import annotations

from typing import Any

from gateway.policy.document import PolicyDocument

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def json_schema() -> dict[str, Any]:
    """The schema of a policy file. A file that it refuses, the gateway refuses as well."""
    schema = _without_null(PolicyDocument.model_json_schema(mode="validation"))
    return {
        "$schema": DIALECT,
        **schema,
        "title": "Policy file of bedrock-gateway",
    }


def _without_null(part: Any) -> Any:
    """The schema without null: a key that has no value is an error in a policy file."""
    if isinstance(part, list):
        return [_without_null(item) for item in part]
    if not isinstance(part, dict):
        return part
    kept = {key: _without_null(value) for key, value in part.items()}
    if "default" in kept and kept["default"] is None:
        del kept["default"]
    choices = kept.get("anyOf")
    if isinstance(choices, list) and {"type": "null"} in choices:
        choices = [choice for choice in choices if choice != {"type": "null"}]
        kept["anyOf"] = choices
        if len(choices) == 1:
            del kept["anyOf"]
            kept = {**choices[0], **kept}
    return kept
