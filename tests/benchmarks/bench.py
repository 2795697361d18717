"""`make bench`: what the gateway costs per call, as ratios against bare aiohttp in one run.

Starts a fast fake upstream, bare aiohttp and the gateway in its real configuration (SigV4, policy,
Valkey, one reserve and one post a call, metering, record), interleaves them, and prints medians.
Absolute figures drift from machine to machine; the ratios are what counts.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import uvloop
from load import Outcome, run_load

from gateway.adapters.dynamodb.connection import open_dynamodb
from gateway.adapters.dynamodb.tables import create_tables
from gateway.bedrock.sigv4 import RequestToSign, sign
from gateway.compose.stores import make_key_material, make_sealer, open_tables
from gateway.control.keys import KeyRequest, NewKey, create_key
from gateway.sandbox.processes import start_dynamodb, start_valkey
from gateway.settings import load_settings

_HERE = Path(__file__).parent
_REGION = "us-east-1"
_MODEL = "amazon.nova-lite-v1%3A0"
_POLICY = """\
version: 1
org: bench
budgets:
  - {name: month, scope: org, period: month, limit_usd: 1000000}
  - {name: day, scope: user, period: day, limit_usd: 1000000}
limits:
  - {name: pace, scope: user, requests_per_minute: 100000000}
"""
_SHAPES = {"json 300 B": (300, "converse"), "json 8 kB": (8192, "converse")}
_STREAM = "64-event stream"
_BUSY_LOAD = 0.95
_MASTER_KEY = "bench-bench-bench-bench-0123456789abcdefghijklmnop"


@dataclass(frozen=True, slots=True)
class Target:
    """A server under measurement."""

    name: str
    port: int
    pid: int | None


@dataclass(frozen=True, slots=True)
class Figure:
    """Medians over the rounds. Units: requests a second, microseconds, megabytes."""

    target: str
    shape: str
    rps: float
    cpu_us: float | None
    p50_us_alone: float
    first_byte_us_alone: float
    rss_mb: float | None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement")
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--json", type=Path, help="write the figures here too")
    uvloop.run(_bench(parser.parse_args()))


async def _bench(options: argparse.Namespace) -> None:
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        upstream = await stack.enter_async_context(_child([str(_HERE / "fake_upstream.py")]))
        address = f"http://127.0.0.1:{upstream.port}"
        bare = await stack.enter_async_context(_child([str(_HERE / "bare_proxy.py"), address]))
        gateway, key = await stack.enter_async_context(_gateway(folder, address))
        targets = [
            Target("direct", upstream.port, None),
            Target("bare aiohttp", bare.port, bare.pid),
            Target("gateway", gateway.port, gateway.pid),
        ]
        figures = await _measure(targets, key, options)
    _print(figures)
    if options.json:
        options.json.write_text(json.dumps([asdict(figure) for figure in figures], indent=1))


async def _measure(targets: list[Target], key: NewKey, options: argparse.Namespace) -> list[Figure]:
    shapes = {**_SHAPES, _STREAM: (300, "converse-stream")}
    figures = []
    for shape, (size, operation) in shapes.items():
        rounds: dict[str, list[Figure]] = {target.name: [] for target in targets}
        for _ in range(options.rounds):
            for target in targets:
                request = _request(target.port, key, size, operation)
                rounds[target.name].append(await _round(target, shape, request, options))
        figures += [_median(one) for one in rounds.values()]
    return figures


async def _round(target: Target, shape: str, request: bytes, options: argparse.Namespace) -> Figure:
    await run_load(target.port, request, connections=4, seconds=0.3)
    alone = await run_load(target.port, request, connections=1, seconds=options.seconds / 2)
    before = _cpu_s(target.pid)
    own_before = sum(os.times()[:2])
    loaded = await run_load(
        target.port, request, connections=options.connections, seconds=options.seconds
    )
    own_share = (sum(os.times()[:2]) - own_before) / loaded.wall_s
    for outcome in (alone, loaded):
        _check(target, outcome)
    if target.name != "direct" and own_share > _BUSY_LOAD:
        raise SystemExit(f"the load generator was the bottleneck against {target.name}")
    after = _cpu_s(target.pid)
    cpu_us = None if before is None or after is None else (after - before) * 1e6 / loaded.requests
    return Figure(
        target=target.name,
        shape=shape,
        rps=loaded.requests / loaded.wall_s,
        cpu_us=cpu_us,
        p50_us_alone=alone.percentile(0.5) * 1e6,
        first_byte_us_alone=statistics.median(alone.first_bytes_s) * 1e6,
        rss_mb=_rss_mb(target.pid),
    )


def _check(target: Target, outcome: Outcome) -> None:
    if set(outcome.statuses) != {200}:
        raise SystemExit(f"{target.name} answered {outcome.statuses}: nothing was measured")


def _median(rounds: list[Figure]) -> Figure:
    def middle(name: str) -> float | None:
        values = [getattr(one, name) for one in rounds]
        return None if None in values else statistics.median(values)

    numbers = ("rps", "cpu_us", "p50_us_alone", "first_byte_us_alone", "rss_mb")
    medians = {name: middle(name) for name in numbers}
    return Figure(target=rounds[0].target, shape=rounds[0].shape, **medians)


def _request(port: int, key: NewKey, size: int, operation: str) -> bytes:
    text = "x" * max(1, size - 120)
    body = json.dumps(
        {
            "messages": [{"role": "user", "content": [{"text": text}]}],
            "inferenceConfig": {"maxTokens": 100},
        }
    ).encode()
    path = f"/model/{_MODEL}/{operation}"
    headers = [("host", f"127.0.0.1:{port}"), ("content-type", "application/json")]
    headers += sign(
        RequestToSign(
            method="POST",
            raw_path=path,
            raw_query="",
            headers=headers,
            body_sha256=hashlib.sha256(body).hexdigest(),
        ),
        access_key=key.stored.key_id,
        secret=key.secret,
        region=_REGION,
        service="bedrock",
        at=datetime.now(UTC),
    )
    lines = [f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers)]
    lines.append(f"content-length: {len(body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


@asynccontextmanager
async def _child(
    arguments: list[str], environment: dict[str, str] | None = None
) -> AsyncIterator[Target]:
    """A Python process of ours that prints its port; it ends when its input is closed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *arguments,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(_HERE.parent.parent), **(environment or {})},
    )
    assert process.stdout is not None
    assert process.stdin is not None
    port = int(await process.stdout.readline())
    try:
        yield Target(arguments[0], port, process.pid)
    finally:
        process.stdin.close()
        await process.wait()


