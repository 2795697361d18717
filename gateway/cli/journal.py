"""`bedrock-gateway journal …`: the tables that records end in, and the way there."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import typer

from gateway.cli.output import (
    AsJson,
    Config,
    print_json,
    print_rows,
    run_or_exit,
    settings_or_exit,
)
from gateway.compose.stores import open_journal, open_tables
from gateway.control.ports import TableState
from gateway.domain.observer import ComponentFailed, Fact
from gateway.settings import Settings
from gateway.workers.journal_flusher import JournalFlusher

app = typer.Typer(no_args_is_help=True, help="Make the tables, look after the journal.")

_CONSUMER = "cli"


@app.command()
def init(*, config: Config = None, as_json: AsJson = False) -> None:
    """Create the tables that are missing and wait until they can be used. Safe to repeat."""
    settings = settings_or_exit(config)
    states = run_or_exit(_init(settings))
    if as_json:
        print_json([asdict(state) for state in states])
        return
    print_rows(
        ("table", "", "expires by", "point-in-time recovery"),
        [
            (
                state.name,
                "created" if state.created else "was there",
                state.ttl_attribute or "never",
                "on" if state.point_in_time_recovery else "this server has none",
            )
            for state in states
        ],
    )


@app.command()
def status(*, config: Config = None, as_json: AsJson = False) -> None:
    """Say how many records are on their way to the table."""
    settings = settings_or_exit(config)
    waiting = run_or_exit(_backlog(settings))
    _say({"waiting": waiting}, f"{waiting} records are on their way.", as_json=as_json)


@app.command()
def flush(*, config: Config = None, as_json: AsJson = False) -> None:
    """Bring what nobody else is bringing to the table now."""
    settings = settings_or_exit(config)
    flushed = run_or_exit(_flush(settings))
    _say({"flushed": flushed}, f"{flushed} records were brought to the table.", as_json=as_json)


class _ToStandardError:
    """Implements `domain.observer.Observer` for a command."""

    def tell(self, fact: Fact) -> None:
        """Prints what went wrong."""
        if isinstance(fact, ComponentFailed):
            typer.echo(f"{fact.component}: {fact.detail}", err=True)


async def _init(settings: Settings) -> list[TableState]:
    async with open_tables(settings) as tables:
        return await tables.create()


async def _backlog(settings: Settings) -> int:
    async with open_journal(settings, _CONSUMER) as journal:
        return await journal.backlog()


async def _flush(settings: Settings) -> int:
    async with (
        open_tables(settings, _CONSUMER) as tables,
        open_journal(settings, _CONSUMER) as journal,
    ):
        flusher = JournalFlusher(journal, tables.usage, tables.dead_letters, _ToStandardError())
        flushed = 0
        while count := await flusher.flush_once():
            flushed += count
        return flushed


def _say(document: dict[str, Any], sentence: str, *, as_json: bool) -> None:
    if as_json:
        print_json(document)
    else:
        typer.echo(sentence)
