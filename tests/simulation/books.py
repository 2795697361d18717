"""At rest: the bill, the table and the ledger say the same, to the nano-dollar (I4, I5)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.domain.ids import RequestId
from gateway.journal.account_row import account_window
from gateway.journal.codec import from_item
from tests.simulation.recovery import account_sums

if TYPE_CHECKING:
    from tests.simulation.world import World


def compare_books(world: World) -> None:
    """Raises: ViolationError."""
    _nothing_is_open(world)
    records = {
        RequestId(key[0]): from_item(item)
        for key, item in world.dynamo.tables["token_usage"].items()
    }
    _against_the_bill(world, records)
    sums = account_sums(world.dynamo)
    _rows_are_sums(world, records, sums)
    if world.has_lost_writes or any(f.is_belated for f in world.laws.lineage.fates.values()):
        _nothing_counts_twice(world, records)
        world.builders[0].rebuild()
        world.deliver_all()
        world.come_to_rest()
        if account_sums(world.dynamo) != sums:
            raise world.trace.violation("the books changed while nothing happened")
    estimated = world.laws.lineage.estimated()
    over = {key for key in sums if account_window(key).until_ms <= world.now_ms}
    for key in sorted(set(sums) - world.laws.lineage.gone - over):
        spent, _, overrun = world.state.balances.get(key, (0, 0, 0))
        # What a soft budget's estimate missed only the ledger knows; a rebuild forgets it.
        is_right = overrun == sums[key][1] or key in estimated
        if spent != sums[key][0] or not is_right:
            raise world.trace.violation(
                f"I5: {key} has {spent} (overrun {overrun}) in the ledger, {sums[key]} in the books"
            )
    extra = [k for k, (spent, _, _) in world.state.balances.items() if spent and k not in sums]
    if extra:
        raise world.trace.violation(f"I5: the books know nothing of {extra}")


def _nothing_is_open(world: World) -> None:
    if world.state.due:
        raise world.trace.violation(f"I4: {sorted(world.state.due)} never ended", world.state.due)
    held = {key: b[1] for key, b in world.state.balances.items() if b[1]}
    if held or any(world.state.leases.values()):
        raise world.trace.violation(f"I4: held for nobody: {held or world.state.leases}")
    if world.state.journal_length:
        raise world.trace.violation(f"I5: {world.state.journal_length} records are not flushed")
    if letters := world.dynamo.tables["dead_letters"]:
        raise world.trace.violation(f"I5: dead letters: {next(iter(letters.values()))}")
    for gateway in world.gateways:
        owed = gateway.outbox.open_notes
        if owed or len(gateway.replayer._adopted):
            raise world.trace.violation(f"I4: {gateway.life.name} still owes {owed} endings")
        folders = {path.name for path in gateway.root.iterdir()} - {
            g.life.name for g in world.gateways
        }
        if folders:
            raise world.trace.violation(f"I4: nobody took up {sorted(folders)}", folders)


def _against_the_bill(world: World, records: dict[RequestId, dict[str, Any]]) -> None:
    for name in world.bedrock.bill:
        if name not in records and name not in world.beyond_reach:
            raise world.trace.violation(f"I5: {name} was billed and is in no book", [name])
    for name, record in records.items():
        charge, billed = record["cost_nano_usd"], world.bedrock.nano_usd(name)
        is_known = name in world.bedrock.bill
        if record["exact"] and charge != (billed if is_known else 0):
            raise world.trace.violation(f"I5: {name}: charged {charge}, billed {billed}", [name])
        if record["rank"] != (2 if record["exact"] else 1):
            raise world.trace.violation(f"I5: {name}: rank {record['rank']} is not true", [name])
        if not record["exact"] and charge < record["hold_nano_usd"]:
            raise world.trace.violation(f"I5: {name}: a refund without a measurement", [name])
        if name not in world.bedrock.sent and record["settled_at"] is not None:
            raise world.trace.violation(f"I5: {name} was never sent and is settled", [name])
        if charge < billed and name not in world.bedrock.beyond_bound:
            raise world.trace.violation(f"I5: {name}: {charge} is below {billed}", [name])
        if name not in world.notebook.plans:
            raise world.trace.violation(f"I5: {name} was never planned", [name])


def _rows_are_sums(
    world: World, records: dict[RequestId, dict[str, Any]], sums: dict[str, tuple[int, int]]
) -> None:
    expected: dict[str, tuple[int, int]] = {}
    total = 0
    for record in records.values():
        total += record["cost_nano_usd"]
        for key in record["accounts"]:
            if key.startswith("usd:"):
                posted, overrun = expected.get(key, (0, 0))
                expected[key] = (
                    posted + record["cost_nano_usd"],
                    overrun + record["overrun_nano_usd"],
                )
    if {k: v for k, v in sums.items() if any(v)} != {k: v for k, v in expected.items() if any(v)}:
        raise world.trace.violation(f"I5: account rows {sums} are not the records' {expected}")
    rolled = sum(
        int(item["nano_usd"]["N"])
        for (key, _), item in world.dynamo.tables["usage_rollups"].items()
        if key.startswith("day|platform|platform|") and "nano_usd" in item
    )
    if rolled != total:
        raise world.trace.violation(f"I5: rollups say {rolled}, the records {total}")


def _nothing_counts_twice(world: World, records: dict[RequestId, dict[str, Any]]) -> None:
    """The ledger may lack what no living worker could tell it, until a rebuild; nothing else."""
    lineage = world.laws.lineage
    for key in sorted(lineage.base | world.state.balances):
        for name, amount in lineage.counted_in(key).items():
            record = records.get(name)
            known = record["cost_nano_usd"] if record and key in record["accounts"] else 0
            # The worst case of a call stays in a ledger that has forgotten what would correct it:
            # it expired once more after a rollback, or came from the books before they knew better,
            # or its worker's host was away for longer than a tombstone stays.
            fate = lineage.fates.get(name)
            is_worst_case = amount == lineage.in_books.get((name, key)) or (
                fate is not None and (fate.state == "expired" or fate.is_belated)
            )
            if amount > known and not (is_worst_case and known):
                raise world.trace.violation(
                    f"I5: {key} counts {amount} of {name}, the books {known}", [name]
                )
