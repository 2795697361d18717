"""The machine's clocks and ids."""

from __future__ import annotations

from datetime import UTC

from gateway.adapters.system import RandomIds, SystemClock


def test_the_instant_is_aware_and_utc():
    assert SystemClock().now().tzinfo is UTC


def test_durations_never_go_back():
    clock = SystemClock()
    readings = [clock.monotonic_s() for _ in range(1_000)]
    assert readings == sorted(readings)


def test_ids_differ_and_sort_by_the_time_of_their_making():
    ids = RandomIds()
    made = [ids.request_id() for _ in range(10_000)]
    assert len(set(made)) == len(made)
    assert [one[:10] for one in made] == sorted(one[:10] for one in made)
    assert all(len(one) == 26 and one.isalnum() and one == one.lower() for one in made)
