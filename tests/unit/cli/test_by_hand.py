from __future__ import annotations

import stat
import subprocess
from pathlib import Path
from secrets import token_urlsafe
from types import SimpleNamespace

from gateway.cli.by_hand import hand_lines, urls, write_hand_file
from gateway.settings import load_settings
from tests.fakes.hand_keys import hand_keys

HOST = SimpleNamespace(listen="127.0.0.1:1", admin_listen="127.0.0.1:2")


def exported(lines):
    words = " ".join(line.strip() for line in lines if line.strip().startswith("export ")).split()
    return dict(word.split("=", 1) for word in words if "=" in word)


def test_the_lines_set_all_a_stock_client_and_the_commands_need():
    settings = load_settings({"GATEWAY_REGION": "eu-west-1"})
    lines = hand_lines(settings, HOST, hand_keys(), Path("/run/my sandbox/env"))
    assert exported(lines) == {
        "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": "http://127.0.0.1:1",
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_REGION": "eu-west-1",
        "AWS_ACCESS_KEY_ID": "AKIACALLER",
        "AWS_SECRET_ACCESS_KEY": "AKIACALLER-secret",
        "GATEWAY_ADMIN_URL": "http://127.0.0.1:2",
        "GATEWAY_ADMIN_KEY": "bgk-AKIAADMIN",
    }
    assert "  bgk-AKIACALLER" in lines
    assert "  . '/run/my sandbox/env'" in lines


def test_a_file_for_the_shell_sets_what_an_operator_needs_too_and_is_the_owners_alone(tmp_path):
    given = {
        "GATEWAY_REGION": "eu-west-1",
        "GATEWAY_REDIS_URL": "redis://127.0.0.1:7/0",
        "GATEWAY_DYNAMODB_ENDPOINT": "http://127.0.0.1:8",
        "GATEWAY_TABLE_PREFIX": "mine_",
        "GATEWAY_STATE_DIR": str(tmp_path / "my state"),
        "GATEWAY_MASTER_KEY": token_urlsafe(40),
        "GATEWAY_POLICIES": "policies",
    }
    file = write_hand_file(tmp_path, load_settings(given), HOST, hand_keys())
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    shell = subprocess.run(
        ["sh", "-c", '. "$0" && env', file], capture_output=True, text=True, check=True
    )
    found = dict(line.split("=", 1) for line in shell.stdout.splitlines() if "=" in line)
    expected = given | {"GATEWAY_POLICIES": str(Path("policies").absolute())}
    assert {name: found[name] for name in expected} == expected
    assert found["AWS_ACCESS_KEY_ID"] == "AKIACALLER"
    assert found["GATEWAY_ADMIN_KEY"] == "bgk-AKIAADMIN"


def test_with_certificates_the_addresses_are_https(tmp_path):
    certificate = str(tmp_path / "c.pem")
    settings = load_settings({"GATEWAY_TLS_CERT": certificate, "GATEWAY_TLS_KEY": certificate})
    assert urls(settings, HOST) == ("https://127.0.0.1:1", "http://127.0.0.1:2")
