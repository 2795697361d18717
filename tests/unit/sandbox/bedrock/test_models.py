import pytest

from gateway.sandbox.bedrock.errors import SimulatedError
from gateway.sandbox.bedrock.models import SERVED, target_of

NOVA = "amazon.nova-lite-v1:0"
HAIKU = "anthropic.claude-haiku-4-5-20251001-v1:0"


@pytest.mark.parametrize(
    ("text", "model_id", "profile"),
    [
        (NOVA, NOVA, None),
        (f"us.{NOVA}", NOVA, "us"),
        (f"global.{HAIKU}", HAIKU, "global"),
        (f"arn:aws:bedrock:us-east-1::foundation-model/{NOVA}", NOVA, None),
        (f"arn:aws:bedrock:us-east-1:111122223333:inference-profile/us.{HAIKU}", HAIKU, "us"),
        (
            "arn:aws:bedrock:us-east-1:111122223333:application-inference-profile/f6e5d4c3b2a1",
            HAIKU,
            "us",
        ),
    ],
)
def test_ids_profiles_and_arns_name_a_model(text, model_id, profile):
    target = target_of(text)
    assert (target.model.id, target.profile) == (model_id, profile)


@pytest.mark.parametrize(
    "text",
    [
        "no.such-model",
        f"mars.{NOVA}",
        f"arn:aws:bedrock:us-east-1::inference-profile/{NOVA}",
        "arn:aws:bedrock:us-east-1:111122223333:application-inference-profile/nobody",
        HAIKU,
    ],
)
def test_what_aws_would_not_run_is_refused(text):
    with pytest.raises(SimulatedError):
        target_of(text)


def test_only_the_global_profile_has_the_base_price_where_geo_profiles_cost_more():
    by_profile = {profile: target_of(f"{profile}.{HAIKU}").rates.input for profile in ("us", "eu")}
    base = target_of(f"global.{HAIKU}").rates.input
    assert all(rate == base * 11 / 10 for rate in by_profile.values())


def test_no_model_is_served_twice_or_for_free():
    ids = [model.id for model in SERVED]
    assert len(ids) == len(set(ids))
    assert all(model.rates.input > 0 for model in SERVED)
