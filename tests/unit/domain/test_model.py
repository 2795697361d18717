"""Models: which id policies and prices go by, and which region scope a reference states."""

from __future__ import annotations

import pytest

from gateway.domain.ids import ModelId
from gateway.domain.model import (
    CatalogueModel,
    Family,
    IdentifiedModel,
    Lifecycle,
    ModelReference,
    ReferenceKind,
    RegionScope,
)

HAIKU = CatalogueModel(
    id=ModelId("anthropic.claude-3-haiku-20240307-v1:0"),
    family=Family.ANTHROPIC,
    name="Claude 3 Haiku",
    provider="Anthropic",
    context_window=200_000,
    max_output_tokens=4096,
    max_output_source="model card",
    capabilities=frozenset(),
    lifecycle=Lifecycle.ACTIVE,
)


def identified(model, base_id):
    reference = ModelReference(
        text="us.anthropic.claude-3-haiku-20240307-v1:0",
        kind=ReferenceKind.SYSTEM_PROFILE,
        base_id=base_id,
        geo_prefix="us",
    )
    return IdentifiedModel(reference=reference, model=model, region_scope=RegionScope.GEO)


@pytest.mark.parametrize(
    ("prefix", "scope"),
    [(None, RegionScope.IN_REGION), ("us", RegionScope.GEO), ("global", RegionScope.GLOBAL)],
)
def test_the_prefix_of_a_reference_states_its_price_scope(prefix, scope):
    reference = ModelReference(text="x", kind=ReferenceKind.FOUNDATION_MODEL, geo_prefix=prefix)
    assert reference.region_scope is scope


def test_a_catalogued_model_goes_by_its_own_id_and_family():
    model = identified(HAIKU, ModelId("an.alias"))
    assert model.base_id == HAIKU.id
    assert model.family is Family.ANTHROPIC


def test_an_unknown_model_goes_by_what_the_caller_wrote():
    assert identified(None, ModelId("acme.new-1")).base_id == "acme.new-1"
    assert identified(None, None).base_id == "us.anthropic.claude-3-haiku-20240307-v1:0"
    assert identified(None, None).family is Family.UNKNOWN
