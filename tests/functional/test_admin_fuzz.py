"""The running admin API is asked everything its description allows, and what it does not."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from gateway.adapters.system import SystemClock
from gateway.compose.admin import open_admin
from gateway.compose.stores import make_key_material, make_sealer, open_tables
from gateway.control.keys import KeyRequest, create_key
from gateway.domain.observer import UnexpectedError
from gateway.settings import load_settings
from tests.fakes.observers import RememberingObserver
from tests.fakes.running_gateway import MASTER_KEY

_COMMAND = Path(__file__).parents[2] / ".venvs" / "tool-schemathesis" / "bin" / "schemathesis"
_SECONDS = 25


@pytest.fixture
async def running(stores, tmp_path):
    """The admin API on real stores, and the bearer key of its first administrator."""
    (tmp_path / "policies").mkdir()
    settings = load_settings(
        {
            **stores,
            "GATEWAY_ADMIN_LISTEN": "127.0.0.1:0",
            "GATEWAY_REGION": "us-east-1",
            "GATEWAY_MASTER_KEY": MASTER_KEY,
            "GATEWAY_POLICIES": str(tmp_path / "policies"),
            "GATEWAY_STATE_DIR": str(tmp_path / "state"),
            "GATEWAY_REDIS_TIMEOUT_MS": "5000",
        }
    )
    observer = RememberingObserver()
    request = KeyRequest(org=None, role="admin", created_by="test")
    async with open_tables(settings) as tables:
        await tables.create()
        key = await create_key(
            tables.keys, make_sealer(settings), request, make_key_material(), SystemClock().now()
        )
    async with open_admin(settings, observer) as runner:
        host, port = runner.addresses[0][:2]
        yield f"http://{host}:{port}", key.bearer, observer


@pytest.mark.timeout(180)
async def test_the_running_api_keeps_to_its_description(running, tmp_path):
    url, bearer, observer = running
    assert _COMMAND.is_file(), "install it: make .venvs/tool-schemathesis/.installed"
    process = await asyncio.create_subprocess_exec(
        *(str(_COMMAND), "run", f"{url}/v1/openapi.json", "--url", url),
        *("--header", f"Authorization: Bearer {bearer}", "--no-color"),
        *("--max-time", str(_SECONDS), "--max-examples", "20", "--seed", "20261122"),
        *("--phases", "examples,coverage,fuzzing", "--generation-database", "none"),
        # One worker: the syntax trees of Python 3.11 cannot be made by two threads at a time.
        *("--workers", "1"),
        # What a schema cannot say (an expiry lies ahead, a name is new) is refused all the same.
        *("--exclude-checks", "positive_data_acceptance"),
        *("--suppress-health-check", "all", "--continue-on-failure"),
        *("--report-json-path", str(tmp_path / "report.json")),
        cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    (tmp_path / "output.txt").write_bytes(output)
    bugs = [fact.traceback for fact in observer.facts if isinstance(fact, UnexpectedError)]
    assert bugs == []
    assert process.returncode == 0, output.decode()[-8000:]
    assert json.loads((tmp_path / "report.json").read_text())