@asynccontextmanager
async def _gateway(folder: Path, upstream: str) -> AsyncIterator[tuple[Target, NewKey]]:
    for name in ("valkey", "dynamodb", "policies"):
        (folder / name).mkdir()
    (folder / "policies" / "bench.yaml").write_text(_POLICY)
    async with AsyncExitStack() as stack:
        redis_url = await stack.enter_async_context(
            start_valkey(folder / "valkey", append_only=True)
        )
        tables = await stack.enter_async_context(start_dynamodb(folder / "dynamodb"))
        environment = {
            "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE",
            "AWS_SECRET_ACCESS_KEY": "example",
            "GATEWAY_REGION": _REGION,
            "GATEWAY_REDIS_URL": redis_url,
            "GATEWAY_DYNAMODB_ENDPOINT": tables,
            "GATEWAY_UPSTREAM_ENDPOINT": upstream,
            "GATEWAY_POLICIES": str(folder / "policies"),
            "GATEWAY_MASTER_KEY": _MASTER_KEY,
            "GATEWAY_LOG_LEVEL": "warning",
            "GATEWAY_STATE_DIR": str(folder / "state"),
            "GATEWAY_REDIS_TIMEOUT_MS": "2000",
        }
        settings = load_settings(environment)
        async with open_dynamodb(tables, _REGION) as client:
            await create_tables(client, settings.table_prefix)
        async with open_tables(settings) as opened:
            key = await create_key(
                opened.keys,
                make_sealer(settings),
                KeyRequest(org="bench", team="bench", user="bench", created_by="bench"),
                make_key_material(),
                datetime.now(UTC),
            )
        target = await stack.enter_async_context(
            _child([str(_HERE / "gateway_process.py")], environment)
        )
        yield target, key


def _cpu_s(pid: int | None) -> float | None:
    if pid is None or not Path("/proc").is_dir():
        return None
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _rss_mb(pid: int | None) -> float | None:
    if pid is None or not Path("/proc").is_dir():
        return None
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return None


def _print(figures: list[Figure]) -> None:
    by_shape: dict[str, dict[str, Figure]] = {}
    for figure in figures:
        by_shape.setdefault(figure.shape, {})[figure.target] = figure
    head = f"{'':18}{'target':14}{'req/s':>9}{'x bare':>8}{'CPU us':>8}{'x bare':>8}"
    print(head + f"{'p50 us':>8}{'added':>8}{'x bare':>8}{'RSS MB':>8}")
    for shape, rows in by_shape.items():
        direct, bare = rows["direct"], rows["bare aiohttp"]
        for figure in rows.values():
            added = figure.p50_us_alone - direct.p50_us_alone
            bare_added = bare.p50_us_alone - direct.p50_us_alone
            print(
                f"{shape:18}{figure.target:14}{figure.rps:9.0f}{figure.rps / bare.rps:8.2f}"
                f"{_of(figure.cpu_us)}{_ratio(figure.cpu_us, bare.cpu_us)}"
                f"{figure.p50_us_alone:8.0f}{added:8.0f}{_ratio(added, bare_added)}"
                f"{_of(figure.rss_mb)}"
            )


def _of(value: float | None) -> str:
    return f"{'-':>8}" if value is None else f"{value:8.0f}"


def _ratio(value: float | None, base: float | None) -> str:
    return f"{'-':>8}" if value is None or not base else f"{value / base:8.2f}"


if __name__ == "__main__":
    main()
