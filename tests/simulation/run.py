"""`make simulate SEEDS=0:100`: lives through many histories, and says how to see one again."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gateway.sandbox.processes import start_valkey
from tests.simulation.trace import Trace, ViolationError
from tests.simulation.world import World

DEFAULT_STEPS = 200


def simulate(seed: int, steps: int, url: str, folder: Path) -> Trace:
    """One history. Raises: ViolationError."""
    world = World(seed, steps, url, folder, has_allowance=has_allowance(seed))
    world.live()
    return world.trace


def has_allowance(seed: int) -> bool:
    """Whether workers let calls pass without their ledger: in every third history."""
    return seed % 3 == 0


def main() -> int:
    """Exit code 1 if a law was broken."""
    parser = argparse.ArgumentParser(description="lives through simulated histories")
    parser.add_argument("seeds", help="first:end, e.g. 0:100")
    parser.add_argument("--steps", type=int, default=DEFAULT_STEPS)
    parser.add_argument("--print", action="store_true", help="the whole trace of each history")
    parser.add_argument("--go-on", action="store_true", help="do not stop at the first violation")
    parser.add_argument(
        "--allowance", action="store_true", help="in each history, not in every third"
    )
    options = parser.parse_args()
    first, _, end = options.seeds.partition(":")
    with tempfile.TemporaryDirectory(prefix="simulation-") as folder, valkey(Path(folder)) as url:
        return _run(range(int(first), int(end or int(first) + 1)), options, url, Path(folder))


@contextmanager
def valkey(folder: Path) -> Iterator[str]:
    """A Valkey for as long as this lasts, outside of any event loop of ours."""
    with asyncio.Runner() as runner:
        server = start_valkey(folder, unix_socket=True)
        url = runner.run(server.__aenter__())
        try:
            yield url
        finally:
            runner.run(server.__aexit__(None, None, None))


def _run(seeds: range, options: argparse.Namespace, url: str, folder: Path) -> int:
    counts: Counter[str] = Counter()
    broken: list[int] = []
    began = time.perf_counter()
    for seed in seeds:
        allows = options.allowance or has_allowance(seed)
        world = World(seed, options.steps, url, folder / str(seed), has_allowance=allows)
        try:
            world.live()
        except ViolationError as violation:
            broken.append(seed)
            _say(f"{violation}\n")
        counts.update(world.trace.counts)
        if options.print:
            _say("\n".join(world.trace.lines))
        if broken and not options.go_on:
            break
    seconds = time.perf_counter() - began
    _say(f"{len(seeds)} histories of {options.steps} steps in {seconds:.1f} s, broken: {broken}")
    _say(", ".join(f"{name} {counts[name]}" for name in sorted(counts)))
    return 1 if broken else 0


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - a command's answer


if __name__ == "__main__":
    sys.exit(main())
