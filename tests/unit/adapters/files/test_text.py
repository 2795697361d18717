"""Text files: read whole, within bounds, with errors that name the file."""

from __future__ import annotations

import pytest

from gateway.adapters.files.text import read_text_file
from gateway.documents.marked_yaml import DocumentError


def test_a_file_is_read_whole(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("größe: 1\n", encoding="utf-8")
    assert read_text_file(path, max_bytes=100) == "größe: 1\n"


def test_a_file_of_exactly_the_bound_is_read_and_one_byte_more_is_not(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_bytes(b"x" * 10)
    assert read_text_file(path, max_bytes=10) == "x" * 10
    with pytest.raises(DocumentError, match="larger than 9 bytes"):
        read_text_file(path, max_bytes=9)


def test_a_file_that_is_not_there_or_not_a_file_is_named(tmp_path):
    with pytest.raises(DocumentError, match=r"absent\.yaml:1:1: cannot be read: No such file"):
        read_text_file(tmp_path / "absent.yaml", max_bytes=10)
    with pytest.raises(DocumentError, match="Is a directory"):
        read_text_file(tmp_path, max_bytes=10)


def test_a_file_that_is_not_utf8_names_the_line(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_bytes(b"a: 1\nb: \xff\n")
    with pytest.raises(DocumentError, match="not UTF-8 in line 2"):
        read_text_file(path, max_bytes=100)
