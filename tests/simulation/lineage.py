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


@dataclass(frozen=True, slots=True)
class Take:
    """One claim of a hold: its account, and how much of it is taken."""

    key: str
    claim: Claim
    amount: int


@dataclass(slots=True)
class Lineage:
    """The history of a server's data.

    `base`: what of an account's spend comes from the books (a rebuild). `in_books`: charges that
    were in the books before their hold was known. `gone`: keys whose time has passed.
    """

    fates: dict[RequestId, Fate] = field(default_factory=dict)
    takes: dict[RequestId, tuple[Take, ...]] = field(default_factory=dict)
    deadlines: dict[RequestId, int] = field(default_factory=dict)
    admitted: dict[str, list[int]] = field(default_factory=dict)
    versions: dict[str, int] = field(default_factory=dict)
    base: dict[str, int] = field(default_factory=dict)
    in_books: set[tuple[RequestId, str]] = field(default_factory=set)
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
            in_books=set(self.in_books),
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
                elif fate.counts and (name, take.key) not in self.in_books:
                    charge = take.amount if fate.state == "expired" else fate.counted
                    posted[take.key] = posted.get(take.key, 0) + charge
        return pending, posted
