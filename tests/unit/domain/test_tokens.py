"""Token counts: disjoint buckets."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.tokens import TokenCounts, Usage

COUNTS = st.builds(
    TokenCounts,
    input=st.integers(0, 10**9),
    output=st.integers(0, 10**9),
    cache_read=st.integers(0, 10**9),
    cache_write_5m=st.integers(0, 10**9),
    cache_write_1h=st.integers(0, 10**9),
)


@given(COUNTS)
def test_every_token_is_counted_once(counts):
    assert counts.total == counts.input + counts.output + counts.cache_read + counts.cache_write
    assert counts.cache_write == counts.cache_write_5m + counts.cache_write_1h


def test_a_silent_answer_used_nothing_and_knows_nothing():
    assert Usage().tokens == TokenCounts()
    assert Usage().service_tier is None
