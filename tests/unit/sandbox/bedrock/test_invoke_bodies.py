import pytest

from gateway.sandbox.bedrock.generation import Generation
from gateway.sandbox.bedrock.invoke_bodies import (
    invocation_metrics,
    invoke_body,
    invoke_headers,
)
from gateway.sandbox.bedrock.models import SERVED, BodyForm, Target

ONE_OF_EACH = {model.form: Target(model=model, profile=None) for model in SERVED}
PREFIX = "X-Amzn-Bedrock-"


def generation(form, **changes):
    values = {"input_tokens": 30, "output_tokens": 2, "cache_read": 5, "pieces": ("a ", "b ")}
    return Generation(target=ONE_OF_EACH[form], **(values | changes))


@pytest.mark.parametrize("form", list(BodyForm))
def test_a_silent_answer_states_its_counts_nowhere(form):
    silent = generation(form, states_usage=False)
    assert "30" not in str(invoke_body(silent))
    assert set(invoke_headers(silent)) == {f"{PREFIX}Invocation-Latency"}


def test_claude_tells_cache_writes_apart_in_the_body_only():
    wrote = generation(BodyForm.ANTHROPIC, cache_write_5m=7, cache_write_1h=11)
    assert invoke_body(wrote)["usage"]["cache_creation"] == {
        "ephemeral_5m_input_tokens": 7,
        "ephemeral_1h_input_tokens": 11,
    }
    assert invoke_headers(wrote)[f"{PREFIX}Cache-Write-Input-Token-Count"] == "18"


def test_openai_counts_what_was_read_from_the_cache_as_prompt():
    made = generation(BodyForm.OPENAI)
    assert invoke_body(made)["usage"]["prompt_tokens"] == 35
    assert invoke_body(made)["usage"]["prompt_tokens_details"] == {"cached_tokens": 5}
    assert invoke_headers(made)[f"{PREFIX}Input-Token-Count"] == "35"
    assert invocation_metrics(made)["inputTokenCount"] == 35


def test_nova_and_claude_state_uncached_input():
    for form in (BodyForm.NOVA, BodyForm.ANTHROPIC):
        headers = invoke_headers(generation(form))
        assert headers[f"{PREFIX}Input-Token-Count"] == "30"
        assert headers[f"{PREFIX}Cache-Read-Input-Token-Count"] == "5"


def test_some_families_state_their_counts_in_headers_only():
    for form in (BodyForm.MISTRAL, BodyForm.COHERE):
        assert "30" not in str(invoke_body(generation(form)))
        assert invoke_headers(generation(form))[f"{PREFIX}Input-Token-Count"] == "30"


def test_an_embedding_states_no_output():
    assert f"{PREFIX}Output-Token-Count" not in invoke_headers(generation(BodyForm.TITAN_EMBED))


@pytest.mark.parametrize(("form", "word"), [(BodyForm.TITAN, "LENGTH"), (BodyForm.LLAMA, "length")])
def test_a_cut_answer_says_so_in_the_familys_words(form, word):
    assert word in str(invoke_body(generation(form, stop_reason="max_tokens")))
