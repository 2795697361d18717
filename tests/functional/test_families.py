import json
from decimal import Decimal

import pytest

from gateway.sandbox.bedrock.models import SERVED, BodyForm
from tests.fakes.stock_clients import user_says

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture
def gateway(lasting_gateway):
    return lasting_gateway


@pytest.fixture
def simulated(lasting_simulated):
    return lasting_simulated


BODIES = {
    BodyForm.ANTHROPIC: {"max_tokens": 9, "messages": [{"role": "user", "content": "X"}]},
    BodyForm.NOVA: {"messages": [{"role": "user", "content": [{"text": "X"}]}]},
    BodyForm.TITAN: {"inputText": "X", "textGenerationConfig": {"maxTokenCount": 9}},
    BodyForm.TITAN_EMBED: {"inputText": "X"},
    BodyForm.LLAMA: {"prompt": "X", "max_gen_len": 9},
    BodyForm.MISTRAL: {"prompt": "X", "max_tokens": 9},
    BodyForm.COHERE: {"prompt": "X", "max_tokens": 9},
    BodyForm.OPENAI: {"messages": [{"role": "user", "content": "X"}], "max_completion_tokens": 9},
}


@pytest.mark.parametrize("model", SERVED, ids=lambda model: model.id)
async def test_every_family_and_operation_is_charged_what_it_is_billed(gateway, simulated, model):
    model_id = f"{model.profiles[0]}.{model.id}" if model.profile_only else model.id
    text = "a prompt of some length [[sim: events=3]]"
    body = json.dumps(BODIES[model.form]).replace("X", text)

    def everything(client):
        client.invoke_model(modelId=model_id, body=body)["body"].read()
        calls = 1
        if model.form is not BodyForm.TITAN_EMBED:
            answer = client.invoke_model_with_response_stream(modelId=model_id, body=body)
            list(answer["body"])
            client.converse(modelId=model_id, messages=user_says(text))
            list(client.converse_stream(modelId=model_id, messages=user_says(text))["stream"])
            calls += 3
        return calls

    calls = await gateway.ask(everything)
    records = await gateway.settled(calls)
    assert [record["exact"] for record in records] == [True] * calls
    billed = {line.request_id: line.usd for line in simulated.bill.lines}
    assert len(billed) == calls
    for record in records:
        above = Decimal(record["cost_nano_usd"]).scaleb(-9) - billed[record["upstream_request_id"]]
        assert 0 <= above < Decimal("1e-9"), record["operation"]
        assert Decimal(record["cost_usd"]) == billed[record["upstream_request_id"]]
        assert record["overrun_nano_usd"] == 0
