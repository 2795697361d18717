"""The ledger's server: a real Valkey that runs the real Lua, on the world's clock.

A key's time to live is kept here, not there: the server's own clock runs while a test thinks, the
world's only when told to. `look` reads the whole state in one go, for the laws.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import redis
from redis.exceptions import RedisError

from tests.simulation.network import NOW, Message

_LOOK = """
local found = {}
for number, key in ipairs(redis.call('KEYS', '*')) do
  local ttl = redis.call('PTTL', key)
  if ttl > 0 then redis.call('PERSIST', key) end
  local kind, value = redis.call('TYPE', key).ok, ''
  if kind == 'string' then value = redis.call('GETRANGE', key, 0, 79)
  elseif kind == 'hash' then value = redis.call('HGETALL', key)
  elseif kind == 'zset' then value = redis.call('ZRANGE', key, 0, -1, 'WITHSCORES')
  elseif kind == 'stream' then value = redis.call('XLEN', key) end
  found[number] = { key, ttl, kind, value }
end
return found
"""
_PREFIX = "{s0}:"


@dataclass(slots=True)
class State:
    """What the server holds, by keys without their hash tag."""

    balances: dict[str, tuple[int, int, int]] = field(default_factory=dict)
    buckets: dict[str, tuple[int, int]] = field(default_factory=dict)
    leases: dict[str, dict[str, int]] = field(default_factory=dict)
    holds: dict[str, tuple[str, ...]] = field(default_factory=dict)
    due: dict[str, int] = field(default_factory=dict)
    control: dict[str, str] = field(default_factory=dict)
    journal_length: int = 0
    gone_at_ms: dict[str, int] = field(default_factory=dict)

    @property
    def accounts(self) -> tuple[Any, ...]:
        """What a refusal may not change."""
        return (self.balances, self.buckets, self.leases, self.holds, self.due, self.journal_length)


@dataclass(frozen=True, slots=True)
class Copy:
    """A replica that has stopped to follow."""

    dumps: tuple[tuple[bytes, bytes], ...]
    gone_at_ms: dict[bytes, int]


class LedgerServer:
    """One Valkey, and the world's idea of when its keys die."""

    def __init__(self, url: str) -> None:
        self.client: redis.Redis = redis.Redis.from_url(url)
        self._look = self.client.register_script(_LOOK)
        self._gone_at_ms: dict[bytes, int] = {}
        self.client.flushall()

    def run(self, message: Message, now_ms: int) -> Any:
        """Executes one command now."""
        args = [str(now_ms) if arg == NOW else arg for arg in message.args]
        try:
            return getattr(self.client, message.name)(*args, **message.kwargs)
        except RedisError as exc:
            return exc

    def look(self, now_ms: int) -> State:
        """The whole state; time to live, as far as it was set since the last look, starts now."""
        state = State()
        for key, ttl_ms, kind, value in self._look():
            if ttl_ms > 0:
                self._gone_at_ms[key] = now_ms + ttl_ms
            _put(state, key.decode().removeprefix(_PREFIX), kind.decode(), value)
        state.gone_at_ms = {
            key.decode().removeprefix(_PREFIX): at for key, at in self._gone_at_ms.items()
        }
        return state

    def pass_time(self, now_ms: int) -> set[str]:
        """Takes away what has died by now; which keys those were."""
        dead = [key for key, at_ms in self._gone_at_ms.items() if at_ms <= now_ms]
        if dead:
            self.client.delete(*dead)
            for key in dead:
                del self._gone_at_ms[key]
        return {key.decode().removeprefix(_PREFIX) for key in dead}

    def copy(self) -> Copy:
        """The replica, as of now."""
        keys = sorted(self.client.keys("*"))
        pipeline = self.client.pipeline(transaction=False)
        for key in keys:
            pipeline.dump(key)
        return Copy(tuple(zip(keys, pipeline.execute(), strict=True)), dict(self._gone_at_ms))

    def fail_over(self, copy: Copy) -> None:
        """The replica takes over: what it never saw is forgotten."""
        self.client.flushall()
        pipeline = self.client.pipeline(transaction=False)
        for key, dump in copy.dumps:
            pipeline.restore(key, 0, dump)
        pipeline.execute()
        self._gone_at_ms = dict(copy.gone_at_ms)

    def lose_everything(self) -> None:
        """Somebody has said FLUSHALL, to functions too."""
        self.client.flushall()
        self.client.function_flush()
        self._gone_at_ms = {}

    def close(self) -> None:
        self.client.close()


def _put(state: State, key: str, kind: str, value: Any) -> None:
    name, _, rest = key.partition(":")
    if name == "hold":
        words = value.split(b" ", 4)
        ended = words[0] not in (b"pending", b"voided")
        state.holds[rest] = tuple(word.decode() for word in words[: 3 if ended else 1])
    elif name == "usd":
        stored = dict(zip(value[::2], value[1::2], strict=True))
        state.balances[key] = tuple(
            int(stored.get(field, b"0")) for field in (b"posted", b"pending", b"overrun")
        )  # type: ignore[assignment]  # three of them
    elif kind == "zset":
        scores = {m.decode(): int(float(s)) for m, s in zip(value[::2], value[1::2], strict=True)}
        if name == "due":
            state.due = scores
        else:
            state.leases[key] = scores
    elif kind == "stream":
        state.journal_length = value
    elif name == "control":
        pairs = zip(value[::2], value[1::2], strict=True)
        state.control = {field.decode(): text.decode() for field, text in pairs}
    elif name in ("requests", "tokens"):
        backlog, at_ms = value.split()
        state.buckets[key] = (int(backlog), int(at_ms))
