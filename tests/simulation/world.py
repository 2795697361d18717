"""The world: one seed, one history. It alone decides what happens next.

A step is one event: a call, the fate of one message, a piece of background work, a moment passing,
a death. After each event everything runs that can run, and then the laws are checked.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from gateway.domain.ids import RequestId
from tests.simulation.books import compare_books
from tests.simulation.checks import Laws
from tests.simulation.disk import Disk
from tests.simulation.dynamo_model import DynamoModel
from tests.simulation.faults import Faults
from tests.simulation.flushers import Flusher
from tests.simulation.gateways import Gateway, Process, Sweeper
from tests.simulation.lineage import Lineage
from tests.simulation.loop import SimulationLoop
from tests.simulation.network import Message, Network, Store
from tests.simulation.notebook import Notebook
from tests.simulation.recovery import Builder, Operator, recorded_in
from tests.simulation.rules import Edition, Requests, first_zone, new_edition
from tests.simulation.server import LedgerServer
from tests.simulation.trace import Trace
from tests.simulation.upstream import Bedrock

_STARTS = (
    datetime(2026, 5, 31, 23, 59, 30, tzinfo=UTC),  # the last of a month
    datetime(2026, 10, 25, 0, 30, tzinfo=UTC),  # Berlin's clock goes back, that of Lord Howe went
    datetime(2026, 3, 29, 0, 58, tzinfo=UTC),  # Berlin's clock goes forward
    datetime(2026, 11, 1, 5, 50, tzinfo=UTC),  # New York's goes back
    datetime(2028, 2, 28, 23, 58, tzinfo=UTC),  # the leap day begins
    datetime(2026, 12, 31, 23, 59, 58, tzinfo=UTC),  # a year and an ISO week that differ
    datetime(2026, 8, 12, 13, 14, tzinfo=UTC),  # nothing
)


WRITE_BACK_MS = 29_999


class World:
    """Everything there is. `root` is where the hosts keep their outboxes.

    `has_allowance`: workers let some calls pass while their ledger does not answer.
    """

    def __init__(
        self, seed: int, steps: int, url: str, root: Path, *, has_allowance: bool = False
    ) -> None:
        self.dice = random.Random(seed)
        self.chance: Callable[[], float] = self.dice.random
        self.steps = steps
        self.loop = SimulationLoop()
        self.trace = Trace(seed, steps)
        self.notebook = Notebook(self.loop.time)
        self.disk = Disk()
        self.server = LedgerServer(url)
        self.dynamo = DynamoModel()
        self.network = Network(self.loop, self.trace, self._run)
        self.bedrock = Bedrock(self.loop, self.trace, self.dice)
        self.laws = Laws(self.trace, self.notebook, partial(recorded_in, self.dynamo))
        start = self.dice.choice(_STARTS)
        self.now_ms = round(start.timestamp() * 1000) + self.dice.randrange(60_000)
        self.trace.now_ms = self.now_ms
        self.state = self.server.look(self.now_ms)
        self.requests = Requests(self.dice)
        self.zone = first_zone(self.dice)
        self.edition_zone = ZoneInfo(self.zone)
        self.has_allowance = has_allowance
        self.has_lost_writes = False
        self.lost_notes: set[RequestId] = set()
        self.beyond_reach: set[RequestId] = set()
        self._broken: Exception | None = None
        self.edition = self.next_edition(1)
        hosts = [root / "host-a", root / "host-a", root / "host-b"][
            : self.dice.choice((1, 2, 3, 3))
        ]
        self.gateways = [
            Gateway(self, f"g{number}", host, self.edition) for number, host in enumerate(hosts)
        ]
        self.sweepers = [Sweeper(self, "s0"), Sweeper(self, "s1")]
        self.flushers = [Flusher(self, "f0", 0), Flusher(self, "f1", 1)]
        self.operator = Operator(self, "operator")
        self.builders = [Builder(self, "b0"), Builder(self, "b1")]
        self.faults = Faults(self)

    def next_edition(self, version: int) -> Edition:
        """The rules as they will be."""
        return new_edition(self.dice, version, self.zone, has_allowance=self.has_allowance)

    @property
    def processes(self) -> list[Process]:
        """All that can die."""
        return [*self.gateways, *self.sweepers, *self.flushers, self.operator, *self.builders]

    def live(self) -> None:
        """The whole history, and the comparison of the books at its end. Raises: ViolationError."""
        with self.disk.watching():
            try:
                for process in self.processes:
                    process.start()
                self.deliver_all()
                for builder in self.builders:  # the first calls may come before
                    if self.dice.random() < 0.7:
                        builder.look()
                self.deliver_all()
                for number in range(self.steps):
                    self.trace.step = number
                    self.faults.step()
                    self.settle_down()
                self.come_to_rest()
                compare_books(self)
            except Exception:
                for process in self.processes:
                    process.life.is_dead = True
                raise
            finally:
                self.loop.end()
                self.server.close()

    def settle_down(self, most: int = 10_000) -> None:
        """Everything runs that can, and no law is broken. `most`: a death cuts it short."""
        self._raise_broken()
        self.loop.run_ready(most)
        for worker, told in self.notebook.fresh_beats:
            self.laws.after_heartbeat(worker, told, self.state)
        self.notebook.fresh_beats.clear()
        problems = [*self.notebook.bugs, *self.loop.complaints]
        if problems:
            raise self.trace.violation(f"an unexpected error: {problems[0]}")

    def pass_time(self, ms: int) -> None:
        """Moves all clocks; what was waiting for the time goes on."""
        self.now_ms += ms
        self.trace.now_ms = self.now_ms
        self.loop.seconds += ms / 1000
        if ms >= WRITE_BACK_MS:
            for gateway in self.gateways:
                self.disk.write_back(gateway.root)
        gone = self.server.pass_time(self.now_ms)
        self.state = self.server.look(self.now_ms)
        self.laws.after_time(self.state, gone, self.now_ms)

    def note_forgotten(self, lineage: Lineage) -> None:
        """The ledger's server forgets all but a lineage: which charges has nobody else any more?

        The stated gaps: a record that was not flushed yet, of a call whose worker has died since
        or has ended it longer ago than it remembers; and a loss of power and of Redis at once.
        """
        alive = {process.life.name for process in self.processes if not process.life.is_dead}
        recorded = self.dynamo.tables["token_usage"]
        for name, fate in self.laws.lineage.fates.items():
            kept = lineage.fates.get(name)
            if kept is not None and kept.state == fate.state:
                continue
            if fate.state in ("pending", "expired") and name in self.lost_notes:
                self.beyond_reach.add(name)
            if fate.state not in ("posted", "unheld", "expired"):
                continue
            if (name,) not in recorded and not self.notebook.is_remembered(name, alive):
                self.beyond_reach.add(name)
                self.trace.tell("out of reach", name)

    def note_power_loss(self, names: set[RequestId]) -> None:
        """Notes are gone, of calls that the ledger may have forgotten before: the other gap."""
        self.lost_notes |= names
        unknown = names - set(self.laws.lineage.fates)
        self.beyond_reach |= {n for n in unknown if (n,) not in self.dynamo.tables["token_usage"]}

    def note_death(self, worker: str) -> None:
        """A worker dies that was about to tell again what its server had forgotten: same gap."""
        recorded = self.dynamo.tables["token_usage"]
        for name, told in self.notebook.told.items():
            fate = self.laws.lineage.fates.get(name)
            is_known = (name,) in recorded or (fate is not None and fate.state != "pending")
            if told.worker == worker and told.is_acknowledged and not is_known:
                self.beyond_reach.add(name)
                self.trace.tell("out of reach", name)

    def deliver_all(self) -> None:
        """A network without faults, until nothing moves any more."""
        self.settle_down()
        while self.network.flying:
            self.network.deliver(self.network.flying[0])
            self.settle_down()

    def come_to_rest(self) -> None:
        """All faults end: the dead start again, every call ends, every worker does its work."""
        self.trace.tell("rest", "all faults end")
        for gateway in self.gateways:
            gateway.clock.skew_ms = 0
        self.deliver_all()
        self.operator.open_up()
        for _ in range(4):
            for process in self.processes:
                if process.life.is_dead:
                    process.start()
            self.deliver_all()
            for exchange in list(self.bedrock.open):
                self.bedrock.answer(exchange)
            self._work()
            self.pass_time(6_000)
        for _ in range(12):
            self.pass_time(31_000)
            for sweeper in self.sweepers:
                sweeper.sweep()
            self.deliver_all()
            self._work()
            is_built = "epoch" in self.state.control and "building" not in self.state.control
            if is_built and not self.state.due and not any(len(g.calls) for g in self.gateways):
                break
        for _ in range(12):
            self._flush()

    def _raise_broken(self) -> None:
        # Not where the law was broken: there, the code under test would catch it.
        if self._broken is not None:
            raise self._broken

    def _work(self) -> None:
        if not any(builder.busy for builder in self.builders):
            self.builders[0].look()
            self.deliver_all()
        for gateway in self.gateways:
            gateway.heartbeat()
            self.deliver_all()
            gateway.keep_up()
            gateway.replay()
            self.deliver_all()
        self._flush()

    def _flush(self) -> None:
        for flusher in self.flushers:
            flusher.flush()
            self.deliver_all()

    def _run(self, message: Message) -> Any:
        """A message has arrived at its store."""
        if message.store is Store.DYNAMODB:
            return self.dynamo.run(message)
        before = self.state
        reply = self.server.run(message, self.now_ms)
        self.state = self.server.look(self.now_ms)
        try:
            self.laws.after_command(message, reply, before, self.state, self.now_ms)
            self.laws.lifetimes(self.state, self.now_ms)
        except Exception as broken:  # noqa: BLE001 - not to be caught by the code under test
            self._broken = self._broken or broken
        return reply
