"""What can happen next, and how likely it is. Each history draws its own weather."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from gateway.domain.ids import RequestId
from gateway.domain.period import Period, windows_at
from tests.simulation.network import Fate, Store
from tests.simulation.server import Copy

if TYPE_CHECKING:
    from tests.simulation.lineage import Lineage
    from tests.simulation.world import World

_LONGEST_WAIT_MS = 1_000
_LONGEST_FLIGHT_MS = 60_000
_LONGEST_LAG_MS = 90_000  # a worker remembers for two minutes
_SYNC_MS = 50
_ROUNDS = 30
_FAULTY_FATES = [fate for fate in Fate if fate is not Fate.ARRIVES]


class Faults:
    """Draws events. `weights` differ from seed to seed, so that calm histories occur, too."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._dice = world.dice
        self._replica: tuple[Copy, Lineage] | None = None
        self._replica_ms = 0
        dice = self._dice
        self._loss = dice.choice((0.0, 0.05, 0.2))
        self._deaths, moves = dice.choice((0, 1, 4)), dice.choice((0, 0, 1, 3))
        self._events: dict[Callable[[], None], float] = {
            self._call: 22,
            self._message: 70,
            self._answer: 22,
            self._background: 24,
            self._wait: 12,
            self._hang_up: 2,
            self._kill: self._deaths,
            self._lose_power: self._deaths / 3,
            self._replicate: moves,
            self._fail_over: moves,
            self._disaster: min(self._deaths, moves) / 3,
            self._flush_all: 0.3 if moves else 0,
            self._rebuild: 0.3 if moves else 0,
            self._change_rules: 2,
            self._jump: 0.5,
        }

    def step(self) -> None:
        """One event."""
        self._dice.choices([*self._events], [*self._events.values()])[0]()

    def _call(self) -> None:
        alive = [g for g in self._world.gateways if not g.life.is_dead]
        if alive and len(self._world.bedrock.open) < 12:
            gateway = self._dice.choice(alive)
            if self._dice.random() < 0.5:
                gateway.edition = self._world.edition
            leaves_early = self._dice.random() < 0.05
            gateway.call(self._world.requests.next_call(), leaves_early=leaves_early)

    def _message(self) -> None:
        flying = self._world.network.flying
        if not flying:
            self._answer()
            return
        message = self._dice.choice(flying)
        fate = Fate.ARRIVES
        loss = self._loss
        if loss and message.store is Store.DYNAMODB:
            loss = 0.3  # they are few: one transaction for many calls
        if self._dice.random() < loss:
            fate = self._dice.choice(_FAULTY_FATES)
        if message.store is Store.DYNAMODB and fate is Fate.LATE and not message.is_awaited:
            fate = Fate.ARRIVES
        self._world.network.deliver(message, fate)

    def _answer(self) -> None:
        if self._world.bedrock.open:
            self._world.bedrock.answer(self._dice.choice(self._world.bedrock.open))

    def _background(self) -> None:
        world = self._world
        chores: list[Callable[[], None]] = [
            *(chore for g in world.gateways for chore in (g.heartbeat, g.replay, g.keep_up)),
            *(s.sweep for s in world.sweepers),
            self._expire_something,
            *(f.flush for f in world.flushers for _ in range(3)),
            *(b.look for b in world.builders for _ in range(2)),
        ]
        self._dice.choice(chores)()

    def _expire_something(self) -> None:
        due = sorted(self._world.state.due)
        if due:
            self._dice.choice(self._world.sweepers).expire(RequestId(self._dice.choice(due)))

    def _wait(self) -> None:
        """A while, of any size; or to the very edge of a window."""
        now_ms = self._world.now_ms
        ms = self._dice.choice((1, 30, 400, 2_000, 5_000, 5_000, 29_999, 31_000, 700_000, 0, 0))
        if not ms:
            now = datetime.fromtimestamp(now_ms / 1000, UTC)
            period = self._dice.choice((Period.HOUR, Period.HOUR, Period.DAY))
            current, _ = windows_at(period, self._world.edition_zone, now)
            ms = max(1, current.end_ms - now_ms + self._dice.choice((-1, 0, 1)))
        self._world.trace.tell("wait", f"{ms} ms")
        self._time_out(ms)
        for gateway in self._world.gateways:
            if ms > _SYNC_MS:
                gateway.keep_up()
        self._world.settle_down()
        if self._replica and self._world.now_ms + ms - self._replica_ms > _LONGEST_LAG_MS:
            self._replicate()
        self._world.pass_time(ms)

    def _time_out(self, ms: int) -> None:
        """Nobody waits for seconds, and nothing is on the wire for minutes."""
        world = self._world
        fates = (Fate.ARRIVES, Fate.REQUEST_LOST, Fate.REPLY_LOST, Fate.LATE)
        is_long = ms > _LONGEST_FLIGHT_MS
        if is_long:
            self._beat()
        fates = (Fate.ARRIVES, Fate.REQUEST_LOST, Fate.REPLY_LOST, Fate.LATE)
        for _ in range(_ROUNDS if is_long else ms > _LONGEST_WAIT_MS):
            for message in [m for m in world.network.flying if m.is_awaited]:
                if message.is_awaited:  # still: what came before may have ended it
                    world.network.deliver(message, self._dice.choice(fates))
                    world.settle_down()
        if is_long:
            self._calm_down()

    def _calm_down(self) -> None:
        """Within minutes a heartbeat comes through, and with it what a failover lost."""
        flying, deliver = self._world.network.flying, self._world.network.deliver
        for beats in (False, True):
            if beats:
                self._beat()
            while awaited := [message for message in flying if message.is_awaited]:
                deliver(awaited[0])
                self._world.settle_down()
        for message in [m for m in flying if not m.is_awaited]:
            deliver(message, Fate.REQUEST_LOST)

    def _beat(self) -> None:
        for gateway in self._world.gateways:
            gateway.heartbeat()
        self._world.settle_down()

    def _hang_up(self) -> None:
        if self._world.bedrock.open:
            exchange = self._dice.choice(self._world.bedrock.open)
            exchange.is_hung_up = True
            exchange.is_abandoned = self._dice.random() < 0.5
            self._world.trace.tell("hang up", str(exchange.request_id))

    def _kill(self) -> None:
        """A process ends between two of its steps; a dead one is started again."""
        process = self._dice.choice(self._world.processes)
        if process.life.is_dead:
            process.start()
            return
        awaited = [m for m in self._world.network.flying if m.sender is process.life]
        if awaited and self._dice.random() < 0.5:
            # The answer is there, and its reader dies after so many turns of its loop.
            self._world.network.deliver(self._dice.choice(awaited))
            self._world.settle_down(self._dice.randint(1, 3))
        process.kill()

    def _lose_power(self) -> None:
        """A host goes dark. What a ledger forgets meanwhile, too, nobody can know (stated gap)."""
        root = self._dice.choice(self._world.gateways).root
        here = [g for g in self._world.gateways if g.root == root]
        for gateway in here:
            if not gateway.life.is_dead:
                gateway.kill()
        if all(gateway.is_healed for gateway in self._world.gateways):
            self._replica = None
            lost = self._world.disk.lose_power(root, self._dice.random)
            self._world.trace.tell("power is lost", f"{root.name}, {len(lost)} notes with it")
            # A call that was voided may come back as one that may have been billed, after its
            # tombstone went: the books then hold its worst case, and the ledger lacks it.
            self._world.has_lost_writes |= bool(lost)
            self._world.note_power_loss({name for name, _ in lost})

    def _replicate(self) -> None:
        self._replica = (self._world.server.copy(), self._world.laws.lineage.copy())
        self._replica_ms = self._world.now_ms
        self._world.trace.tell("replica stops")

    def _fail_over(self) -> None:
        if self._replica is None:
            return
        copy, lineage = self._replica
        self._replica = None
        self._world.server.fail_over(copy)
        self._after_loss(lineage)
        self._world.trace.tell("failover")

    def _disaster(self) -> None:
        """A call is sent, its ledger forgets the hold, its worker dies: all at once."""
        world = self._world
        alive = [g for g in world.gateways if not g.life.is_dead]
        if not alive:
            return
        self._replicate()
        gateway, identified = self._dice.choice(alive), world.requests.next_call()
        gateway.call(identified, leaves_early=False)
        world.settle_down()
        while ours := [m for m in world.network.flying if m.sender is gateway.life]:
            if identified.call.request_id in world.bedrock.sent:
                break
            world.network.deliver(ours[0])
            world.settle_down()
        gateway.kill()
        self._fail_over()

    def _flush_all(self) -> None:
        self._replica = None
        self._world.server.lose_everything()
        self._after_loss(type(self._world.laws.lineage)())
        self._world.trace.tell("flushall")

    def _rebuild(self) -> None:
        """Somebody has the ledger set from the books, though nothing is wrong with it."""
        self._dice.choice(self._world.builders).rebuild()

    def _after_loss(self, lineage: Lineage) -> None:
        world = self._world
        world.note_forgotten(lineage)
        world.laws.lineage = lineage
        world.has_lost_writes = True
        for gateway in world.gateways:
            gateway.is_healed = False
        gone = world.server.pass_time(world.now_ms)
        world.state = world.server.look(world.now_ms)
        world.laws.after_time(world.state, gone, world.now_ms)

    def _change_rules(self) -> None:
        """A new edition of the policy; some gateways learn of it later, or of a stop."""
        world = self._world
        if self._dice.random() < 0.3:
            world.operator.toggle_stop()
            return
        world.edition = world.next_edition(world.edition.version + 1)
        world.operator.publish(world.edition.version)

    def _jump(self) -> None:
        gateway = self._dice.choice(self._world.gateways)
        gateway.clock.skew_ms = self._dice.choice((0, -3_600_000, 90_000, 86_400_000, -500))
        self._world.trace.tell("clock jumps", f"{gateway.name} {gateway.clock.skew_ms} ms")
