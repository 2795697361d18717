"""The policy folder: every policy file, nothing else, within bounds."""

from __future__ import annotations

import pytest

from gateway.adapters.files import policies
from gateway.adapters.files.policies import read_policy_folder
from gateway.documents.marked_yaml import DocumentError


def names(folder):
    return [name.rpartition("/")[2] for name in read_policy_folder(folder)]


def test_yaml_files_are_read_in_order_and_nothing_else(tmp_path):
    for name in ("b.yaml", "a.yml", "README.md", ".hidden.yaml", "c.yaml.bak"):
        (tmp_path / name).write_text(f"# {name}")
    (tmp_path / "sub.yaml").mkdir()
    assert names(tmp_path) == ["a.yml", "b.yaml"]
    assert list(read_policy_folder(tmp_path).values()) == ["# a.yml", "# b.yaml"]


def test_links_are_followed_as_kubernetes_mounts_need_it(tmp_path):
    version = tmp_path / "..2026_11_21"
    version.mkdir()
    (version / "acme.yaml").write_text("version: 1")
    (tmp_path / "..data").symlink_to(version)
    (tmp_path / "acme.yaml").symlink_to(tmp_path / "..data" / "acme.yaml")
    assert list(read_policy_folder(tmp_path).values()) == ["version: 1"]


def test_an_empty_folder_has_no_policies(tmp_path):
    assert read_policy_folder(tmp_path) == {}


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(DocumentError, match=r"absent:1:1: cannot be read: No such file"):
        read_policy_folder(tmp_path / "absent")


def test_a_folder_and_a_file_have_bounds(tmp_path, monkeypatch):
    monkeypatch.setattr(policies, "MAX_FILES", 1)
    monkeypatch.setattr(policies, "MAX_FILE_BYTES", 3)
    (tmp_path / "a.yaml").write_text("four")
    with pytest.raises(DocumentError, match="larger than 3 bytes"):
        read_policy_folder(tmp_path)
    (tmp_path / "b.yaml").write_text("")
    with pytest.raises(DocumentError, match="at most 1 policy files, got 2"):
        read_policy_folder(tmp_path)
