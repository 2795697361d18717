"""The reads of Bedrock's control plane: foundation models and inference profiles."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs

from gateway.sandbox.bedrock.errors import SimulatedError
from gateway.sandbox.bedrock.models import (
    ACCOUNT,
    APPLICATION_PROFILES,
    REGION,
    SERVED,
    BodyForm,
    ServedModel,
)

_GEO_REGIONS = {
    "us": ("us-east-1", "us-east-2", "us-west-2"),
    "eu": ("eu-central-1", "eu-west-1"),
    "global": ("",),
}
_CREATED = "2025-01-01T00:00:00Z"
_LARGEST_PAGE = 1000


def foundation_models(query: str) -> dict[str, Any]:
    """The answer of ListFoundationModels."""
    asked = parse_qs(query)
    provider = asked.get("byProvider", [""])[0].lower()
    inference = asked.get("byInferenceType", [""])[0]
    output = asked.get("byOutputModality", [""])[0]
    summaries = [_foundation_model(model) for model in SERVED]
    return {
        "modelSummaries": [
            summary
            for summary in summaries
            if provider in ("", summary["providerName"].lower())
            and (not inference or inference in summary["inferenceTypesSupported"])
            and (not output or output in summary["outputModalities"])
        ]
    }


def foundation_model(text: str) -> dict[str, Any]:
    """The answer of GetFoundationModel, by id or ARN."""
    for model in SERVED:
        if text in (model.id, _model_arn(model, REGION)):
            return {"modelDetails": _foundation_model(model)}
    raise SimulatedError("ResourceNotFoundException", "Could not resolve the foundation model.")


def inference_profiles(query: str) -> dict[str, Any]:
    """The answer of ListInferenceProfiles, one page of it."""
    asked = parse_qs(query)
    kind = asked.get("type", [""])[0]
    found = [profile for profile in _profiles() if kind in ("", profile["type"])]
    try:
        size = int(asked.get("maxResults", [str(_LARGEST_PAGE)])[0])
        start = int(asked.get("nextToken", ["0"])[0])
    except ValueError:
        raise SimulatedError("ValidationException", "maxResults or nextToken is no good") from None
    if not 1 <= size <= _LARGEST_PAGE or not 0 <= start <= len(found):
        raise SimulatedError("ValidationException", "maxResults or nextToken is out of range")
    page: dict[str, Any] = {"inferenceProfileSummaries": found[start : start + size]}
    if start + size < len(found):
        page["nextToken"] = str(start + size)
    return page


def inference_profile(text: str) -> dict[str, Any]:
    """The answer of GetInferenceProfile, by id or ARN."""
    for profile in _profiles():
        if text in (profile["inferenceProfileId"], profile["inferenceProfileArn"]):
            return profile
    raise SimulatedError("ResourceNotFoundException", "Could not find the inference profile.")


def _profiles() -> list[dict[str, Any]]:
    profiles = [
        _profile(f"{prefix}.{model.id}", f"{prefix.upper()} {model.name}", model, prefix)
        for model in SERVED
        for prefix in model.profiles
    ]
    models = {model.id: model for model in SERVED}
    for key, (name, prefix, model_id) in APPLICATION_PROFILES.items():
        profile = _profile(key, name, models[model_id], prefix)
        arn = f"arn:aws:bedrock:{REGION}:{ACCOUNT}:application-inference-profile/{key}"
        profiles.append(profile | {"inferenceProfileArn": arn, "type": "APPLICATION"})
    return profiles


def _profile(key: str, name: str, model: ServedModel, prefix: str | None) -> dict[str, Any]:
    regions = (REGION,) if prefix is None else _GEO_REGIONS[prefix]
    return {
        "inferenceProfileName": name,
        "inferenceProfileArn": f"arn:aws:bedrock:{REGION}:{ACCOUNT}:inference-profile/{key}",
        "inferenceProfileId": key,
        "description": f"Routes requests to {model.name}.",
        "createdAt": _CREATED,
        "updatedAt": _CREATED,
        "models": [{"modelArn": _model_arn(model, region)} for region in regions],
        "status": "ACTIVE",
        "type": "SYSTEM_DEFINED",
    }


def _foundation_model(model: ServedModel) -> dict[str, Any]:
    embeds = model.form is BodyForm.TITAN_EMBED
    on_demand = [] if model.profile_only else ["ON_DEMAND"]
    return {
        "modelArn": _model_arn(model, REGION),
        "modelId": model.id,
        "modelName": model.name,
        "providerName": model.provider,
        "inputModalities": ["TEXT"],
        "outputModalities": ["EMBEDDING" if embeds else "TEXT"],
        "responseStreamingSupported": not embeds,
        "customizationsSupported": [],
        "inferenceTypesSupported": [*on_demand, *(["INFERENCE_PROFILE"] if model.profiles else [])],
        "modelLifecycle": {"status": "ACTIVE"},
    }


def _model_arn(model: ServedModel, region: str) -> str:
    return f"arn:aws:bedrock:{region}::foundation-model/{model.id}"
