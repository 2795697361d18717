"""Seeded defects of the Lua ledger: each has to be found by a quick test, or the tests are weak.

`python -m tests.mutants.ledger_mutants` loads each defect on a real Valkey, runs the histories of
the differential test and a failover against it, and says which one found it (`NUMBER…` runs some).
"""

from __future__ import annotations

import asyncio
import hashlib
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

from gateway.adapters.redis import (
    bundle_store,
    control_state,
    functions,
    journal_stream,
    ledger,
    rebuild,
)
from gateway.adapters.redis.connection import connect
from gateway.adapters.redis.functions import FunctionLibrary, read_library
from gateway.sandbox.processes import start_valkey
from tests.fakes import control_probes, ledger_probes
from tests.fakes.ledger_history import History

HISTORIES = 12
STEPS = 150

# (file, find, replace): one line of Lua each, replaced once.
MUTANTS: tuple[tuple[str, str, str], ...] = (
    # Arithmetic of buckets.
    ("prelude", "tonumber(backlog) - elapsed_ms * capacity", "tonumber(backlog) - elapsed_ms"),
    ("prelude", "math.max(0, now_ms - tonumber(at_ms))", "now_ms - tonumber(at_ms)"),
    ("prelude", "(tokens - claim.amount) * claim.period_ms", "(tokens - claim.amount)"),
    ("prelude", "write_backlog(claim.key, backlog + difference", "write_backlog(claim.key, backlog - difference"),
    ("prelude", "math.min(math.max(0, backlog), MAX_INTEGER)", "math.min(backlog, MAX_INTEGER)"),
    ("prelude", "(rest > 0 and 1 or 0)", "1"),
    ("prelude", "if rest < 0 then rest = rest + by end", ""),
    # Leases.
    ("prelude", "redis.call('ZREMRANGEBYSCORE', key, '-inf', now_ms)", ""),
    ("prelude", "redis.call('ZADD', key, deadline_ms, id)\n  redis.call('PEXPIRE', key, LEASES", "redis.call('ZADD', key, now_ms, id)\n  redis.call('PEXPIRE', key, LEASES"),
    ("reserve", "now_ms + 1, '+inf'", "'-inf', '+inf'"),
    ("reserve", "claim.ceiling - claim.used - 1", "claim.ceiling - claim.used"),
    ("post", "redis.call('ZREM', claim.key, id)", ""),
    ("void", "redis.call('ZREM', claim.key, id)", ""),
    ("expire", "redis.call('ZREM', claim.key, id)", ""),
    ("heartbeat", "if ends_ms and tonumber(ends_ms) > now_ms then", "if ends_ms then"),
    # Holds and tombstones.
    ("prelude", "redis.call('ZADD', due_key, deadline_ms, id)", ""),
    ("prelude", "redis.call('SET', hold_key, words, 'PX', ttl_ms)\n  redis.call('ZREM', due_key, id)", "redis.call('SET', hold_key, words, 'PX', ttl_ms)"),
    ("prelude", "redis.call('SET', hold_key, words, 'PX', ttl_ms)", "redis.call('DEL', hold_key)"),
    ("prelude", "redis.call('HINCRBY', claim.key, 'pending', 0 - claim.amount)", "0"),
    ("prelude", "if pending < 0 and redis.call('HLEN', claim.key) == 1 then", "if false then"),
    ("prelude", "if claim.amount == 0 and redis.call('EXISTS', claim.key) == 0 then return end", ""),
    ("prelude", "redis.call('HINCRBY', claim.key, 'posted', charge)", "redis.call('HINCRBY', claim.key, 'posted', claim.amount)"),
    ("prelude", "if charge > claim.amount then", "if charge >= claim.amount * 2 then"),
    ("prelude", "redis.call('HINCRBY', claim.key, 'overrun', charge - claim.amount)", "redis.call('HINCRBY', claim.key, 'overrun', charge)"),
    # The rule.
    ("reserve", "claim.ceiling - claim.used - claim.amount", "claim.ceiling - claim.used"),
    ("reserve", "enforced == 1 and ceiling or MAX_INTEGER", "ceiling"),
    ("reserve", "now_ms < claim.starts_ms or now_ms >= claim.ends_ms", "now_ms >= claim.ends_ms"),
    ("reserve", "now_ms < claim.starts_ms or now_ms >= claim.ends_ms", "now_ms < claim.starts_ms"),
    ("reserve", "if now_ms >= claim.boundary_ms then", "if now_ms > claim.boundary_ms + 3600000 then"),
    ("reserve", "home, claim.resets_at_ms = home + 1, claim.ends_ms", "home = home + 1"),
    ("reserve", "for at = home - claim.earlier, home do", "for at = home, home do"),
    ("reserve", "for at = home - claim.earlier, home do", "for at = claim.first_key, home do"),
    ("reserve", "tonumber(stored[1] or '0') + tonumber(stored[2] or '0')", "tonumber(stored[1] or '0')"),
    ("reserve", "tonumber(stored[1] or '0') + tonumber(stored[2] or '0')", "tonumber(stored[2] or '0')"),
    ("reserve", "(claim.amount - claim.ceiling) * claim.period_ms", "(claim.amount - claim.ceiling - 1) * claim.period_ms"),
    ("reserve", "claim.resets_at_ms > balance.resets_at_ms", "claim.resets_at_ms < balance.resets_at_ms"),
    ("reserve", "claim.wait_ms > other.wait_ms", "claim.wait_ms < other.wait_ms"),
    ("reserve", "return balance or other, false", "return other or balance, false"),
    ("reserve", "local blocks = claim.enforced and claim.room < 0", "local blocks = claim.room < 0"),
    ("reserve", "if blocking.kind ~= 'usd' then return denial end", ""),
    ("reserve", "if claim.room >= 0 and not seen[claim.key] then", "if not seen[claim.key] then"),
    ("reserve", "if claim.room >= 0 and not seen[claim.key] then", "if claim.room >= 0 then"),
    ("reserve", "redis.call('HINCRBY', claim.key, 'pending', claim.amount)", "redis.call('HSET', claim.key, 'pending', claim.amount)"),
    ("reserve", "if claim.is_new then", "if false then"),
    ("reserve", "claim.backlog + claim.amount * claim.period_ms", "claim.amount * claim.period_ms"),
    ("reserve", "if state ~= 'pending' then return { id, 'TOMBSTONE', now_ms, '' } end", "if state ~= 'pending' then state = nil return { id, 'STALE_WINDOW', now_ms, '' } end"),
    ("reserve", "receipt[5] = 1", ""),
    ("reserve", "receipt[#receipt + 1] = claim.used + claim.amount", "receipt[#receipt + 1] = claim.used"),
    # Divisible rungs.
    ("reserve", "n = math.min(n, rung.least + divided_down(claim.room, claim.unit))", "n = math.min(n, rung.least + divided_up(claim.room, claim.unit))"),
    ("reserve", "n = math.min(n, rung.least + divided_down(claim.room, claim.unit))", "n = math.min(n, divided_down(claim.room, claim.unit))"),
    ("reserve", "if claim.unit > 0 and (claim.enforced or claim.kind == 'usd') then", "if claim.unit > 0 then"),
    ("reserve", "claim.amount, claim.room = claim.amount + more, claim.room - more", "claim.amount = claim.amount + more"),
    ("reserve", "if rung.least > 0 then claim.amount = claim.amount + claim.unit * rung.least end", ""),
    ("reserve", "local n = rung.most > 0 and grow(rung) or 0", "local n = 0"),
    # Control.
    ("reserve", "if stored[1] or (args[6] ~= '' and stored[2] ~= args[6]) then", "if stored[1] then"),
    ("reserve", "if stored[1] or (args[6] ~= '' and stored[2] ~= args[6]) then", "if args[6] ~= '' and stored[2] ~= args[6] then"),
    ("reserve", "if known > seen then", "if known >= seen then"),
    ("reserve", "if known > seen then", "if false then"),
    ("reserve", "elseif seen > known and", "elseif false and"),
    ("reserve", "if is_standing(stored[number], now_ms) then", "if false then"),
    ("control", "if version > known then", "if true then"),
    ("prelude", "return not until_ms or until_ms > now_ms", "return true"),
    ("prelude", "string.sub(stored, 1, #RESTORED) == RESTORED", "false"),
    # Post.
    ("post", "correct_bucket(claim, tokens, now_ms)\n    elseif", "correct_bucket(claim, 0, now_ms)\n    elseif"),
    ("post", "charge - expired_charge)", "charge)"),
    ("post", "overrun - expired_overrun", "overrun"),
    ("post", "rank > expired_rank or (rank == expired_rank and charge > expired_charge)", "rank > expired_rank"),
    ("post", "rank > expired_rank or (rank == expired_rank and charge > expired_charge)", "rank >= expired_rank"),
    ("post", "rank > expired_rank or (rank == expired_rank and charge > expired_charge)", "true"),
    ("post", "buried_as, keep_ms = 'unheld', UNHELD_TOMBSTONE_MS", "buried_as = 'posted'"),
    ("post", "(state == 'voided' and ending.rank > 1)", "state == 'voided'"),
    ("post", "(state == 'voided' and ending.rank > 1)", "false"),
    ("post", "local entry = redis.call('XADD', usage_key, '*', 'record', ending.record, unpack(fields))", "local entry = '0-1'"),
    ("post", "not string.find(record, LET_PASS, 1, true)", "true"),
    ("post", "not string.find(record, LET_PASS, 1, true)", "false"),
    ("post", "verdict, flat, at_ms = 'CORRECTED', hold[1], hold[4]", "verdict, flat = 'CORRECTED', hold[1]\n    at_ms = now_ms"),
    ("prelude", "UNHELD_TOMBSTONE_MS = 32 * 24 * HOUR_MS", "UNHELD_TOMBSTONE_MS = BALANCE_GRACE_MS"),
    ("prelude", "COUNTED_TOMBSTONE_MS = BALANCE_GRACE_MS", "COUNTED_TOMBSTONE_MS = TOMBSTONE_MS"),
    # Void, expire.
    ("void", "if state and state ~= 'pending' then return { id, 'ALREADY_ENDED' } end", "if state == 'posted' then return { id, 'ALREADY_ENDED' } end"),
    ("void", "correct_bucket(claim, 0, now_ms)", ""),
    ("void", "if claim.kind == 'tokens' then", "if claim.kind == 'tokens' or claim.kind == 'requests' then"),
    ("void", "redis.call('HINCRBY', claim.key, 'pending', 0 - claim.amount)", ""),
    ("void", "bury(keys[1], keys[2], id, TOMBSTONE_MS, 'voided')", "if state then bury(keys[1], keys[2], id, TOMBSTONE_MS, 'voided') end"),
    ("void", "correct_settlement(claims_of(hold[1]), 0, charge, 0, now_ms)", ""),
    ("void", "bury(keys[1], keys[2], id, TOMBSTONE_MS, 'voided')\n    return { id, 'CORRECTED' }", "return { id, 'CORRECTED' }"),
    ("unheld", "if state ~= 'unheld' or string.match(rest, '^%d+ %d+ (%S+)$') ~= entry then", "if state ~= 'unheld' then"),
    ("unheld", "if as_of and not is_before(as_of, entry) then return false end", ""),
    ("unheld", "redis.call('HINCRBY', key, 'posted', posted)", ""),
    ("unheld", "if overrun > 0 then redis.call('HINCRBY', key, 'overrun', overrun) end", ""),
    ("unheld", "if is_new and until_ms <= now_ms then", "if until_ms <= now_ms then"),
    ("unheld", "table.concat({ 'posted', rest }, ' '),", "table.concat({ 'unheld', rest }, ' '),"),
    ("expire", "if now_ms < tonumber(redis.call('ZSCORE', keys[2], id) or '0') then", "if false then"),
    ("expire", "charge_balance(claim, charge)", "charge_balance(claim, claim.amount)"),
    ("expire", "'charge', charge, 'at', hold[1])", "'charge', charge, 'at', now_ms)"),
    ("prelude", "string.sub(claim.key, prefix_length + 1)", "claim.key"),
    ("expire", "'expired', text(charge), '1', entry", "'expired', text(charge), '2', entry"),
    # Heartbeat.
    ("heartbeat", "redis.call('ZADD', due_key, 'XX', 'GT', deadline_ms, id)", ""),
    ("heartbeat", "redis.call('ZADD', due_key, 'XX', 'GT', deadline_ms, id)", "redis.call('ZADD', due_key, 'XX', deadline_ms, id)"),
    ("heartbeat", "redis.call('ZADD', due_key, 'XX', 'GT', deadline_ms, id)", "redis.call('ZADD', due_key, deadline_ms, id)"),
    ("heartbeat", "redis.call('ZADD', flat[at + 1], 'XX', 'GT', deadline_ms, id)", ""),
    ("heartbeat", "if state ~= 'pending' then return state ~= nil end", "if state ~= 'pending' then return true end"),
    # Reassert.
    ("reassert", "redis.call('HINCRBY', claim.key, 'pending', claim.amount)", ""),
    ("reassert", "take_lease(claim.key, id, now_ms, deadline_ms)", ""),
    ("reassert", "write_backlog(claim.key, backlog + claim.amount * claim.period_ms", "write_backlog(claim.key, backlog"),
    ("reassert", "if not as_of or is_before(as_of, entry) then", "if true then"),
    ("reassert", "if not as_of or is_before(as_of, entry) then", "if not as_of then"),
    ("reassert", "redis.call('HINCRBY', claim.key, 'posted', charge)", ""),
    ("reassert", "table.concat({ 'posted', rest }, ' '),", "table.concat({ 'unheld', rest }, ' '),"),
    ("reassert", "elseif state == 'pending' then", "elseif false then"),
    ("reassert", "if args[at] == 'post' then", "if false then"),
    ("reassert", "elseif args[at] == 'void' then", "elseif false then"),
    # Operation numbers and healing.
    ("operations", "if stored[3] then return true end", ""),
    ("operations", "if tonumber(acked) > last then", "if false then"),
    ("operations", "if tonumber(acked) > last then", "if tonumber(acked) >= last then"),
    ("operations", "last = note(seen, last, skipped)", ""),
    ("operations", "last = note(seen, last, beyond)", ""),
    ("operations", "if number > 0 then last = note(seen, last, op) end", ""),
    ("operations", "while seen[last + 1] do last = last + 1 end", "for n in pairs(seen) do last = math.max(last, n) end"),
    ("operations", "redis.call('HSET', key, 'rollback', '1')", ""),
    ("operations", "if stored[1] ~= token then return false end", ""),
    ("operations", "if number ~= healed and number ~= healed + 1 then return false end", ""),
    ("operations", "if stored[1] ~= args[2] or stored[2] ~= args[3] then", "if false then"),
    ("operations", "redis.call('HSET', keys[1], 'last', args[4])", "redis.call('HSET', keys[1], 'last', '0')"),
    # Rebuild.
    ("rebuild", "if position_of(keys[2]) ~= args[3] then", "if false then"),
    ("rebuild", "if tonumber(args[2]) <= latest then", "if tonumber(args[2]) < latest then"),
    ("rebuild", "redis.call('HSET', keys[number], 'posted', args[at]", "redis.call('HINCRBY', keys[number], 'posted', args[at]) redis.call('HSET', keys[number], 'ignored', args[at]"),
    ("rebuild", "redis.call('HDEL', keys[1], 'building')", ""),
    ("rebuild", "redis.call('HSET', keys[1], 'epoch', args[2])", ""),
    ("rebuild", "redis.call('PEXPIRE', keys[number], args[at + 2])", ""),
    ("rebuild", "if control[1] or control[2] ~= args[2] then return { args[1], '' } end", ""),
    ("rebuild", "if control[1] or control[2] ~= args[2] then", "if control[2] ~= args[2] then"),
    ("rebuild", "math.max(tonumber(control[3] or '0'), instant_ms(args[3]))", "instant_ms(args[3])"),
    ("rebuild", "redis.call('HSET', keys[1], 'mark', text(mark_ms))", ""),
    # Late charges, stops, rules, leases, the journal's trim.
    ("unheld", "if is_new then redis.call('PEXPIRE', key, until_ms - now_ms) end", ""),
    ("post", "if now < 0 then redis.call('HSET', claim.key, 'overrun', '0') end", ""),
    ("prelude", "return digits and tonumber(digits)", "return nil"),
    ("control", "(args[5] == 'reminder' and noted)", "false"),
    ("control", "(args[5] == 'trip' and is_standing(noted, now_ms))", "false"),
    ("control", "args[5] == 'trip' and is_standing(noted, now_ms)", "args[5] == 'trip' and noted"),
    ("control", "if ended_ms and ended_ms < now_ms - NOTE_MS and", "if ended_ms and"),
    ("control", "if ended_ms and ended_ms < now_ms - NOTE_MS and", "if false and"),
    ("control", " and stored[at] ~= kept", ""),
    ("control", "if leader and leader ~= args[1] then return { args[1], 0 } end", ""),
    ("control", "redis.call('SET', keys[1], args[1], 'PX', args[2])", "redis.call('SET', keys[1], args[1])"),
    ("bundle", "if stored[2] == args[1] then", "if false then"),
    ("bundle", "if current ~= tonumber(args[2]) then", "if false then"),
    ("bundle", "redis.call('GET', keys[3]) ~= args[5]", "false"),
    ("bundle", "math.max(math.max(current, known) + 1, tonumber(args[3]))", "math.max(current + 1, tonumber(args[3]))"),
    ("bundle", "math.max(math.max(current, known) + 1, tonumber(args[3]))", "math.max(current, known) + 1"),
    ("bundle", "redis.call('HSET', keys[2], args[4], text)", ""),
    ("journal", "if facts['pending'] > 0 then", "if false then"),
    ("journal", "text(sequence + 1)", "text(sequence)"),
    ("journal", "if not lowest or is_before(watermark, lowest) then", "if true then"),
    ("reserve", "and string.find(fields[first + number], 'key:', 1, true) ~= 1 then", "then"),
)  # fmt: skip


