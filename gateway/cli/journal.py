"""`bedrock-gateway journal …`: the tables that records end in, and the way there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Annotated, Any

import typer

from gateway.admission.ports import LedgerEpoch
from gateway.cli.output import (
    AsJson,
    Config,
    print_facts,
    print_json,
    print_rows,
    run_or_exit,
    settings_or_exit,
)
from gateway.compose.backlog import damaged_outboxes, measure_backlog
from gateway.compose.rebuild import open_builders, read_epochs
from gateway.compose.reconcile import reconcile as compare_books
from gateway.compose.stores import open_journal, open_tables
from gateway.control.ports import TableState
from gateway.control.reconcile import Reconciliation
from gateway.domain.money import NanoUsd, format_usd
from gateway.domain.observer import ComponentFailed, Fact
from gateway.journal.dead_letter import DeadLetter
from gateway.settings import Settings
from gateway.workers.journal_flusher import JournalFlusher
from gateway.workers.letter_retry import Retried, retry_letters

app = typer.Typer(no_args_is_help=True, help="Make the tables, look after the journal.")
letters = typer.Typer(no_args_is_help=True, help="Look after entries that no table took.")
app.add_typer(letters, name="dead-letters")

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
    """Say how much is on its way to the table, the accounts' epochs, and what is damaged."""
    settings = settings_or_exit(config)
    backlog, level = run_or_exit(measure_backlog(settings))
    damaged = run_or_exit(damaged_outboxes(settings))
    epochs = run_or_exit(read_epochs(settings))
    facts = {
        "waiting": backlog.entries,
        "size_bytes": backlog.size_bytes,
        "level": level.name.lower(),
        "shards": [
            {"shard": shard, "epoch": state.number, "building": state.building}
            for shard, state in epochs
        ],
        "damaged_outboxes": [
            {"folder": folder, "size_bytes": size_bytes} for folder, size_bytes in damaged.items()
        ],
    }
    sentence = (
        f"{backlog.entries} records are on their way ({backlog.size_bytes} bytes); "
        f"the journal's level is {facts['level']}."
    )
    lines = (sentence, *_epoch_lines(epochs), *_damaged_lines(damaged))
    _say(facts, "\n".join(lines), as_json=as_json)


@app.command()
def flush(*, config: Config = None, as_json: AsJson = False) -> None:
    """Bring what nobody else is bringing to the table now."""
    settings = settings_or_exit(config)
    flushed = run_or_exit(_flush(settings))
    _say({"flushed": flushed}, f"{flushed} records were brought to the table.", as_json=as_json)


@app.command()
def reconcile(*, config: Config = None, as_json: AsJson = False) -> None:
    """Compare ledger, records, account rows and outboxes to the nano-dollar; exit 1 if they differ.

    Reads the whole table of records.
    """
    settings = settings_or_exit(config)
    result = run_or_exit(compare_books(settings))
    if as_json:
        print_json(asdict(result))
    else:
        _print_reconciliation(result)
    if result.differences:
        raise typer.Exit(1)


