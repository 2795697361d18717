"""The laws, after every command that the server executes. Numbers: docs/invariants.md."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from gateway.adapters.redis.replies import parts, receipt_of
from gateway.admission.accounts import amount_of, counted_windows, home_key, taken_claims
from gateway.domain.ids import RequestId
from gateway.domain.reservation import (
    BalanceClaim,
    BucketClaim,
    Granted,
    LeaseClaim,
    Resource,
)
from tests.simulation.lineage import Fate, Lineage, Take
from tests.simulation.network import Message
from tests.simulation.notebook import Notebook
from tests.simulation.server import State
from tests.simulation.trace import Trace

_GRACE_MS = 48 * 3_600_000
_ROLLING_MS = 32 * 86_400_000
_UNCOUNTED_MS = 32 * 86_400_000
_NEXT = {
    None: {"pending", "voided", "unheld"},
    "pending": {"posted", "voided", "expired"},
    "expired": {"posted", "voided"},
    "unheld": {"posted"},
    "voided": {"unheld"},
    "posted": set(),
}


class Laws:
    """Compares what the server holds with what its commands should have made of it."""

    def __init__(
        self, trace: Trace, notebook: Notebook, books: Callable[[str], dict[RequestId, int]]
    ) -> None:
        self.lineage = Lineage()
        self._granted: dict[tuple[RequestId, int], tuple[Take, ...]] = {}
        self._trace = trace
        self._notebook = notebook
        self._books = books

    def after_command(
        self, message: Message, reply: Any, before: State, after: State, now_ms: int
    ) -> None:
        """One command was executed. Raises: ViolationError."""
        name, args = _function(message)
        words = parts(reply) if name in _CALLS and isinstance(reply, list) else []
        verdict = str(words[1]) if len(words) > 1 else ""
        if name == "reserve" and words:
            self._after_reserve(RequestId(str(words[0])), words, before, after, now_ms)
        elif name == "heartbeat" and words:
            self._extend(args, int(words[2]), words[4:])
        elif name == "reassert" and verdict in ("RESTORED", "SETTLED"):
            self._restore(RequestId(str(words[0])), int(args[6]), now_ms + int(args[4]))
        elif name == "publish" and words:
            self.lineage.versions[str(args[0])] = int(words[1])
        elif name == "put_accounts" and verdict == "SET":
            self._from_books(message, after)
        elif name == "count" and verdict == "COUNTED":
            self._count_late(message, args, [int(number) for number in words[2:]])
        self._note_fates(after, now_ms, was_restored=verdict == "RESTORED", is_late=name == "count")
        self.standing(after)

    def standing(self, state: State) -> None:
        """What holds at any time: I1, I9, and that nothing dies too early or too late."""
        pending, posted = self.lineage.sums()
        for key, (spent, held, overrun) in state.balances.items():
            self._expect(min(spent, held, overrun) >= 0, f"I9: {key} is {spent, held, overrun}")
            if key in self.lineage.gone:
                continue
            expected = pending.get(key, 0)
            self._expect(held == expected, f"I1: {key} holds {held}, its live holds {expected}")
            expected = posted.get(key, 0)
            self._expect(spent == expected, f"I1, I10: {key} spent {spent}, charged {expected}")
        for key in {*pending, *posted} - set(state.balances) - self.lineage.gone:
            amount = pending.get(key, 0) + posted.get(key, 0)
            self._expect(not amount, f"I1: {key} is lost with {amount}")
        for key, (backlog, _) in state.buckets.items():
            self._expect(backlog >= 0, f"I7: {key} is above its capacity")
        for key, places in state.leases.items():
            for name in places:
                fate = self.lineage.fates.get(RequestId(name))
                alive = fate is not None and fate.state == "pending"
                self._expect(alive, f"I8: {name} ended and keeps its place in {key}", name)
        named = {name for name, fate in self.lineage.fates.items() if fate.state == "pending"}
        self._expect(named == set(state.due), f"I4: due are {sorted(state.due)}", *sorted(named))

    def after_time(self, state: State, gone: set[str], now_ms: int) -> None:
        """Time has passed: what was to be kept is still there."""
        self.lineage.gone |= gone
        self._note_fates(state, now_ms)
        self.standing(state)

    def lifetimes(self, state: State, now_ms: int) -> None:
        """No key is kept for another time than it should be, by a wrong unit say."""
        for key, at_ms in state.gone_at_ms.items():
            left_ms = at_ms - now_ms
            if key.startswith("usd:") and key in state.balances:
                rolling = _ROLLING_MS if ":rolling-" in key else 0
                most = _ROLLING_MS * 2 + _GRACE_MS + rolling * 31
                self._expect(0 < left_ms <= most, f"{key} dies in {left_ms} ms")
            elif key.startswith("hold:"):
                name = key.removeprefix("hold:")
                words = state.holds.get(name, ("",))
                self._expect(words[0] != "pending", f"I4: {name} would be forgotten", name)
                most = _UNCOUNTED_MS if words[0] == "unheld" else _GRACE_MS
                self._expect(left_ms <= most, f"the tombstone {name} stays {left_ms} ms", name)

    def after_heartbeat(self, worker: str, names: frozenset[RequestId], state: State) -> None:
        """I11: whatever the worker had been told lately when it began to beat is known now."""
        for name in sorted(names):
            told = self._notebook.told[name]
            is_told = told.worker == worker and self._notebook.is_remembered(name, {worker})
            if is_told and f"hold:{name}" not in self.lineage.gone:
                self._expect(name in state.holds, f"I11: {name} is not back", name, worker)

    def _after_reserve(
        self, name: RequestId, words: list[Any], before: State, after: State, now_ms: int
    ) -> None:
        plan = self._notebook.plans[name]
        receipt = receipt_of(plan, words)
        if not isinstance(receipt, Granted) or receipt.repeated:
            self._expect(
                before.accounts == after.accounts, f"I6: {words[1]} changed accounts", name
            )
            return
        known = self.lineage.fates.get(name)
        self._expect(known is None, f"I3: {name} is granted again after {known}", name)
        for seen in plan.seen:
            newest = self.lineage.versions.get(f"{seen.kind.value}:{seen.name}", 0)
            self._expect(seen.version >= newest, f"I12: {name} by {seen.version} < {newest}", name)
        notes = {s.path: before.control.get(f"stop:{s.path}") for s in plan.scopes}
        stops = [p for p, note in notes.items() if note and not note.startswith('{"restored"')]
        self._expect(not stops, f"{name} was granted in stopped {stops}", name)
        rung = plan.rungs[receipt.rung]
        self.lineage.takes[name] = self._granted[name, receipt.at_ms] = tuple(
            Take(key, claim, amount_of(claim, receipt.n))
            for key, claim in taken_claims(rung, receipt)
        )
        self.lineage.deadlines[name] = now_ms + plan.ttl_ms
        for claim in rung.claims:
            self._check_claim(name, claim, after, now_ms)

    def _check_claim(self, name: RequestId, claim: Any, after: State, now_ms: int) -> None:
        if not claim.enforced:
            return
        key = home_key(claim, now_ms)
        match claim:
            case BalanceClaim():
                windows = counted_windows(claim, now_ms)
                self._expect(
                    len(windows) == 1 + len(claim.earlier), "a rolling window is short", name
                )
                keys = [f"{claim.account.key}:{window.id}" for window in windows]
                used = sum(sum(after.balances.get(each, (0, 0))[:2]) for each in keys)
                ceiling = int(claim.ceiling)
                self._expect(used <= ceiling, f"I2: {key} has {used} of {ceiling}", name)
            case BucketClaim():
                backlog = after.buckets[claim.account.key][0]
                full = claim.capacity * claim.period_ms
                self._expect(backlog <= full, f"I7: {key} let {backlog} of {full} pass", name)
                self._check_rate(name, claim, now_ms)
            case LeaseClaim():
                live = sum(at > now_ms for at in after.leases[claim.account.key].values())
                self._expect(live <= claim.limit, f"I8: {live} of {claim.limit} in {key}", name)

    def _check_rate(self, name: RequestId, claim: BucketClaim, now_ms: int) -> None:
        """I7: in any interval no more than the capacity and what was refilled (requests only)."""
        if claim.account.resource is not Resource.REQUESTS:
            return
        passed = self.lineage.admitted.setdefault(claim.account.key, [])
        passed.append(now_ms)
        for number, at_ms in enumerate(passed):
            refilled = claim.capacity * (now_ms - at_ms) / claim.period_ms
            count = len(passed) - number
            most = claim.capacity + refilled
            self._expect(
                count <= most, f"I7: {count} > {most} since {at_ms} in {claim.account.key}", name
            )

    def _extend(self, args: list[Any], at_ms: int, lost: list[Any]) -> None:
        for name in args[6:]:
            fate = self.lineage.fates.get(name)
            if name not in lost and fate is not None and fate.state == "pending":
                deadline_ms = max(self.lineage.deadlines[name], at_ms + int(args[5]))
                self.lineage.deadlines[name] = deadline_ms

    def _restore(self, name: RequestId, at_ms: int, deadline_ms: int) -> None:
        self.lineage.takes.setdefault(name, self._granted[name, at_ms])
        self.lineage.deadlines[name] = deadline_ms

    def _from_books(self, message: Message, after: State) -> None:
        count = int(message.args[2])
        for raw in message.args[5 : 3 + count]:
            key = str(raw).removeprefix("{s0}:")
            self.lineage.set_from_books(key, after.balances[key][0], self._books(key))

    def _count_late(self, message: Message, args: list[Any], numbers: list[int]) -> None:
        name, count = RequestId(str(args[0])), int(message.args[2])
        charge = self.lineage.fates[name].charge
        for number in numbers:
            key = str(message.args[3 : 3 + count][number]).removeprefix("{s0}:")
            amount = int(args[3 * number])
            self._expect(0 < amount <= charge, f"I3: {name} counts {amount} of {charge} late", name)
            self.lineage.late[name, key] = amount

    def _note_fates(
        self, state: State, now_ms: int, *, was_restored: bool = False, is_late: bool = False
    ) -> None:
        fates = self.lineage.fates
        for name in [
            n for n in fates if n not in state.holds and f"hold:{n}" not in self.lineage.gone
        ]:
            self._expect(False, f"I4: {name} was forgotten, it was {fates[name]}", name)  # noqa: FBT003 - says what happened
        for raw, words in state.holds.items():
            name = RequestId(raw)
            before = fates.get(name)
            charge, rank = (int(words[1]), int(words[2])) if len(words) > 1 else (0, 0)
            is_gone = f"hold:{name}" in self.lineage.gone
            is_same = before and (before.state, before.charge, before.rank) == (
                words[0],
                charge,
                rank,
            )
            if is_same and not is_gone:
                continue
            was = None if is_gone else (before and before.state)
            if was is None and was_restored and words[0] != "pending":
                was = "pending"  # made again and ended in the same step
            self._expect(words[0] in _NEXT[was], f"I3: {name}: {was} became {words}", name)
            if words[0] == "expired":
                late_ms = now_ms - self.lineage.deadlines[name]
                self._expect(late_ms >= 0, f"I13: {name} expired {-late_ms} ms early", name)
                most = self.lineage.held_at_most(name)
                self._expect(charge == most, f"{name} expired for {charge}, it held {most}", name)
            if was == "expired" and before is not None and words[0] == "posted":
                better = (rank, charge) > (before.rank, before.charge)
                self._expect(better, f"I3: {name}: {before} gave way to {words}", name)
            counts = was in ("pending", "expired", "unheld") and words[0] != "voided"
            counts |= was == "expired"  # for nothing, in the place of what it was charged
            if is_late and before is not None:
                fates[name] = replace(before, state=words[0])
            elif is_gone and before is not None and before.counts:
                # A repeat after its tombstone: for the journal only. The first charge stands.
                fates[name] = Fate(words[0], charge, rank, counts=True, counted=before.counted)
            else:
                fates[name] = Fate(words[0], charge, rank, counts=counts, counted=charge)
            self._trace.tell(words[0], f"{name} {charge} rank {rank}" if rank else str(name))
            self.lineage.gone.discard(f"hold:{name}")

    def _expect(self, holds: bool, law: str, *about: str) -> None:  # noqa: FBT001 - as assert
        if not holds:
            raise self._trace.violation(law, about)


_CALLS = frozenset(
    [
        "reserve",
        "post",
        "void",
        "expire",
        "heartbeat",
        "reassert",
        "publish",
        "put_accounts",
        "count",
    ]
)


def _function(message: Message) -> tuple[str, list[Any]]:
    """The short name of a ledger function, and its arguments."""
    if not message.is_call:
        return message.name, []
    _, name, count, *rest = message.args
    return str(name).rpartition("_")[2] if "put_accounts" not in name else "put_accounts", rest[
        count:
    ]
