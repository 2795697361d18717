"""What one server should know, by the commands it has executed: a copy of it forks this, too."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from gateway.domain.ids import RequestId
from gateway.domain.reservation import Claim


@dataclass(frozen=True, slots=True)
class Fate:
    """Where a hold has come to, and whether and how much of it counts in the balances.

    `counted` is not the charge where a repeat came after the tombstone had gone.
    """

    state: str
    charge: int = 0
    rank: int = 0
    counts: bool = False
    counted: int = 0

    @property
    def is_belated(self) -> bool:
        """Whether its last charge came when its tombstone had gone, and so changed no balance."""
        return self.counts and self.state != "expired" and self.counted != self.charge


@dataclass(frozen=True, slots=True)
class Take:
    """One claim of a hold: its account, and how much of it is taken."""

    key: str
    claim: Claim
    amount: int


@dataclass(slots=True)
class Lineage:
    """The history of a server's data.

    `base`: what of an account's spend comes from the books (a rebuild), `in_books`: call by call,
    `replaced`: what a call had counted when the books took its place; `late`: what was counted of
    a call when its record, that had come without a hold, was new to the books.
    `gone`: keys whose time has passed.
    """

    fates: dict[RequestId, Fate] = field(default_factory=dict)
    takes: dict[RequestId, tuple[Take, ...]] = field(default_factory=dict)
    deadlines: dict[RequestId, int] = field(default_factory=dict)
    admitted: dict[str, list[int]] = field(default_factory=dict)
    versions: dict[str, int] = field(default_factory=dict)
    base: dict[str, int] = field(default_factory=dict)
    in_books: dict[tuple[RequestId, str], int] = field(default_factory=dict)
    replaced: dict[tuple[RequestId, str], int] = field(default_factory=dict)
    late: dict[tuple[RequestId, str], int] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)

    def copy(self) -> Lineage:
        """What a replica knows that stops here."""
        return replace(
            self,
            fates=dict(self.fates),
            takes=dict(self.takes),
            deadlines=dict(self.deadlines),
            admitted={key: list(at) for key, at in self.admitted.items()},
            versions=dict(self.versions),
            base=dict(self.base),
            in_books=dict(self.in_books),
            replaced=dict(self.replaced),
            late=dict(self.late),
            gone=set(self.gone),
        )

    def sums(self) -> tuple[dict[str, int], dict[str, int]]:
        """Pending and posted of each budget's account, as they follow from the holds."""
        pending: dict[str, int] = {}
        posted = dict(self.base)
        for name, fate in self.fates.items():
            for take in self.takes.get(name, ()):
                if not take.key.startswith("usd:"):
                    continue
                if fate.state == "pending":
                    pending[take.key] = pending.get(take.key, 0) + take.amount
                elif fate.counts:
                    charge = fate.counted - self.replaced.get((name, take.key), 0)
                    posted[take.key] = posted.get(take.key, 0) + charge
        for (_, key), amount in self.late.items():
            posted[key] = posted.get(key, 0) + amount
        return pending, posted

    def held_at_most(self, name: RequestId) -> int:
        """The largest amount a call takes of any budget: what its expiry charges in all of them."""
        amounts = [t.amount for t in self.takes.get(name, ()) if t.key.startswith("usd:")]
        return max(amounts, default=0)

    def estimated(self) -> set[str]:
        """Accounts in which a call held less than in others: a soft budget holds an estimate."""
        return {
            take.key
            for name, takes in self.takes.items()
            for take in takes
            if take.key.startswith("usd:") and take.amount < self.held_at_most(name)
        }

    def counted_in(self, key: str) -> dict[RequestId, int]:
        """What each call counts in an account."""
        counted = {name: amount for (name, at), amount in self.in_books.items() if at == key}
        for name, fate in self.fates.items():
            for take in self.takes.get(name, ()):
                if take.key == key and fate.counts:
                    charge = fate.counted - self.replaced.get((name, key), 0)
                    counted[name] = counted.get(name, 0) + charge
        for (name, at), amount in self.late.items():
            if at == key:
                counted[name] = counted.get(name, 0) + amount
        return counted

    def set_from_books(self, key: str, spent: int, books: dict[RequestId, int]) -> None:
        """An account now says what the books say, whatever the holds had made of it."""
        self.base[key] = spent
        self.late = {(n, at): amount for (n, at), amount in self.late.items() if at != key}
        for name, amount in books.items():
            self.in_books[name, key] = self.replaced[name, key] = amount
        for name, fate in self.fates.items():
            for take in self.takes.get(name, ()):
                if take.key == key and fate.counts:
                    self.replaced[name, key] = fate.counted