@app.command()
def rebuild(
    *,
    shard: Annotated[
        str | None, typer.Option(help="Which shard of the ledger, e.g. s0; all if not said.")
    ] = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Set the ledger's accounts from the books, as is done by itself where they were lost.

    No call is admitted meanwhile, for some seconds a shard. Exit 1 if a shard was left as it is,
    since somebody else sets it at this moment.
    """
    settings = settings_or_exit(config)
    built = run_or_exit(_rebuild(settings, shard))
    if not built:
        raise typer.BadParameter(f"there is no shard {shard}", param_hint="--shard")
    if as_json:
        print_json([{"shard": name, "epoch": epoch} for name, epoch in built])
    else:
        print_rows(
            ("shard", "outcome"),
            [
                (name, f"set under epoch {epoch}" if epoch else "somebody else is at it")
                for name, epoch in built
            ],
        )
    if not all(epoch for _, epoch in built):
        raise typer.Exit(1)


@letters.command("list")
def list_letters(*, config: Config = None, as_json: AsJson = False) -> None:
    """List the journal entries that no table took, and why. Their content is not shown."""
    settings = settings_or_exit(config)
    found = run_or_exit(_letters(settings))
    columns = ("letter_id", "position", "size_bytes", "why")
    rows = [[getattr(letter, column) for column in columns] for letter in found]
    if as_json:
        print_json([dict(zip(columns, row, strict=True)) for row in rows])
    else:
        print_rows(columns, rows)


@letters.command("retry")
def retry(
    letter_ids: Annotated[
        list[str] | None, typer.Argument(help="Which ones, by their letter_id; all if none.")
    ] = None,
    *,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Try to bring dead letters to their table after all; exit 1 if one stays."""
    settings = settings_or_exit(config)
    outcomes = run_or_exit(_retry(settings, letter_ids or []))
    if as_json:
        print_json([asdict(outcome) for outcome in outcomes])
    else:
        print_rows(
            ("letter_id", "outcome"),
            [(outcome.letter_id, outcome.why or "written") for outcome in outcomes],
        )
    if any(outcome.why for outcome in outcomes):
        raise typer.Exit(1)


class _ToStandardError:
    """Implements `domain.observer.Observer` for a command."""

    def tell(self, fact: Fact) -> None:
        """Prints what went wrong."""
        if isinstance(fact, ComponentFailed):
            typer.echo(f"{fact.component}: {fact.detail}", err=True)


async def _init(settings: Settings) -> list[TableState]:
    async with open_tables(settings) as tables:
        return await tables.create()


async def _letters(settings: Settings) -> list[DeadLetter]:
    async with open_tables(settings) as tables:
        return [letter async for letter in tables.dead_letters.letters()]


async def _retry(settings: Settings, letter_ids: list[str]) -> list[Retried]:
    async with open_tables(settings, _CONSUMER) as tables:
        return await retry_letters(tables.dead_letters, tables.usage, letter_ids)


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


async def _rebuild(settings: Settings, shard: str | None) -> list[tuple[str, int | None]]:
    async with (
        open_tables(settings, _CONSUMER) as tables,
        open_builders(settings, tables, _ToStandardError()) as builders,
    ):
        return [
            (builder.shard, await builder.rebuild())
            for builder in builders
            if shard in (None, builder.shard)
        ]


def _epoch_lines(epochs: Sequence[tuple[str, LedgerEpoch]]) -> list[str]:
    lines = []
    for shard, state in epochs:
        stands = "no accounts" if state.number is None else f"epoch {state.number}"
        building = "" if state.building is None else f", epoch {state.building} is being set"
        lines.append(f"Shard {shard}: {stands}{building}.")
    return lines


def _print_reconciliation(result: Reconciliation) -> None:
    print_facts(
        {
            "accounts": result.accounts,
            "records": result.records,
            "recorded": f"{format_usd(NanoUsd(result.recorded_nano_usd))} USD",
            "pending": f"{format_usd(NanoUsd(result.pending_nano_usd))} USD",
            "on their way": result.unflushed,
            "owed by outboxes": sum(outbox.owed for outbox in result.outboxes),
            "read at rest": "yes" if result.is_quiet else "no: calls came in meanwhile",
        }
    )
    if not result.differences:
        typer.echo("The books agree.")
        return
    columns = ("account", "what", "expected", "found", "ids")
    print_rows(columns, [[getattr(d, name) for name in columns] for d in result.differences])


def _damaged_lines(damaged: Mapping[str, int]) -> list[str]:
    """What is kept for a person to look at: nothing else ever deletes it."""
    if not damaged:
        return []
    sentence = (
        f"{len(damaged)} outboxes of this host had damaged notes and were put aside "
        f"({sum(damaged.values())} bytes). Their sound notes were brought to the ledger; a damaged "
        "one's call was charged in full at its deadline, if the ledger held it. Only you delete "
        "them:"
    )
    return [sentence, *(f"  {folder}" for folder in damaged)]


def _say(document: dict[str, Any], sentence: str, *, as_json: bool) -> None:
    if as_json:
        print_json(document)
    else:
        typer.echo(sentence)
