import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.sandbox.bedrock.control_plane import (
    foundation_model,
    foundation_models,
    inference_profile,
    inference_profiles,
)
from gateway.sandbox.bedrock.errors import SimulatedError


def all_profiles(query=""):
    return inference_profiles(query)["inferenceProfileSummaries"]


@given(st.integers(1, 30))
def test_pages_of_any_size_make_the_whole(size):
    found, token = [], ""
    while True:
        page = inference_profiles(f"maxResults={size}" + (f"&nextToken={token}" if token else ""))
        found += page["inferenceProfileSummaries"]
        token = page.get("nextToken", "")
        if not token:
            break
    assert found == all_profiles()


def test_the_two_types_of_profiles_are_told_apart():
    kinds = {kind: len(all_profiles(f"type={kind}")) for kind in ("SYSTEM_DEFINED", "APPLICATION")}
    assert sum(kinds.values()) == len(all_profiles())
    assert kinds["APPLICATION"] == 2


@pytest.mark.parametrize("query", ["maxResults=0", "maxResults=x", "nextToken=999"])
def test_a_page_that_is_none_is_refused(query):
    with pytest.raises(SimulatedError, match="ValidationException"):
        inference_profiles(query)


def test_profiles_are_found_by_id_and_by_arn():
    for profile in all_profiles():
        assert inference_profile(profile["inferenceProfileId"]) == profile
        assert inference_profile(profile["inferenceProfileArn"]) == profile


def test_models_are_filtered_and_found():
    everything = foundation_models("")["modelSummaries"]
    embedding = foundation_models("byOutputModality=EMBEDDING")["modelSummaries"]
    assert [row["modelName"] for row in embedding] == ["Titan Text Embeddings V2"]
    on_demand = foundation_models("byInferenceType=ON_DEMAND")["modelSummaries"]
    assert 0 < len(on_demand) < len(everything)
    for row in everything:
        assert foundation_model(row["modelArn"])["modelDetails"]["modelId"] == row["modelId"]


def test_what_is_not_there_is_not_found():
    for read in (inference_profile, foundation_model):
        with pytest.raises(SimulatedError, match="ResourceNotFoundException"):
            read("no-such-thing")
