"""Whether a worker that has lost its ledger would hear of an emergency stop."""

from __future__ import annotations

import pytest

from gateway.adapters.files.host_channel import PROMISE, HostChannel
from gateway.domain.scope import Scope
from tests.fakes.clock import FakeClock
from tests.fakes.stop_knowledge import ToldStops, stop

ACME = Scope.org("acme")


class Files:
    """The stop files of a host, without a disk."""

    def __init__(self) -> None:
        self.stops, self.reads, self.fails = [], 0, False

    def read(self):
        self.reads += 1
        if self.fails:
            raise OSError(5, "Input/output error")
        return tuple(self.stops)


class Host:
    def __init__(self, state_dir, *, is_promised=True) -> None:
        self.others, self.files, self.clock = ToldStops(is_fresh=False), Files(), FakeClock()
        if is_promised:
            (state_dir / PROMISE).touch()
        self.channel = HostChannel(self.others, self.files, state_dir, self.clock)


@pytest.mark.parametrize("is_promised", [True, False])
def test_without_a_promise_the_files_prove_nothing(tmp_path, is_promised):
    host = Host(tmp_path, is_promised=is_promised)
    assert host.channel.is_current() is is_promised
    host.others.is_fresh = True
    assert host.channel.is_current()


def test_a_promise_is_taken_back_by_removing_it(tmp_path):
    host = Host(tmp_path)
    assert host.channel.is_current()
    (tmp_path / PROMISE).unlink()
    host.clock.advance(0.25)
    assert not host.channel.is_current()


@pytest.mark.parametrize("is_promised", [True, False])
def test_a_stop_is_known_within_a_quarter_of_a_second_promised_or_not(tmp_path, is_promised):
    host = Host(tmp_path, is_promised=is_promised)
    assert host.channel.stop_of([ACME]) is None
    host.files.stops.append(stop(ACME))
    host.clock.advance(0.25)
    found = host.channel.stop_of([Scope.platform(), ACME])
    assert found == stop(ACME)
    assert host.channel.stop_of([Scope.org("other")]) is None


def test_what_the_others_know_counts_too(tmp_path):
    host = Host(tmp_path)
    host.others.stops.append(stop(ACME))
    assert host.channel.stop_of([ACME]) == stop(ACME)


def test_a_crowd_reads_the_disk_four_times_a_second(tmp_path):
    host = Host(tmp_path)
    for _ in range(100):
        assert host.channel.is_current()
        assert host.channel.stop_of([ACME]) is None
        host.clock.advance(0.01)
    assert 3 <= host.files.reads <= 5


def test_a_disk_that_fails_makes_it_ignorant_and_forgets_no_stop(tmp_path):
    host = Host(tmp_path)
    host.files.stops.append(stop(ACME))
    assert host.channel.is_current()
    host.files.fails = True
    host.clock.advance(0.25)
    assert not host.channel.is_current()
    assert host.channel.stop_of([ACME]) == stop(ACME)
