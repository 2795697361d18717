from decimal import Decimal

from gateway.sandbox.bedrock.bill import Bill, price_of
from gateway.sandbox.bedrock.generation import Generation
from gateway.sandbox.bedrock.models import target_of

SONNET = target_of("anthropic.claude-3-5-sonnet-20240620-v1:0")
NOVA_PRO = target_of("amazon.nova-pro-v1:0")


def generation(target=SONNET, **tokens):
    return Generation(target=target, **({"input_tokens": 0, "output_tokens": 0} | tokens))


def test_every_kind_of_token_has_its_own_price():
    million = 1_000_000
    assert price_of(generation(input_tokens=million)) == 3
    assert price_of(generation(output_tokens=million)) == 15
    assert price_of(generation(cache_read=million)) == Decimal("0.3")
    assert price_of(generation(cache_write_5m=million)) == Decimal("3.75")
    assert price_of(generation(cache_write_1h=million)) == 6


def test_nothing_is_rounded():
    assert price_of(generation(NOVA_PRO, input_tokens=1)) == Decimal("0.0000008")
    assert price_of(generation(NOVA_PRO, input_tokens=1, tier="flex")) == Decimal("0.0000004")
    assert price_of(generation(NOVA_PRO, input_tokens=1, tier="priority")) == Decimal("0.0000014")


def test_sums_are_kept_for_each_pair_of_the_metadata():
    bill = Bill()
    for user in ("ada", "ada", "bob"):
        bill.add(
            generation(input_tokens=1000),
            request_id="r",
            operation="Converse",
            model_called="m",
            tag={"user": user, "team": "web"},
        )
    bill.count_unbilled("ThrottlingException")
    shown = bill.to_json()
    assert (shown["calls"], shown["usd"]) == (3, "0.009")
    assert shown["by_tag"] == {
        "team=web": {"calls": 3, "usd": "0.009"},
        "user=ada": {"calls": 2, "usd": "0.006"},
        "user=bob": {"calls": 1, "usd": "0.003"},
    }
    assert shown["unbilled"] == {"ThrottlingException": 1}
    bill.reset()
    assert bill.to_json()["calls"] == 0
    assert bill.total_usd == 0