@dataclass(frozen=True)
class Verdict:
    """What found a defect; '' if nothing did."""

    number: int
    found_by: str


def mutated(number: int) -> FunctionLibrary:
    """The library with one defect. Raises: ValueError if the table is behind the code."""
    file, find, replace = MUTANTS[number]
    library = read_library()
    text = (functions.resources.files("gateway.adapters.redis") / "lua" / f"{file}.lua").read_text()
    if find not in text:
        raise ValueError(f"mutant {number}: {file}.lua does not say {find!r}")
    code = library.code.replace(text, text.replace(find, replace, 1))
    name = f"{library.name}_{hashlib.sha256(code.encode()).hexdigest()[:6]}"
    return FunctionLibrary(name, code.replace(library.name, name))


@contextmanager
def loaded(library: FunctionLibrary):
    """All adapters use this library meanwhile."""

    def read() -> FunctionLibrary:
        return library

    with ExitStack() as stack:
        for adapter in (ledger, control_state, rebuild, journal_stream, bundle_store):
            stack.enter_context(patch.object(adapter, "read_library", read))
        yield


async def examine(client, library: FunctionLibrary) -> str:
    """The first test that finds something wrong with the library; '' if none does.

    Raises: ResponseError if it does not compile: that is no defect that a test has to find.
    """
    await client.function_load(library.code, replace=True)
    with loaded(library):
        for name, probe in _tests():
            await client.flushall()
            try:
                async with asyncio.timeout(30):
                    await probe(client)
            except Exception as exc:  # noqa: BLE001 - whatever breaks, broke
                return f"{name} ({type(exc).__name__})"
    return ""


