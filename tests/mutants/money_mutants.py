"""Seeded defects on money's way around the ledger: settlement, outbox, healing, journal, flusher.

(file, find, replace, what breaks): found once, replaced once. The Lua's are in `ledger_mutants.py`;
`python -m tests.mutants.examine` runs these.
"""

from __future__ import annotations

_SETTLE = "proxy/settle.py"
_CHARGE = "admission/settlement.py"
_STREAM = "adapters/redis/journal_stream.py"
_LEDGER = "adapters/redis/ledger.py"
_HEALING = "adapters/redis/healing.py"
_MEMORY = "admission/recollection.py"
_WRITER = "adapters/outbox/writer.py"
_SEGMENT = "adapters/outbox/segment.py"
_NOTE = "adapters/outbox/record.py"
_REPLAYER = "workers/outbox_replayer.py"
_FLUSHER = "workers/journal_flusher.py"
_CHANGE = "journal/change.py"

MUTANTS: tuple[tuple[str, str, str, str], ...] = (
    (_SETTLE, "self.outbox.intent(worst_case(self.admitted, self.shorten))", "True", "no INTENT"),
    (_SETTLE, "is_noted = self._outbox.finish(ending)", "is_noted = False", "no FINISH"),
    (_SETTLE, "if await self._is_told(ending, fact):\n            return\n        if not", "self._outbox.ack(ending.request_id)\n        if await self._is_told(ending, fact):\n            return\n        if not", "ACK before the ledger knows"),
    (_SETTLE, "        self._outbox.ack(ending.request_id)\n        if fact", "        if fact", "no ACK"),
    (_SETTLE, "if hold.is_unbilled or not hold.was_sent:", "if hold.is_unbilled:", "a call that was never sent is charged"),
    (_SETTLE, "if hold.is_unbilled or not hold.was_sent:", "if hold.is_unbilled or hold.ending is None:", "a sent call without an outcome is voided"),
    (_SETTLE, "self._calls.own(self._settle(Voiding(request_id=request_id), None))", "pass", "a lost reply to reserve is never voided"),
    (_SETTLE, "        charge=terms.hold_nano_usd,", "        charge=NanoUsd(0),", "the worst case is free"),
    (_SETTLE, "rank=Rank.CONSERVATIVE,", "rank=Rank.MEASURED,", "the worst case is said to be measured"),
    (_SETTLE, "if not (is_noted and self._outbox.defer(ending.request_id)):", "if not is_noted:", "an ending is noted and never brought"),
    (_SETTLE, "closing = self._calls.own(self._close(hold))", "closing = asyncio.ensure_future(asyncio.sleep(0))", "a hold is left open"),
    (_CHARGE, "{400, 403, 404, 413, 429, 503}", "{400, 403, 404, 413, 429, 500, 503}", "a refund on a 500"),
    (_CHARGE, "if exact or measured.nano_usd > hold:", "if exact or measured.nano_usd <= hold:", "a refund on a hang-up"),
    (_CHARGE, "overrun_nano_usd=max(0, nano - hold),", "overrun_nano_usd=0,", "overruns are hidden"),
    (_CHARGE, "rank = Rank.MEASURED if exact else Rank.CONSERVATIVE", "rank = Rank.CONSERVATIVE", "a measurement is no better than a guess"),
    (_CHARGE, "        accounts=admitted.accounts,\n    )", "        accounts=(),\n    )", "a record forgets its accounts"),
    (_CHARGE, "        exact=exact,", "        exact=True,", "an estimate is said to be exact"),
    ("domain/money.py", "ROUND_CEILING, _WIDE", "'ROUND_FLOOR', _WIDE", "rounded in the caller's favour"),
    ("admission/accounts.py", 'return f"{account.key}:{window.id}"', "return account.key", "a window without its name"),
    ("admission/accounts.py", "isinstance(claim, BalanceClaim) or claim.enforced or state.used <= state.ceiling", "True", "an observed rate that took nothing is given back"),
    ("proxy/admit.py", "self._release(plan.request_id)\n            raise", "raise", "a reserve whose answer is lost stands"),
    (_WRITER, "if self._log.append(note) is None:", "if False:", "ACKs are not written"),
    (_WRITER, "        self._owed[request_id] = None\n        return True", "        return True", "deferred endings are forgotten"),
    (_WRITER, "        if not self._notes.close(request_id):\n            return\n", "        if self._notes.find(request_id) is None:\n            return\n", "an acked call stays open"),
    (_SEGMENT, "if name in acked or", "if", "words after an ACK count"),
    (_SEGMENT, "                words.pop(name, None)\n", "", "an acked call is owed"),
    (_SEGMENT, "else:\n                words[name] = (path, note)", "else:\n                words.setdefault(name, (path, note))", "the first word counts"),
    (_SEGMENT, "os.fdatasync(self._fd)", "pass", "notes are never synced"),
    (_SEGMENT, "if written != len(note):", "if False:", "half a note is a note"),
    (_NOTE, "!= crc:", "== -1:", "damage is not seen"),
    (_NOTE, "rank=Rank(rank),", "rank=Rank.CONSERVATIVE,", "a replayed measurement is a guess"),
    (_NOTE, "return _encode(Kind.VOID, ending.request_id)", "return _encode(Kind.ACK, ending.request_id)", "a void is noted as known"),
    ("adapters/outbox/open_notes.py", "            if self.segments[0].open_notes:\n                break\n", "", "segments are deleted while owed"),
    ("adapters/outbox/open_notes.py", "word.first.open_notes -= 1\n        return True", "return True", "segments are never deleted"),
    ("adapters/outbox/segment_log.py", "            self.notes.put(name, *written, len(copy))\n", "", "a note that was copied forward is lost"),
    ("adapters/outbox/folder.py", "fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)", "pass", "the living are taken for dead"),
    ("adapters/outbox/adoption.py", "            if not self._owed:\n                await", "            if True:\n                await", "a folder is deleted while owed"),
    (_REPLAYER, "return False  # whoever", "return True  # whoever", "what did not arrive is acked"),
    (_REPLAYER, "            outbox.ack(ending.request_id)\n", "", "what arrived is brought for ever"),
    (_REPLAYER, "self._adopted += await self._dead.adopt()", "await self._dead.adopt()", "the dead are found and left"),
    ("journal/codec.py", "{document['rank']:03d}|", "000|", "the larger charge beats the better one"),
    (_CHANGE, "_add_effect(alike, change.before.effect, -1)", "pass", "a corrected record counts twice in the sums"),
    (_CHANGE, "if version >= self.version:", "if version > self.version:", "a repeat replaces itself"),
    (_CHANGE, "if known is None or change.version > known.version:", "if True:", "of one batch the last counts, not the best"),
    ("adapters/dynamodb/usage_transaction.py", 'return put | {"ConditionExpression": "attribute_not_exists(request_id)"}', "return put", "a duplicate counts twice in the sums"),
    ("adapters/dynamodb/usage_transaction.py", '"ConditionExpression": "#version = :before",', '"ConditionExpression": "attribute_exists(request_id)",', "two corrections at once"),
    (_FLUSHER, "        refused = await self._table.write(documents)", "        await self._stream.acknowledge([entry.position for entry in entries])\n        refused = await self._table.write(documents)", "acknowledged before it is written"),
    (_FLUSHER, "            letters.append((entry, str(exc)))\n            continue", "            continue", "a poison record is dropped"),
    (_STREAM, '"cost_nano_usd": charge,', '"cost_nano_usd": 0,', "an expiry is free in the books"),
    (_STREAM, 'await self._read("0", limit, None)\n            or await self._adopt(limit)', "await self._adopt(limit) if limit < 0 else []", "what a reader left is never read"),
    (_STREAM, '"accounts": accounts,', '"accounts": [],', "an expiry stands in no account"),
    (_HEALING, "for known in self._memory.running():", "for known in ():", "running holds are not told again"),
    (_HEALING, "for finished in self._memory.finished():", "for finished in ():", "endings are not told again"),
    (_MEMORY, "self._finished.append(Finished(known=known, ending=ending, beat=self._beat))", "pass", "endings are not remembered"),
    (_MEMORY, "self._running.setdefault(plan.request_id, _Running(known))", "pass", "grants are not remembered"),
    (_LEDGER, "if not _is(receipt, Obstacle.ROLLBACK) or not await self._heal():", "if True:", "a rollback in reserve is not healed"),
    (_LEDGER, 'if verdict == "ROLLBACK" or still_lost:', "if False:", "a heartbeat looks away"),
    (_LEDGER, "                self._numbers.abandoned(operation)\n", "", "a lost operation is waited for"),
    ("adapters/redis/line.py", "if not reply or reply[0] != arguments[0]:", "if not reply:", "somebody else's reply is taken"),
    ("adapters/redis/questions.py", "        yield str(amount_of(claim, receipt.n))\n        if isinstance(claim, BucketClaim):\n            yield from (str(claim.capacity)", "        yield '0'\n        if isinstance(claim, BucketClaim):\n            yield from (str(claim.capacity)", "a hold comes back empty"),
    ("admission/operations.py", "self._open.discard(operation.number)\n        self._skipped -=", "self._skipped -=", "acknowledged operations stay open: rollbacks are not seen"),
)  # fmt: skip
