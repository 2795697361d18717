"""The processes of a simulated installation: gateways and sweepers. Real parts, mortal.

A gateway runs what `compose` would put together: admission, settlement, outbox, replayer and ledger
are the product's own. What the proxy does around them (`proxy/handler.py`) is `Gateway._call`.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from gateway.adapters.outbox.adoption import DeadWorkers
from gateway.adapters.outbox.segment_log import OutboxBounds
from gateway.adapters.outbox.writer import OutboxWriter
from gateway.adapters.redis.ledger import RedisLedger
from gateway.domain.errors import GatewayError
from gateway.domain.ids import RequestId
from gateway.domain.observer import Fact, SettlementFailed, UnexpectedError
from gateway.domain.reason import Reason
from gateway.domain.reservation import AdmissionPlan, Granted, Receipt
from gateway.proxy.admit import Admit
from gateway.proxy.admit_locally import LocalAdmission
from gateway.proxy.drain import Calls
from gateway.proxy.settle import Settle
from gateway.proxy.stage_values import IdentifiedCall
from gateway.workers.outbox_replayer import OutboxReplayer, ReplayBounds
from gateway.workers.reservation_sweeper import ReservationSweeper
from tests.fakes.stop_knowledge import ToldStops
from tests.simulation.dynamo_model import DynamoModel
from tests.simulation.loop import Life, SimulationLoop
from tests.simulation.network import NOW, Network, RemoteRedis
from tests.simulation.notebook import Notebook
from tests.simulation.rules import Edition
from tests.simulation.trace import Trace
from tests.simulation.upstream import Bedrock

HOLD_TTL_MS = 30_000
_BOUNDS = OutboxBounds(
    segment_bytes=6_000, segment_age_s=60.0, kept_segments=2, group_s=0, look_s=0, probe_bytes=64
)


class Surroundings(Protocol):
    """What a process sees of the world."""

    loop: SimulationLoop
    network: Network
    dynamo: DynamoModel
    trace: Trace
    notebook: Notebook
    bedrock: Bedrock
    now_ms: int
    chance: Callable[[], float]
    has_allowance: bool
    gateways: Sequence[Any]

    def note_death(self, worker: str) -> None:
        """A gateway has died."""


@dataclass(slots=True)
class ProcessClock:
    """A process's clock: its wall clock may be wrong. Units: `skew_ms` milliseconds."""

    world: Surroundings
    skew_ms: int = 0

    def now(self) -> datetime:
        return datetime.fromtimestamp((self.world.now_ms + self.skew_ms) / 1000, UTC)

    def monotonic_s(self) -> float:
        return self.world.loop.seconds


