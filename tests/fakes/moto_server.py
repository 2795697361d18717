"""A second DynamoDB API (moto's server), from an environment of its own."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from gateway.sandbox.children import LOOPBACK, free_port, spawn, stop, until_ready

_BINARY = Path(__file__).parents[2] / ".venvs" / "emulator-moto" / "bin" / "moto_server"
_START_WITHIN_S = 60.0


@asynccontextmanager
async def start_moto(directory: Path) -> AsyncIterator[str]:
    """The server's URL for as long as the context lives. `make test` installs it."""
    assert _BINARY.is_file(), "install it: make .venvs/emulator-moto/.installed"
    port = free_port()
    url = f"http://{LOOPBACK}:{port}"
    log = directory / "moto.log"
    environment = {n: v for n, v in os.environ.items() if not n.startswith("AWS_")}
    process = spawn([str(_BINARY), "-H", LOOPBACK, "-p", str(port)], environment, log)

    async def answers() -> bool:
        try:
            async with aiohttp.ClientSession() as session, session.get(f"{url}/moto-api/") as page:
                return page.ok
        except (aiohttp.ClientError, OSError):
            return False

    try:
        await until_ready("moto", process, answers, log, _START_WITHIN_S)
        yield url
    finally:
        await stop(process)
