from __future__ import annotations

from gateway.workers.stop_guard import SILENT_S, StopGuard, Ticks


def test_who_is_silent_while_nothing_is_stopped_is_left_alone_and_said_once():
    guard = StopGuard(0.0)
    assert not guard.falls_silent(0.4)
    assert guard.falls_silent(0.5)
    assert not guard.falls_silent(3600.0)
    assert not guard.is_given_up(3600.0)
    guard.heard(0, 3600.0)
    assert not guard.falls_silent(3600.1)
    assert guard.falls_silent(3601.0)


def test_who_talks_and_acts_is_never_given_up():
    guard = StopGuard(0.0)
    guard.told(1, 1.0, is_stop=True)
    guard.heard(0, 1.05)
    assert not guard.is_given_up(1.3)
    guard.heard(1, 1.4)
    assert not guard.is_given_up(100.0)


def test_who_froze_before_the_stop_is_given_up_at_once_but_for_a_moment():
    guard = StopGuard(0.0)
    guard.told(1, 10.0, is_stop=True)
    assert not guard.is_given_up(10.05)
    assert guard.is_given_up(10.1)


def test_who_freezes_at_the_stop_is_given_up_half_a_second_after_its_last_word():
    guard = StopGuard(0.0)
    guard.heard(0, 9.9)
    guard.told(1, 10.0, is_stop=True)
    assert not guard.is_given_up(10.39)
    assert guard.is_given_up(10.4)


def test_who_talks_and_does_not_act_is_given_up_half_a_second_after_the_stop():
    guard = StopGuard(0.0)
    guard.told(1, 10.0, is_stop=True)
    for tenth in range(5):
        guard.heard(0, 10.0 + tenth / 10)
        assert not guard.is_given_up(10.0 + tenth / 10)
    assert guard.is_given_up(10.0 + SILENT_S)


def test_the_first_stop_that_is_owed_counts_and_not_the_last():
    guard = StopGuard(0.0)
    guard.told(1, 10.0, is_stop=True)
    guard.told(2, 10.4, is_stop=True)
    guard.heard(0, 10.45)
    assert guard.is_given_up(10.5)


def test_an_end_of_a_stop_owes_nothing_and_excuses_nothing():
    guard = StopGuard(0.0)
    guard.told(1, 1.0, is_stop=False)
    assert not guard.is_given_up(100.0)
    guard.told(2, 100.0, is_stop=True)
    guard.told(3, 100.1, is_stop=False)
    assert guard.is_given_up(100.6)
    guard.heard(3, 100.7)
    assert not guard.is_given_up(200.0)


def test_a_supervisor_that_was_away_itself_blames_nobody():
    guard, ticks = StopGuard(0.0), Ticks(0.0)
    guard.told(1, 0.0, is_stop=True)
    assert ticks.missed_s(0.05) == 0
    missed_s = ticks.missed_s(2.05)
    assert missed_s > 1.9
    guard.forgive(missed_s)
    assert not guard.is_given_up(2.05)
    assert guard.is_given_up(2.05 + SILENT_S)
