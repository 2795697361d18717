"""An admin API on fakes: keys by role, records by id, probes that fail when told to."""

from __future__ import annotations

import base64
import itertools
from dataclasses import replace
from hashlib import sha256

from gateway.adapters.sealing import AesGcmSealer
from gateway.admin.access import Administrator
from gateway.admin.cursor import Cursors
from gateway.admin.models.audit import AuditVerification
from gateway.admin.services import AdminServices
from gateway.authn.key_format import bearer_key, key_id_from, secret_from
from gateway.control.emergency import EmergencyStatus, Outcome
from gateway.control.keys import SETTABLE, KeyMaterial
from gateway.control.policy_replay import Replay
from gateway.control.policy_trial import TrialRules
from gateway.control.ports import AccountBalance, AnswerState, KeptAnswer, RecordPage
from gateway.control.publish import Publisher
from gateway.control.replay_question import ReplayAnswer
from gateway.domain.caller import Caller, CredentialKind, Role
from gateway.domain.errors import GatewayError
from gateway.domain.ids import KeyId
from gateway.domain.money import NanoUsd
from gateway.domain.reason import Reason
from tests.fakes.calls import catalogue, price_book
from tests.fakes.clock import FakeClock
from tests.fakes.observers import RememberingObserver
from tests.fakes.rules import MemoryBundleStore
from tests.fakes.stores import MemoryKeyStore

SEALER = AesGcmSealer(base64.b64encode(bytes(range(32))).decode())


def caller(role: Role, org: str = "acme", **bound) -> Caller:
    return Caller(
        key_id=KeyId(f"AKIA{role.upper()}"),
        credential=CredentialKind.BEARER_KEY,
        role=role,
        org=org,
        may_set=SETTABLE,
        may_act_for_others=role is Role.ADMIN,
        **bound,
    )


class FakeGate:
    """Implements `admin.access.Gate`: `viewer@acme` is a viewer of acme, `…@acme/web/ada` bound."""

    def __init__(self, expires_at=None) -> None:
        self.expires_at = expires_at

    async def admit(self, bearer, now):
        assert now.tzinfo is not None
        role, _, place = bearer.partition("@")
        org, *rest = place.split("/")
        if role not in tuple(Role) or not org:
            raise GatewayError(Reason.CREDENTIAL_UNKNOWN, "not a key of this gateway")
        bound = dict(zip(("team", "user"), rest, strict=False))
        return Administrator(caller=caller(Role(role), org, **bound), expires_at=self.expires_at)


class FakeRecords:
    """Implements `control.ports.RecordFinder`."""

    def __init__(self, *documents) -> None:
        self.documents = {document["request_id"]: document for document in documents}
        self.error: Exception | None = None

    async def find(self, request_id):
        if self.error is not None:
            raise self.error
        return self.documents.get(request_id)


class FakeSearch:
    """Implements `control.ports.RecordSearch`: pages of what it was given, questions kept."""

    def __init__(self, *documents) -> None:
        self.documents = sorted(documents, key=lambda d: (d["time"], d["request_id"]), reverse=True)
        self.questions = []

    async def page(self, question):
        self.questions.append(question)
        found = [
            document
            for document in self.documents
            if question.org in (None, document["org"])
            and (question.before is None or _position(document) < question.before)
        ]
        page, more = found[: question.limit], found[question.limit :]
        return RecordPage(records=tuple(page), before=_position(page[-1]) if more else None)


def _position(document):
    return document["time"], document["request_id"]


class MemoryAnswers:
    """Implements `control.ports.AnswerStore`."""

    def __init__(self) -> None:
        self.kept: dict[str, tuple[str, KeptAnswer | None]] = {}
        self.is_available = True

    async def begin(self, name, fingerprint):
        self._expect_available()
        known = self.kept.get(name)
        if known is None:
            self.kept[name] = (fingerprint, None)
            return AnswerState.FRESH
        if known[0] != fingerprint:
            return AnswerState.OTHER
        return known[1] or AnswerState.RUNNING

    async def keep(self, name, fingerprint, answer):
        self._expect_available()
        self.kept[name] = (fingerprint, answer)

    async def release(self, name):
        self._expect_available()
        self.kept.pop(name, None)

    def _expect_available(self):
        if not self.is_available:
            raise GatewayError(Reason.LEDGER_UNAVAILABLE, "down")


class RememberingTrail:
    """Implements `control.audit_trail.AuditTrail`: remembers, or fails when told to."""

    def __init__(self) -> None:
        self.events = []
        self.is_available = True

    async def record(self, event):
        if not self.is_available:
            raise GatewayError(Reason.AUDIT_UNAVAILABLE, "no trail")
        self.events.append(event)

    @property
    def said(self):
        return [(event.action, event.outcome.value) for event in self.events]


