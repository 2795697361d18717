import pytest

from gateway.bedrock import token_statement
from gateway.bedrock.token_statement import (
    MAX_COUNT,
    SILENT,
    USAGE_KEY_PART,
    TokenStatement,
    count_of,
    statement_of,
    statement_of_headers,
)
from gateway.domain.call import CacheTtl
from gateway.domain.tokens import TokenCounts

CONVERSE = {
    "inputTokens": 4,
    "outputTokens": 50,
    "totalTokens": 354,
    "cacheReadInputTokens": 100,
    "cacheReadInputTokenCount": 100,
    "cacheWriteInputTokens": 200,
    "cacheWriteInputTokenCount": 200,
    "cacheDetails": [{"ttl": "5m", "inputTokens": 150}, {"ttl": "1h", "inputTokens": 50}],
}
ANTHROPIC = {
    "input_tokens": 4,
    "cache_creation_input_tokens": 200,
    "cache_read_input_tokens": 100,
    "cache_creation": {"ephemeral_5m_input_tokens": 150, "ephemeral_1h_input_tokens": 50},
    "output_tokens": 50,
}
CHAT = {
    "prompt_tokens": 304,
    "completion_tokens": 50,
    "total_tokens": 354,
    "prompt_tokens_details": {"cached_tokens": 100, "cache_write_tokens": 200},
    "completion_tokens_details": {"reasoning_tokens": 30},
}
RESPONSES = {
    "input_tokens": 304,
    "input_tokens_details": {"cached_tokens": 100, "cache_write_tokens": 200},
    "output_tokens": 50,
    "output_tokens_details": {"reasoning_tokens": 30},
    "total_tokens": 354,
}
METRICS = {
    "inputTokenCount": 4,
    "outputTokenCount": 50,
    "cacheReadInputTokenCount": 100,
    "cacheWriteInputTokenCount": 200,
    "invocationLatency": 1608,
    "firstByteLatency": 1438,
}


@pytest.mark.parametrize("usage", [CONVERSE, ANTHROPIC])
def test_a_usage_that_splits_cache_writes_fills_every_bucket(usage):
    assert statement_of(usage).buckets() == TokenCounts(
        input=4, output=50, cache_read=100, cache_write_5m=150, cache_write_1h=50
    )


@pytest.mark.parametrize("usage", [CHAT, RESPONSES, METRICS])
def test_every_other_usage_comes_to_the_same_disjoint_counts(usage):
    assert statement_of(usage).buckets() == TokenCounts(
        input=4, output=50, cache_read=100, cache_write_5m=200
    )


@pytest.mark.parametrize(
    ("usage", "counts"),
    [
        ({"prompt_token_count": 5, "generation_token_count": 10}, (5, 10)),
        ({"inputTextTokenCount": 28.0, "totalOutputTextTokenCount": 188.0}, (28, 188)),
        ({"prompt_tokens": 151, "completion_tokens": 2, "prompt_tokens_details": None}, (151, 2)),
        ({"inputTokens": 0, "outputTokens": 0, "totalTokens": 0}, (0, 0)),
    ],
)
def test_simple_usages_state_input_and_output(usage, counts):
    statement = statement_of(usage)
    assert (statement.input, statement.output) == counts
    assert statement.states_usage


def test_what_is_not_stated_is_unknown_and_not_zero():
    assert statement_of({"inputTokens": 30}) == TokenStatement(input=30)
    assert not statement_of({"inputTokens": 30}).states_usage
    assert statement_of({"latencyMs": 3}) is SILENT
    assert SILENT.is_silent


@pytest.mark.parametrize("value", [None, "5", True, -1, -0.5, float("nan"), MAX_COUNT + 1, [5]])
def test_what_is_no_count_is_not_stated(value):
    assert count_of(value) is None


@pytest.mark.parametrize(("value", "count"), [(0, 0), (28.0, 28), (28.2, 29), (MAX_COUNT, 10**9)])
def test_counts_are_integers_rounded_up(value, count):
    assert count_of(value) == count


def test_token_headers_are_read_whatever_their_case():
    headers = (
        ("X-Amzn-Bedrock-Input-Token-Count", "4"),
        ("x-amzn-bedrock-output-token-count", " 50"),
        ("X-AMZN-BEDROCK-CACHE-READ-INPUT-TOKEN-COUNT", "18131"),
        ("X-Amzn-Bedrock-Invocation-Latency", "696"),
    )
    # The cache-write header can be absent while cache-read is there.
    assert statement_of_headers(headers) == TokenStatement(input=4, output=50, cache_read=18131)


