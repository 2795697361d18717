import os
import socket

import pytest

from gateway.settings import load_settings
from gateway.workers.lifeline import LIFELINE_VARIABLE
from tests.fakes.certificates import make_certificate

MASTER = "q3J0bW9uZ2xlYnJhY2tldHNhbmR0b3duc3F1YXJlZm9yZXZlcjEyMw=="


@pytest.fixture
def certificate(tmp_path):
    """A certificate of nobody's authority and its key, as files."""
    return make_certificate(tmp_path)


@pytest.fixture
def make_settings(tmp_path):
    """Settings of a gateway whose files are this test's own; more by keyword."""
    policies = tmp_path / "policies"
    policies.mkdir()
    (policies / "acme.yaml").write_text('version: 1\norg: acme\nmodels: {allow: ["*"]}\n')

    def make(**more):
        values = {
            "LISTEN": "127.0.0.1:0",
            "ADMIN_LISTEN": "127.0.0.1:0",
            "REGION": "us-east-1",
            "MASTER_KEY": MASTER,
            "POLICIES": str(policies),
            "STATE_DIR": str(tmp_path / "state"),
            "REDIS_TIMEOUT_MS": "5000",
            **{name.upper(): value for name, value in more.items()},
        }
        return load_settings({f"GATEWAY_{name}": text for name, text in values.items()})

    return make


@pytest.fixture
def stores(dynamodb_endpoint, valkey_url, table_prefix):
    """The stores of this test, as settings."""
    return {
        "redis_url": valkey_url,
        "dynamodb_endpoint": dynamodb_endpoint,
        "table_prefix": table_prefix,
    }


@pytest.fixture
def supervised(monkeypatch):
    """Our end of a lifeline whose other end is this very process's, as its environment says."""
    ours, theirs = socket.socketpair()
    monkeypatch.setenv(LIFELINE_VARIABLE, str(os.dup(theirs.fileno())))
    theirs.close()
    ours.settimeout(0)
    with ours:
        yield ours
