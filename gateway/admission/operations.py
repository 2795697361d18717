"""How a worker finds out that its ledger forgot something: operation numbers.

A worker numbers what it asks of a shard, and says with each question up to where all was answered
(`acked`). A ledger that has not seen all of that lost it in a failover. Its verdict is sticky,
since the next question alone would look fine. Several questions are on their way at once and
overtake each other, so both sides count without gaps: a highest number alone would hide a loss.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """What a question says about its worker's operations.

    `skipped`: questions that were given up unanswered; the ledger may never have seen them.
    """

    number: int
    acked: int
    skipped: frozenset[int] = frozenset()


@dataclass(slots=True)
class OperationNumbers:
    """The worker's side. Invariant: each number that is begun is acknowledged or abandoned once."""

    last: int = 0
    _open: set[int] = field(default_factory=set)
    _skipped: set[int] = field(default_factory=set)

    @property
    def acked(self) -> int:
        """Up to where nothing is open."""
        return min(self._open, default=self.last + 1) - 1

    def begin(self) -> Operation:
        """The next operation."""
        self.last += 1
        self._open.add(self.last)
        return Operation(number=self.last, acked=self.acked, skipped=frozenset(self._skipped))

    def look(self) -> Operation:
        """What a question says that is no operation: number 0."""
        return Operation(number=0, acked=self.acked, skipped=frozenset(self._skipped))

    def acknowledged(self, operation: Operation) -> None:
        """The ledger answered, so it also knows what was skipped."""
        self._open.discard(operation.number)
        self._skipped -= operation.skipped

    def abandoned(self, operation: Operation) -> None:
        """Nobody waits for the answer any more."""
        self._open.discard(operation.number)
        if operation.number:
            self._skipped.add(operation.number)


@dataclass(slots=True)
class OperationLog:
    """The ledger's side, as the model of `lua/operations.lua`.

    `last`: up to here all were seen; `beyond`: what was seen after a gap.
    """

    last: int = 0
    beyond: set[int] = field(default_factory=set)
    has_rolled_back: bool = False

    def has_forgotten(self, operation: Operation) -> bool:
        """Whether the worker has to heal before anything else. If not, the operation is noted."""
        if self.has_rolled_back:
            return True
        self._note(operation.skipped)
        self.has_rolled_back = operation.acked > self.last
        if not self.has_rolled_back and operation.number:
            self._note({operation.number})
        return self.has_rolled_back

    def healed(self, last: int) -> None:
        """The worker has brought back all that it knew up to its operation `last`."""
        self.last, self.beyond, self.has_rolled_back = last, set(), False

    def _note(self, numbers: set[int] | frozenset[int]) -> None:
        self.beyond |= {number for number in numbers if number > self.last}
        while self.last + 1 in self.beyond:
            self.last += 1
            self.beyond.discard(self.last)
