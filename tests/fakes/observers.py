"""An observer that remembers what it was told."""

from __future__ import annotations

from gateway.domain.observer import Fact


class RememberingObserver:
    """Implements `domain.observer.Observer`."""

    def __init__(self) -> None:
        self.facts: list[Fact] = []

    def tell(self, fact: Fact) -> None:
        self.facts.append(fact)
