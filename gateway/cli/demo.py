"""`bedrock-gateway demo`: the main job on embedded parts, with a short traffic to look at."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from gateway.cli.by_hand import hand_lines, write_hand_file
from gateway.cli.output import forget_aws_account, gateway_environment
from gateway.cli.serve import run_until_done
from gateway.compose.demo import (
    issue_hand_keys,
    issue_traffic_keys,
    run_demo,
    write_policy,
)
from gateway.compose.demo_steering import Shown
from gateway.compose.host import free_address, run_host
from gateway.compose.observers import make_observer
from gateway.compose.sandbox import sandbox
from gateway.compose.signals import until_told_to_stop
from gateway.sandbox.books import TrafficReport
from gateway.settings import load_settings

_PREFIX = "demo_"
_UNATTENDED_S = 900.0
_PIPE_WIDTH = 160


def demo(
    *,
    once: Annotated[
        bool, typer.Option("--once", help="End after the tables instead of serving on.")
    ] = False,
) -> None:
    """Show the gateway at work: no account, no root, no Docker; nothing is left behind.

    Exits with 1 if the three books do not agree, or anything else shown is not as it should be.
    """
    forget_aws_account()
    run_until_done(_demo(serve_on=not once and not os.environ.get("CI")))


async def _demo(*, serve_on: bool) -> None:
    console = Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH)
    console.print("Starting Valkey, a DynamoDB API, a simulated Bedrock and the gateway …")
    async with AsyncExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bedrock-")))
        emulators = load_settings(gateway_environment()).emulators
        parts = await stack.enter_async_context(
            sandbox(directory, table_prefix=_PREFIX, emulators=emulators)
        )
        environment = {
            **parts.environment,
            "GATEWAY_POLICIES": str(write_policy(directory / "policies")),
            "GATEWAY_LOG_LEVEL": os.environ.get("GATEWAY_LOG_LEVEL", "warning"),
            "GATEWAY_WORKERS": os.environ.get("GATEWAY_WORKERS", "2"),
            "GATEWAY_LISTEN": os.environ.get("GATEWAY_LISTEN", free_address(8080)),
            "GATEWAY_ADMIN_LISTEN": os.environ.get("GATEWAY_ADMIN_LISTEN", free_address(8081)),
        }
        settings = load_settings(environment)
        observer = make_observer(settings, "supervisor")
        host = await stack.enter_async_context(run_host(settings, observer, environment))
        hand_keys = await issue_hand_keys(settings)
        traffic_keys = await issue_traffic_keys(settings)
        console.print("Stock boto3 clients are calling …")
        report = await run_demo(settings, parts, traffic_keys, f"http://{host.listen}")
        print_report(console, report.traffic)
        print_steering(console, report.shown)
        file = write_hand_file(directory, settings, host, hand_keys)
        bill = f"The simulated Bedrock's own bill: {parts.bedrock_url}/_sim/bill"
        for line in ("", *hand_lines(settings, host, hand_keys, file), bill):
            console.print(line, highlight=False, markup=False, soft_wrap=True)
        if not report.is_right:
            raise typer.Exit(1)
        if serve_on:
            await _serve_on(console)


async def _serve_on(console: Console) -> None:
    """Keeps everything running to be tried by hand; where nobody sits, not for ever."""
    attended = sys.stdin.isatty()
    limit = "" if attended else f" (or in {_UNATTENDED_S / 60:.0f} minutes)"
    console.print(f"\nServing until Ctrl-C{limit}.")
    with suppress(TimeoutError):
        async with asyncio.timeout(None if attended else _UNATTENDED_S):
            await until_told_to_stop()


def print_report(console: Console, report: TrafficReport) -> None:
    """Shows what the clients saw, who spent what, and whether the books agree."""
    calls = Table("user", "call", "what the client saw", "tokens in", "out", title="Calls")
    for saw in report.saw:
        result = saw.result if not saw.detail else f"{saw.result}: {saw.detail}"
        calls.add_row(
            saw.user, saw.call, result, _count(saw.input_tokens), _count(saw.output_tokens)
        )
    console.print(calls)
    spend = Table("team", "user", "calls", "tokens in", "out", "USD", "billed USD", title="Spend")
    for row in report.spend:
        spend.add_row(
            row.team,
            row.user,
            str(row.calls),
            str(row.input_tokens),
            str(row.output_tokens),
            f"{row.usd:f}",
            f"{row.billed_usd:f}",
        )
    console.print(spend)
    books = Table("book", "calls", "USD", title="The three books")
    for book in report.books:
        books.add_row(book.name, str(book.calls), f"{book.usd:f}")
    console.print(books)
    verdict = "The books agree" if report.books_agree else "THE BOOKS DO NOT AGREE"
    console.print(
        f"{verdict}: ledger - bill = {report.difference_usd:f} USD "
        "(each call is rounded up once, to a nano-dollar)."
    )


def print_steering(console: Console, shown: Sequence[Shown]) -> None:
    """Shows what an operator did while the gateway served, and what came of it."""
    console.print("\nWhile it serves:")
    for one in shown:
        mark = "" if one.is_right else "NOT AS IT SHOULD BE: "
        line = f"  {mark}{one.what}\n    {one.result}"
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def _count(tokens: int | None) -> str:
    return "" if tokens is None else str(tokens)