class FakeRevocations:
    """Implements `control.ports.KeyRevocations`."""

    def __init__(self) -> None:
        self.announced: list[str] = []
        self.is_available = True

    async def announce(self, key_id):
        if not self.is_available:
            raise GatewayError(Reason.LEDGER_UNAVAILABLE, "down")
        self.announced.append(key_id)


class FakeBalances:
    """Implements `control.ports.Balances`: what was set for an account, by its logical key."""

    def __init__(self, **posted) -> None:
        self.posted: dict[str, int] = posted
        self.asked: list[tuple[str, ...]] = []

    async def read(self, scope, accounts):  # noqa: ARG002 - one shard
        self.asked.append(tuple(accounts))
        posted = sum(self.posted.get(account, 0) for account in accounts)
        return AccountBalance(posted=NanoUsd(posted), pending=NanoUsd(0), overrun=NanoUsd(0))


class FakeEmergencies:
    """Implements `control.emergency.Emergencies` in memory; `silent` shards do not answer."""

    def __init__(self) -> None:
        self.stops = {}
        self.silent: tuple[str, ...] = ()
        self.ledger_error = ""

    @property
    def _said(self):
        return f"no answer from {', '.join(self.silent)}" if self.silent else ""

    async def stop(self, stop, *, host_only=False):  # noqa: ARG002 - there is one place
        self.stops[stop.scope] = stop
        return Outcome(stop=stop, scope=stop.scope, silent=self.silent, ledger_error=self._said)

    async def restore(self, scope, *, host_only=False):  # noqa: ARG002 - there is one place
        self.stops.pop(scope, None)
        return Outcome(stop=None, scope=scope, silent=self.silent, ledger_error=self._said)

    async def status(self):
        stops = tuple(self.stops.values())
        return EmergencyStatus(ledger=stops, host=(), ledger_error=self.ledger_error)


class MemoryChain:
    """Implements the reading part of `control.audit_trail.AuditStore`."""

    def __init__(self, *entries) -> None:
        self.links = list(entries)

    async def last(self, _chain):
        return self.links[-1] if self.links else None

    async def entries(self, _chain, *, first=1, newest_first=False):
        assert not newest_first
        for entry in self.links:
            if entry.seq >= first:
                yield entry


class FakeReplay:
    """Decides again the calls it was given; remembers what it was asked."""

    def __init__(self, *calls) -> None:
        self.calls = calls
        self.questions = []
        self.error = None

    async def __call__(self, question):
        self.questions.append(question)
        if self.error is not None:
            raise self.error
        calls = [call for call in self.calls if question.org in (None, call.caller.org)]
        replay = Replay(question.policies, decided_by=question.decided_by)
        return ReplayAnswer(result=replay.run(calls), unreadable=())


def trial_rules(policies):
    return TrialRules(policies=policies, catalogue=catalogue(), prices=price_book())


async def nobody():
    return []


async def whole_chain() -> AuditVerification:
    return AuditVerification(
        ok=True, chain="main", entries=0, head="0" * 64, checkpoints=0, flaw=None
    )


class CountedMaterial:
    """Key material that is as good as random, and the same in every run."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)

    def __call__(self) -> KeyMaterial:
        number = next(self._numbers)
        key_id = key_id_from(number.to_bytes(10, "big"))
        return KeyMaterial(
            key_id=key_id,
            secret=secret_from(number.to_bytes(30, "big")),
            bearer=bearer_key(key_id, number.to_bytes(32, "big")),
        )


def services(records=None, **given) -> AdminServices:
    """All that the API needs; parts by their name, everything else is a probe."""
    numbers = itertools.count(1)
    store = given.pop("rules", None) or MemoryBundleStore()
    house = AdminServices(
        gate=FakeGate(),
        clock=FakeClock(),
        observer=RememberingObserver(),
        probes={},
        cursors=Cursors(lambda text: sha256(b"key" + text).digest()),
        answers=MemoryAnswers(),
        trail=RememberingTrail(),
        event_id=lambda: f"event-{next(numbers)}",
        records=records or FakeRecords(),
        search=FakeSearch(),
        keys=MemoryKeyStore(),
        sealer=SEALER,
        key_material=CountedMaterial(),
        revocations=FakeRevocations(),
        current_bundle=store.current,
        publisher=Publisher(store, store.control),
        balances=FakeBalances(),
        publishers=nobody,
        lint=lambda _policies: [],
        trial_rules=trial_rules,
        replay=FakeReplay(),
        emergencies=FakeEmergencies(),
        chain=MemoryChain(),
        verify_audit=whole_chain,
    )
    parts = {name: part for name, part in given.items() if hasattr(house, name)}
    probes = {name: probe for name, probe in given.items() if not hasattr(house, name)}
    return replace(house, **{"probes": probes, **parts})


def bearer(who: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {who}"}
