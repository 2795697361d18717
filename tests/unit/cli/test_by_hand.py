from __future__ import annotations

from types import SimpleNamespace

from gateway.cli.by_hand import hand_lines, urls
from gateway.settings import load_settings
from tests.fakes.hand_keys import hand_keys

HOST = SimpleNamespace(listen="127.0.0.1:1", admin_listen="127.0.0.1:2")


def exported(lines):
    words = " ".join(line.strip() for line in lines if line.strip().startswith("export ")).split()
    return dict(word.split("=", 1) for word in words if "=" in word)


def test_the_lines_set_all_a_stock_client_and_the_commands_need():
    settings = load_settings({"GATEWAY_REGION": "eu-west-1"})
    lines = hand_lines(settings, HOST, hand_keys())
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


def test_with_certificates_the_addresses_are_https(tmp_path):
    certificate = str(tmp_path / "c.pem")
    settings = load_settings({"GATEWAY_TLS_CERT": certificate, "GATEWAY_TLS_KEY": certificate})
    assert urls(settings, HOST) == ("https://127.0.0.1:1", "http://127.0.0.1:2")