class Process:
    """Something that runs, dies and is started again under another name."""

    def __init__(self, world: Surroundings, name: str) -> None:
        self.world = world
        self.name = name
        self.starts = 0
        self.life = Life(name, is_dead=True)
        self.busy: set[str] = set()

    def start(self) -> None:
        """A new process."""
        self.starts += 1
        self.life = Life(f"{self.name}.{self.starts}")
        self.busy = set()
        self.world.trace.tell("start", self.life.name)
        self._start()

    def kill(self) -> None:
        """Ends it without a word."""
        self.world.trace.tell("kill", self.life.name)
        self.life.is_dead = True
        self.world.network.drop_of(self.life, self.world.chance)

    def begin(self, name: str, work: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        """Starts one piece of work, unless the same is still going on."""
        if name in self.busy or self.life.is_dead:
            return
        self.busy.add(name)
        kind, _, about = name.partition(" ")
        self.world.trace.tell(kind, f"{self.life.name} {about}")
        self.world.loop.spawn(self.life, self._watched(name, work))

    async def _watched(self, name: str, work: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        try:
            await work()
        except GatewayError as error:
            kind, _, about = name.partition(" ")
            detail = f"{self.life.name} {about} {error.reason.value}"
            self.world.trace.tell(f"{kind} failed", detail)
        except Exception as exc:  # noqa: BLE001 - a bug is what the simulation looks for
            text = f"{name} of {self.life.name}: {exc!r}\n{traceback.format_exc()}"
            self.world.notebook.bugs.append(text)
        finally:
            self.busy.discard(name)

    def tell(self, fact: Fact) -> None:
        """Implements `domain.observer.Observer`: a bug that was caught is a bug all the same."""
        if isinstance(fact, UnexpectedError):
            self.world.notebook.bugs.append(f"{self.life.name}: {fact.where}: {fact.traceback}")
        elif isinstance(fact, SettlementFailed):
            self.world.trace.tell("settlement failed", f"{self.life.name} {fact.request_id}")

    def _start(self) -> None:
        raise AssertionError("each kind of process says how it starts")

    def _ledger(self) -> RedisLedger:
        client: Any = RemoteRedis(self.world.network, self.life)
        return RedisLedger(
            client,
            now_ms=lambda: int(NOW),
            worker=self.life.name,
            hold_ttl_ms=HOLD_TTL_MS,
            needs_epoch=True,
        )


class Gateway(Process):
    """A proxy worker on a host; `root` is where the workers of the host keep their outboxes."""

    def __init__(self, world: Surroundings, name: str, root: Path, edition: Edition) -> None:
        super().__init__(world, name)
        self.root = root
        self.edition = edition
        self.clock = ProcessClock(world)
        self.is_healed = True

    def _start(self) -> None:
        world, life = self.world, self.life
        self.ledger = self._ledger()
        self.calls = Calls()
        self.outbox = OutboxWriter(
            self.root, lambda: life.name, observer=self, clock=self.clock, bounds=_BOUNDS
        )
        local = LocalAdmission(
            ToldStops(),
            self.outbox,
            self.clock,
            workers=len(world.gateways),
            owed=lambda: len(self.outbox),
        )
        settle = self.settle = Settle(
            self, self.outbox, self.calls, self, self.clock, left=local.left
        )
        self.admit = Admit(
            lambda: self.edition.rules,
            self,
            self.clock,
            release=settle.release,
            hold_ttl_ms=HOLD_TTL_MS,
            local=local if world.has_allowance else None,
        )
        self.replayer = OutboxReplayer(
            self.outbox,
            DeadWorkers(self.root, self),
            self,
            self,
            self.clock,
            bounds=ReplayBounds(rate_per_s=1e9, adopt_every_s=0),
            chance=world.chance,
        )
        self.begin("opening", self._open)

    async def _open(self) -> None:
        await self.outbox.open()
        await self.ledger.start()

    def kill(self) -> None:
        super().kill()
        self.world.note_death(self.life.name)
        # The kernel closes what the process had open; locks end with that.
        log = self.outbox._log
        for segment in (*log.notes.segments, *log._full, *log._given_up):
            segment.close()
        if log._folder is not None:
            log._folder.release()
        for adopted in self.replayer._adopted:
            adopted._folder.release()  # type: ignore[attr-defined]  # only folders are adopted here

    def call(self, identified: IdentifiedCall, *, leaves_early: bool) -> None:
        """Somebody calls."""
        name = f"call {identified.call.request_id}"
        self.begin(name, lambda: self._call(identified, leaves_early=leaves_early))

    async def _call(self, identified: IdentifiedCall, *, leaves_early: bool) -> None:
        request_id = identified.call.request_id
        admitted = await self.admit(identified)
        if admitted.admitted.is_local:
            self.world.trace.tell("let pass", f"{self.life.name} {request_id}")
        async with self.settle.hold(admitted) as hold:
            if leaves_early:
                return
            hold.sending()
            outcome = await self.world.bedrock.send(self.life, admitted.admitted)
            if outcome is None:
                raise GatewayError(Reason.INTERNAL_ERROR)  # as whatever may break on the way
            if isinstance(outcome, int):
                hold.unbilled(outcome or None)
            else:
                hold.ended(outcome)
        self.world.trace.tell("answered", f"{self.life.name} {request_id}")

    def heartbeat(self) -> None:
        """A sign of life."""
        self.begin("heartbeat", self._heartbeat)

    async def _heartbeat(self) -> None:
        # What is granted meanwhile is the next one's concern.
        told = frozenset(self.world.notebook.told)
        await self.ledger.heartbeat()
        self.world.notebook.fresh_beats.append((self.life.name, told))
        self.is_healed = True

    def replay(self) -> None:
        """A round of the replayer, with what dead workers of this host left."""
        self.begin("replay", self.replayer.replay_once)

    def keep_up(self) -> None:
        """A round of the outbox's own keeping."""
        self.begin("upkeep", self.outbox._log.keep_up)

    # The ledger, as this gateway's parts see it: what it acknowledges is written down for the laws.

    async def reserve(self, plan: AdmissionPlan) -> Receipt:
        plan = self.world.notebook.planned(plan, self.edition.version)
        receipt = await self.ledger.reserve(plan)
        if isinstance(receipt, Granted):
            self.world.notebook.acknowledged_grant(self.life.name, plan.request_id)
        return receipt

    async def post(self, posting: Any) -> Any:
        self.world.notebook.asks_for_end(self.life.name, posting.request_id)
        verdict = await self.ledger.post(posting)
        self.world.notebook.acknowledged_end(self.life.name, posting.request_id)
        return verdict

    async def void(self, request_id: Any) -> Any:
        self.world.notebook.asks_for_end(self.life.name, request_id)
        verdict = await self.ledger.void(request_id)
        self.world.notebook.acknowledged_end(self.life.name, request_id)
        return verdict


class Sweeper(Process):
    """Ends what nobody ended."""

    def _start(self) -> None:
        self._books = self._ledger()
        self.sweeper = ReservationSweeper(self._books, self, chance=self.world.chance, batch=5)

    def expire(self, request_id: RequestId) -> None:
        """Goes on with a list that it made long ago: the deadline may have moved since."""
        self.begin("expire", lambda: self._books.expire(request_id))

    def sweep(self) -> None:
        self.begin("sweep", self.sweeper.sweep)
