"""The policy folder: every policy file, nothing else, within bounds."""

from __future__ import annotations

import os

import pytest

from gateway.adapters.files import policies
from gateway.adapters.files.policies import PolicyFolder, read_policy_folder
from gateway.documents.marked_yaml import DocumentError


def names(folder):
    return [name.rpartition("/")[2] for name in read_policy_folder(folder)]


def test_yaml_files_are_read_in_order_and_nothing_else(tmp_path):
    for name in ("b.yaml", "a.yml", "README.md", ".hidden.yaml", "c.yaml.bak", "a.cases.yaml"):
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


def test_a_link_to_nothing_is_an_error_and_no_absent_file(tmp_path):
    (tmp_path / "acme.yaml").symlink_to(tmp_path / "gone")
    with pytest.raises(DocumentError, match=r"acme\.yaml:1:1: cannot be read"):
        read_policy_folder(tmp_path)


def in_place(folder):
    (folder / "acme.yaml").write_text("version: 2")


def renamed_over(folder):
    (folder / "draft").write_text("version: 1")
    (folder / "draft").replace(folder / "acme.yaml")


def touched_back(folder):
    """Other content of the same length, with the old file's time: as `rsync -t` leaves it."""
    at = (folder / "acme.yaml").stat()
    (folder / "acme.yaml").write_text("version: 9")
    os.utime(folder / "acme.yaml", ns=(at.st_atime_ns, at.st_mtime_ns))


def added(folder):
    (folder / "globex.yaml").write_text("version: 1")


def removed(folder):
    (folder / "acme.yaml").unlink()


def linked(folder):
    (folder / "..new").mkdir()
    (folder / "..new" / "acme.yaml").write_text("version: 1")
    (folder / "acme.yaml").unlink()
    (folder / "acme.yaml").symlink_to("..new/acme.yaml")


@pytest.mark.parametrize("change", [in_place, renamed_over, touched_back, added, removed, linked])
async def test_every_way_to_change_a_folder_is_seen_in_its_signature(tmp_path, change):
    (tmp_path / "acme.yaml").write_text("version: 1")
    folder = PolicyFolder(tmp_path)
    before = await folder.signature()
    assert await folder.signature() == before
    change(tmp_path)
    assert await folder.signature() != before


@pytest.mark.parametrize("name", [".acme.yaml.swp", "acme.yaml~", "4913", ".#acme.yaml", "x.tmp"])
async def test_what_editors_leave_beside_a_file_is_no_change(tmp_path, name):
    (tmp_path / "acme.yaml").write_text("version: 1")
    folder = PolicyFolder(tmp_path)
    before = await folder.signature()
    (tmp_path / name).write_text("version: 1")
    assert await folder.signature() == before
    assert await folder.read() == {"acme.yaml": "version: 1"}


async def test_a_folder_that_is_not_there_has_a_signature_too(tmp_path):
    folder = PolicyFolder(tmp_path / "absent")
    assert folder.name == str(tmp_path / "absent")
    absent = await folder.signature()
    with pytest.raises(DocumentError):
        await folder.read()
    (tmp_path / "absent").mkdir()
    assert await folder.signature() != absent