def _tests() -> list[tuple[str, Callable]]:
    def history(seed):
        async def run(client):
            lived = History(seed, client)
            for _ in range(STEPS):
                await lived.step()

        return run

    return [
        *((probe.__name__, probe) for probe in (*ledger_probes.PROBES, *control_probes.PROBES)),
        *((f"history {seed}", history(seed)) for seed in range(HISTORIES)),
    ]


async def main(numbers: list[int]) -> int:
    """Runs the mutants; the number of those that nothing found."""
    survivors = []
    with tempfile.TemporaryDirectory() as directory:
        async with start_valkey(Path(directory)) as url:
            client = connect(url, timeout_s=5)
            assert not await examine(client, read_library()), "the code itself passes"
            for number in numbers:
                found_by = await examine(client, mutated(number))
                file, find, _ = MUTANTS[number]
                print(f"{number:3} {file:10} {find[:60]!r:64} {found_by or 'SURVIVED'}")  # noqa: T201 - its report
                if not found_by:
                    survivors.append(number)
            await client.aclose()
    found = len(numbers) - len(survivors)
    print(f"{found} of {len(numbers)} found ({found / len(numbers):.1%}); survivors: {survivors}")  # noqa: T201 - its report
    return len(survivors)


if __name__ == "__main__":
    stated = [int(number) for number in sys.argv[1:]]
    asyncio.run(main(stated or [*range(len(MUTANTS))]))
