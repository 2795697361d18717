"""The simulated Bedrock as a process of its own: `python -m gateway.sandbox.bedrock.process`.

It prints its address in one line of JSON when it is ready, and ends on SIGTERM or Ctrl-C.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from gateway.sandbox.bedrock.credentials import AcceptedCredentials
from gateway.sandbox.bedrock.server import start_simulated_bedrock
from gateway.sandbox.children import LOOPBACK, free_port, spawn, stop, until_ready

_SECRETS = ("SIMULATED_BEDROCK_SECRET", "SIMULATED_BEDROCK_BEARER_TOKEN")


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the server until it is told to end. Secrets come by the environment, if at all."""
    parser = argparse.ArgumentParser(description="A simulated Amazon Bedrock with its own bill.")
    parser.add_argument("--port", type=int, default=0, help="0: any free one")
    parser.add_argument("--access-key", default=AcceptedCredentials().access_key)
    given = parser.parse_args(arguments)
    credentials = AcceptedCredentials(
        access_key=given.access_key,
        secret=os.environ.get(_SECRETS[0], AcceptedCredentials().secret),
        bearer_token=os.environ.get(_SECRETS[1]),
    )
    asyncio.run(_serve(given.port, credentials))


async def _serve(port: int, credentials: AcceptedCredentials) -> None:
    told_to_end = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told_to_end.set)
    async with start_simulated_bedrock(credentials=credentials, port=port) as simulated:
        sys.stdout.write(json.dumps({"url": simulated.url}) + "\n")
        sys.stdout.flush()
        await told_to_end.wait()


@asynccontextmanager
async def start_simulated_bedrock_process(
    directory: Path,
    *,
    credentials: AcceptedCredentials | None = None,
    port: int | None = None,
    timeout_s: float = 15.0,
) -> AsyncIterator[str]:
    """A simulated Bedrock in a process of its own, by its URL, for as long as the context lives.

    Raises: SandboxError if it does not start.
    """
    accepted = credentials or AcceptedCredentials()
    chosen = port or free_port()
    log = directory / "bedrock.log"
    environment = {**os.environ, _SECRETS[0]: accepted.secret}
    if accepted.bearer_token is not None:
        environment[_SECRETS[1]] = accepted.bearer_token
    command = [sys.executable, "-m", "gateway.sandbox.bedrock.process"]
    command += ["--port", str(chosen), "--access-key", accepted.access_key]
    process = spawn(command, environment, log)
    url = f"http://{LOOPBACK}:{chosen}"
    await until_ready(
        "the simulated Bedrock", process, lambda: _answers_its_bill(url), log, timeout_s
    )
    try:
        yield url
    finally:
        await stop(process)


async def _answers_its_bill(url: str) -> bool:
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2)) as session,
            session.get(f"{url}/_sim/bill") as response,
        ):
            return response.ok
    except (aiohttp.ClientError, TimeoutError, OSError):
        return False


if __name__ == "__main__":
    main()
