"""What happened, line by line, and how to see it again."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime


class ViolationError(AssertionError):
    """A law was broken; the message names it and holds the end of the trace."""

    def __init__(self, seed: int, text: str) -> None:
        super().__init__(text)
        self.seed = seed


class Trace:
    """The lines of one history. Nothing in them depends on anything but the seed."""

    def __init__(self, seed: int, steps: int) -> None:
        self.seed = seed
        self.steps = steps
        self.lines: list[str] = []
        self.counts: dict[str, int] = {}
        self.step = 0
        self.now_ms = 0

    def tell(self, kind: str, detail: str = "") -> None:
        """Notes that something happened."""
        self.counts[kind] = self.counts.get(kind, 0) + 1
        at = datetime.fromtimestamp(self.now_ms / 1000, UTC)
        self.lines.append(f"{self.step:04d} {at:%d %H:%M:%S.%f} {kind} {detail}".rstrip())

    def violation(self, law: str, about: Iterable[str] = ()) -> ViolationError:
        """The error that a broken law is: the law, whom it is about, the tail, how to replay it."""
        about = [name for name in about if name]
        ours = [line for line in self.lines[:-25] if any(_names(line, name) for name in about)]
        tail = [*(["… about " + ", ".join(about)] if ours else []), *ours[-25:], "… the end"]
        text = [f"seed {self.seed}, step {self.step}: {law}", *tail, *self.lines[-25:]]
        text.append(f"replay: make simulate SEEDS={self.seed}:{self.seed + 1} STEPS={self.steps}")
        return ViolationError(self.seed, "\n".join(text))


def _names(line: str, name: str) -> bool:
    return name in line.replace(":", " ").replace(",", " ").split()
