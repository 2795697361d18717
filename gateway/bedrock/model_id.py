"""What a model id or ARN names, and how it is written into a path.

Source: botocore bedrock-runtime model, shapes `ConversationalModelId` and `InvokedModelId`.
"""

from __future__ import annotations

import re
from urllib.parse import quote

from gateway.domain.call import Operation
from gateway.domain.errors import GatewayError
from gateway.domain.ids import ModelId
from gateway.domain.model import ModelReference, ReferenceKind
from gateway.domain.reason import Reason

_MAX_CHARACTERS = 2048
_PLAIN_ID = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._:-]*[A-Za-z0-9])?").fullmatch
# Two letters cover the geographies AWS has named and those it will; no provider has such a name.
_GEO_PREFIX = re.compile(r"(global|apac|[a-z]{2}(?:-gov|-iso[a-z]*)?)\.(.+\..+)").fullmatch
_ARN = re.compile(
    r"arn:aws(?:-[a-z0-9-]+)?:(?P<service>bedrock|sagemaker):(?P<region>[a-z0-9-]{0,20})"
    r":(?P<account>[0-9]{12}|):(?P<type>[a-z-]+)/(?P<id>.+)"
).fullmatch

_PATHS = {
    Operation.CONVERSE: "/model/{}/converse",
    Operation.CONVERSE_STREAM: "/model/{}/converse-stream",
    Operation.INVOKE_MODEL: "/model/{}/invoke",
    Operation.INVOKE_MODEL_STREAM: "/model/{}/invoke-with-response-stream",
    Operation.COUNT_TOKENS: "/model/{}/count-tokens",
    Operation.LIST_INFERENCE_PROFILES: "/inference-profiles",
    Operation.GET_INFERENCE_PROFILE: "/inference-profiles/{}",
    Operation.LIST_FOUNDATION_MODELS: "/foundation-models",
    Operation.GET_FOUNDATION_MODEL: "/foundation-models/{}",
}
_PROFILE_ID = r"[A-Za-z0-9:.-]+"
_SHORT_ID = r"[a-z0-9]{12}"
_SHAPES = {
    "foundation-model": (ReferenceKind.FOUNDATION_MODEL, r"[A-Za-z0-9-]+\.[A-Za-z0-9.:-]+"),
    "inference-profile": (ReferenceKind.SYSTEM_PROFILE, _PROFILE_ID),
    "application-inference-profile": (ReferenceKind.APPLICATION_PROFILE, _PROFILE_ID),
    "provisioned-model": (ReferenceKind.PROVISIONED, _SHORT_ID),
    "custom-model": (ReferenceKind.CUSTOM, rf"[a-z0-9.:-]+/{_SHORT_ID}"),
    "custom-model-deployment": (ReferenceKind.CUSTOM_DEPLOYMENT, _SHORT_ID),
    "imported-model": (ReferenceKind.IMPORTED, _SHORT_ID),
    "prompt": (ReferenceKind.PROMPT, r"[0-9A-Za-z]{10}(?::[0-9]{1,5})?"),
    "prompt-router": (ReferenceKind.PROMPT_ROUTER, _PROFILE_ID),
    "default-prompt-router": (ReferenceKind.PROMPT_ROUTER, _PROFILE_ID),
}
# AWS owns these; everything else belongs to an account, and its ARN must say to which.
_WITHOUT_ACCOUNT = frozenset({ReferenceKind.FOUNDATION_MODEL, ReferenceKind.SYSTEM_PROFILE})


def parse_reference(text: str) -> ModelReference:
    """The reference that a decoded model id or ARN is; nothing is looked up.

    Raises: GatewayError(MALFORMED_PATH) if it is of no form that Bedrock takes.
    """
    if len(text) > _MAX_CHARACTERS:
        raise _malformed(f"it is longer than {_MAX_CHARACTERS} characters")
    if text.startswith("arn:"):
        return _parse_arn(text)
    if not _PLAIN_ID(text):
        raise _malformed("expected a model id, an inference profile id or an ARN")
    if "." not in text:  # a bare name: of a provisioned model, or of something only AWS knows
        return ModelReference(text=text, kind=ReferenceKind.PROVISIONED)
    base_id, geo_prefix = _split_geo(text)
    kind = ReferenceKind.SYSTEM_PROFILE if geo_prefix else ReferenceKind.FOUNDATION_MODEL
    return ModelReference(text=text, kind=kind, base_id=base_id, geo_prefix=geo_prefix)


def encode_path_segment(text: str) -> str:
    """The text as one path segment, encoded as boto3 does: `:` is %3A and `/` is %2F."""
    return quote(text, safe="-_.~")


def upstream_path(operation: Operation, model_text: str | None) -> str:
    """The path of an operation at Bedrock. `model_text` is the decoded id, None for the lists.

    Raises: ValueError if an operation on a model comes without one, or a list with one.
    """
    template = _PATHS[operation]
    if ("{}" in template) != bool(model_text):
        raise ValueError(f"{operation} with model {model_text!r} has no path")
    return template.format(encode_path_segment(model_text or ""))


def _parse_arn(text: str) -> ModelReference:
    parts = _ARN(text)
    if parts is None:
        raise _malformed("expected arn:aws:bedrock:REGION:ACCOUNT:TYPE/ID")
    account, region = parts["account"] or None, parts["region"] or None
    if parts["service"] == "sagemaker":
        if parts["type"] != "endpoint" or not re.fullmatch(r"[A-Za-z0-9-]+", parts["id"]):
            raise _malformed("of SageMaker, Bedrock takes endpoint ARNs only")
        kind, base_id, geo_prefix = ReferenceKind.SAGEMAKER_ENDPOINT, None, None
    else:
        kind, base_id, geo_prefix = _bedrock_resource(parts["type"], parts["id"])
    if kind not in _WITHOUT_ACCOUNT and (account is None or region is None):
        raise _malformed(f"the ARN of a {kind} must name its region and account")
    if kind is ReferenceKind.FOUNDATION_MODEL and account is not None:
        raise _malformed("the ARN of a foundation model names no account")
    return ModelReference(
        text=text,
        kind=kind,
        base_id=base_id,
        geo_prefix=geo_prefix,
        account=account,
        region=region,
    )


def _bedrock_resource(
    resource_type: str, identifier: str
) -> tuple[ReferenceKind, ModelId | None, str | None]:
    if resource_type not in _SHAPES:
        raise _malformed(f"{resource_type!r} is no kind of resource that can be invoked")
    kind, shape = _SHAPES[resource_type]
    if not re.fullmatch(shape, identifier):
        raise _malformed(f"the id is not one of a {resource_type}")
    match kind:
        case ReferenceKind.FOUNDATION_MODEL:
            return kind, ModelId(identifier), None
        case ReferenceKind.SYSTEM_PROFILE:
            return kind, *_split_geo(identifier)
        case _:
            return kind, None, None


def _split_geo(identifier: str) -> tuple[ModelId, str | None]:
    """The base id of a profile id and its geographic prefix, if it has one."""
    found = _GEO_PREFIX(identifier)
    if found is None:
        return ModelId(identifier), None
    return ModelId(found[2]), found[1]


def _malformed(what: str) -> GatewayError:
    return GatewayError(Reason.MALFORMED_PATH, f"The model id cannot be read: {what}.")
