from gateway.sandbox.bedrock.converse import converse_body, converse_events
from gateway.sandbox.bedrock.generation import Generation
from gateway.sandbox.bedrock.models import target_of

CLAUDE = target_of("anthropic.claude-3-haiku-20240307-v1:0")
LLAMA = target_of("meta.llama3-1-70b-instruct-v1:0")


def generation(target, **changes):
    tokens = {"input_tokens": 3, "output_tokens": 2, "cache_read": 5, "cache_write_1h": 7}
    return Generation(target=target, pieces=("a ", "b "), **(tokens | changes))


def test_the_total_adds_every_bucket_and_input_excludes_the_cache():
    usage = converse_body(generation(CLAUDE))["usage"]
    assert usage == {
        "inputTokens": 3,
        "outputTokens": 2,
        "totalTokens": 17,
        "cacheReadInputTokens": 5,
        "cacheWriteInputTokens": 7,
        "cacheDetails": [{"ttl": "1h", "inputTokens": 7}],
    }


def test_models_without_a_cache_say_nothing_of_it():
    usage = converse_body(generation(LLAMA, cache_read=0, cache_write_1h=0))["usage"]
    assert set(usage) == {"inputTokens", "outputTokens", "totalTokens"}


def test_a_stream_says_the_same_in_its_last_event():
    before, text, after = converse_events(generation(CLAUDE, tier="default"))
    assert [kind for kind, _ in before + text + after] == [
        "messageStart",
        "contentBlockDelta",
        "contentBlockDelta",
        "contentBlockStop",
        "messageStop",
        "metadata",
    ]
    assert after[-1][1]["usage"] == converse_body(generation(CLAUDE))["usage"]
    assert after[-1][1]["serviceTier"] == {"type": "default"}
    assert all("p" in payload for _, payload in before + text + after)


def test_silence_is_silence_in_both():
    silent = generation(CLAUDE, states_usage=False)
    assert "usage" not in converse_body(silent)
    assert converse_events(silent)[2][-1][0] == "messageStop"
