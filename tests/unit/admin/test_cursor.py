from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.admin.cursor import Cursors
from gateway.admin.problem import ProblemError

CURSORS = Cursors(lambda content: sha256(b"key" + content).digest())
OTHERS = Cursors(lambda content: sha256(b"other" + content).digest())


@given(position=st.lists(st.text(), min_size=1, max_size=3).map(tuple), binding=st.text())
def test_a_cursor_leads_back_to_its_position(position, binding):
    assert CURSORS.read(CURSORS.make(position, binding), binding) == position


@pytest.mark.parametrize("text", ["", "abc", "*", "é", "AAAA" * 20, "eyJhIjoxfQ"])
def test_a_text_of_somebody_else_is_no_cursor(text):
    with pytest.raises(ProblemError) as refused:
        CURSORS.read(text, "question")
    assert refused.value.status == 400
    assert refused.value.errors[0].parameter == "cursor"


def test_a_cursor_is_good_for_its_own_question_and_installation_only():
    cursor = CURSORS.make(("1",), "question")
    for reader, binding in ((CURSORS, "another question"), (OTHERS, "question")):
        with pytest.raises(ProblemError):
            reader.read(cursor, binding)


@given(st.data())
def test_a_cursor_that_was_changed_is_none(data):
    cursor = CURSORS.make(("2026-11-21", "id"), "question")
    at = data.draw(st.integers(0, len(cursor) - 2))
    other = "A" if cursor[at] != "A" else "B"
    with pytest.raises(ProblemError):
        CURSORS.read(cursor[:at] + other + cursor[at + 1 :], "question")
