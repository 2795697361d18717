from __future__ import annotations

import pytest
import typer

from gateway.cli.policy_files import policies_or_exit


def test_files_and_folders_are_read_as_one_set_of_rules(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "acme.yaml").write_text("version: 1\norg: acme\n")
    one = tmp_path / "beta.yaml"
    one.write_text("version: 1\norg: beta\n")
    assert set(policies_or_exit([folder, one]).orgs) == {"acme", "beta"}


def test_what_is_wrong_is_said_with_its_place_and_ends_with_1(tmp_path, capsys):
    bad = tmp_path / "acme.yaml"
    bad.write_text("version: 1\norg: acme\nlimit: []\n")
    with pytest.raises(typer.Exit) as ended:
        policies_or_exit([bad])
    assert ended.value.exit_code == 1
    said = capsys.readouterr().err
    assert "acme.yaml:3:1" in said
    assert "cannot be read" in said