@pytest.mark.parametrize("value", ["", "many", "-3", "nan", "inf"])
def test_a_token_header_without_a_count_is_not_stated(value):
    assert statement_of_headers((("x-amzn-bedrock-input-token-count", value),)) == SILENT


def test_of_two_statements_the_larger_count_is_taken_bucket_by_bucket():
    start = TokenStatement(input=16, output=5, cache_write=7, cache_write_1h=7)
    end = TokenStatement(output=18, cache_read=3)
    both = TokenStatement(input=16, output=18, cache_read=3, cache_write=7, cache_write_1h=7)
    assert start.merged(end) == end.merged(start) == both
    assert start.merged(SILENT) == SILENT.merged(start) == start


def test_an_inclusive_body_explains_the_inclusive_headers_beside_it():
    # Recorded of gpt-oss: 151 in header and body, 64 of them cached, no cache headers.
    body = statement_of(
        {
            "prompt_tokens": 151,
            "completion_tokens": 9,
            "prompt_tokens_details": {"cached_tokens": 64},
        }
    )
    headers = TokenStatement(input=151, output=9)
    assert headers.merged(body).buckets() == TokenCounts(input=87, output=9, cache_read=64)


def test_an_inclusive_body_beside_exclusive_headers_is_not_counted_twice():
    body = statement_of({"prompt_tokens": 151, "completion_tokens": 9})
    headers = TokenStatement(input=87, output=9, cache_read=64)
    assert headers.merged(body).buckets() == TokenCounts(input=87, output=9, cache_read=64)


def test_an_input_smaller_than_its_cached_parts_was_exclusive():
    stated = statement_of(
        {"inputTokens": 2, "outputTokens": 19, "cacheWriteInputTokens": 4993}, is_inclusive=True
    )
    assert stated.buckets() == TokenCounts(input=2, output=19, cache_write_5m=4993)


def test_an_inclusive_input_is_reduced_to_what_was_not_cached():
    # Measured of OpenAI's models in ConverseStream: 4995 with 4993 written, 2 without streaming.
    stated = statement_of(
        {"inputTokens": 4995, "outputTokens": 19, "cacheWriteInputTokens": 4993}, is_inclusive=True
    )
    assert stated.buckets() == TokenCounts(input=2, output=19, cache_write_5m=4993)


def test_unsplit_cache_writes_live_as_long_as_the_caller_says():
    stated = statement_of({"inputTokens": 4, "outputTokens": 1, "cacheWriteInputTokens": 9})
    assert stated.buckets().cache_write_5m == 9
    assert stated.buckets(CacheTtl.ONE_HOUR).cache_write_1h == 9


def test_a_split_that_the_answer_states_wins_over_what_the_caller_says():
    assert statement_of(CONVERSE).buckets(CacheTtl.ONE_HOUR).cache_write_5m == 150


def test_a_split_larger_than_the_stated_total_is_the_total():
    usage = {**ANTHROPIC, "cache_creation_input_tokens": 10}
    assert statement_of(usage).buckets().cache_write == 200


def test_a_total_larger_than_its_split_is_kept_whole():
    usage = {**ANTHROPIC, "cache_creation_input_tokens": 300}
    counts = statement_of(usage).buckets()
    assert (counts.cache_write_5m, counts.cache_write_1h) == (250, 50)


@pytest.mark.parametrize(
    "usage",
    [
        {"cacheDetails": [{"ttl": "24h", "inputTokens": 7}], "cacheWriteInputTokens": 7},
        {"cache_creation": {"ephemeral_24h_input_tokens": 7}, "cache_creation_input_tokens": 7},
    ],
)
def test_a_time_to_live_not_known_yet_counts_as_the_dearest_known(usage):
    assert statement_of(usage).buckets().cache_write_1h == 7


@pytest.mark.parametrize(
    "usage",
    [
        {"cache_creation": [], "input_tokens": 1},
        {"cacheDetails": [None, 3], "inputTokens": 1},
        {"cacheDetails": {}, "inputTokens": 1},
        {"prompt_tokens_details": [], "prompt_tokens": 1},
    ],
)
def test_malformed_details_are_passed_over(usage):
    assert statement_of(usage).buckets() == TokenCounts(input=1)


def test_every_key_that_can_state_a_count_has_the_common_part():
    keys = {*token_statement._STATING_KEYS, "tokenCount", "amazon-bedrock-invocationMetrics"}
    without = {key for key in keys if USAGE_KEY_PART not in key}
    # The metrics object holds keys that have it.
    assert without == {"amazon-bedrock-invocationMetrics"}
