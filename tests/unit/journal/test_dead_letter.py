from __future__ import annotations

from gateway.journal.dead_letter import DeadLetter


def letter(document):
    return DeadLetter(letter_id="1-0#a", position="1-0", why="x", parts=1, document=document)


def test_the_size_of_a_letter_is_known_where_all_of_it_is():
    assert letter(b"12345").size_bytes == 5
    assert letter(b"").size_bytes == 0
    assert letter(None).size_bytes is None
