import pytest

from gateway.sandbox.bedrock.generation import Generation
from gateway.sandbox.bedrock.invoke_streams import invoke_chunks
from gateway.sandbox.bedrock.models import SERVED, BodyForm, Target

ONE_OF_EACH = {model.form: Target(model=model, profile=None) for model in SERVED}
METRICS = "amazon-bedrock-invocationMetrics"


def chunks(form, **changes):
    values = {"input_tokens": 30, "output_tokens": 20, "pieces": ("a ", "b ")} | changes
    return invoke_chunks(Generation(target=ONE_OF_EACH[form], **values))


@pytest.mark.parametrize("form", list(BodyForm))
def test_only_the_last_chunk_carries_bedrocks_own_counts(form):
    before, text, after = chunks(form)
    everything = before + text + after
    assert [METRICS in chunk for chunk in everything] == [False] * (len(everything) - 1) + [True]
    assert everything[-1][METRICS]["outputTokenCount"] == 20


@pytest.mark.parametrize("form", list(BodyForm))
def test_a_silent_stream_states_nothing(form):
    before, text, after = chunks(form, states_usage=False)
    assert METRICS not in str(before + text + after)
    assert "30" not in str(before + text + after)


@pytest.mark.parametrize("form", [form for form in BodyForm if form is not BodyForm.TITAN_EMBED])
def test_each_piece_of_text_is_a_chunk(form):
    _, text, _ = chunks(form)
    assert ["a " in str(chunk) for chunk in text] == [True, False]
    assert ["b " in str(chunk) for chunk in text] == [False, True]


def test_claudes_first_output_count_is_a_start_value_and_the_last_is_the_sum():
    before, _, after = chunks(BodyForm.ANTHROPIC)
    assert before[0]["message"]["usage"]["output_tokens"] == 1
    assert after[1]["usage"]["output_tokens"] == 20
