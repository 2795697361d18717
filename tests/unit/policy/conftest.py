"""Policies, callers and models as the policy's tests talk about them."""

from __future__ import annotations

import pytest

from gateway.domain.caller import Caller, CredentialKind, Role
from gateway.domain.ids import KeyId, ModelId
from gateway.domain.model import (
    CatalogueModel,
    Family,
    IdentifiedModel,
    Lifecycle,
    ModelReference,
    ReferenceKind,
    RegionScope,
)
from gateway.policy.effective import effective_policy
from gateway.policy.parse import parse_policies


@pytest.fixture
def caller():
    def make(org="acme", team="web", **names):
        return Caller(
            key_id=KeyId("AKIAEXAMPLE"),
            credential=CredentialKind.SIGV4,
            role=Role.CALLER,
            org=org,
            team=team,
            **names,
        )

    return make


@pytest.fixture
def policy_of(caller):
    """The effective policy of a user of org acme under these files."""

    def make(*texts, **names):
        files = {f"{at}.yaml": text for at, text in enumerate(texts)}
        return effective_policy(parse_policies(files), caller(**({"user": "ada"} | names)))

    return make


@pytest.fixture
def model():
    """A model as `identify` hands it over; `known=False`: the catalogue has no such model."""

    def make(
        base_id="anthropic.claude-3-haiku-20240307-v1:0",
        *,
        kind=ReferenceKind.FOUNDATION_MODEL,
        text=None,
        account=None,
        prefix=None,
        aliases=(),
        known=True,
    ):
        row = CatalogueModel(
            id=ModelId(base_id or "none"),
            family=Family.ANTHROPIC,
            name="a model",
            provider="a provider",
            context_window=200_000,
            max_output_tokens=4096,
            max_output_source="model card",
            capabilities=frozenset(),
            lifecycle=Lifecycle.ACTIVE,
            aliases=aliases,
        )
        reference = ModelReference(
            text=text or (f"{prefix}.{base_id}" if prefix else base_id),
            kind=kind,
            base_id=ModelId(base_id) if base_id else None,
            geo_prefix=prefix,
            account=account,
        )
        return IdentifiedModel(
            reference=reference,
            model=row if known else None,
            region_scope=RegionScope.IN_REGION,
        )

    return make
