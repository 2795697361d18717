"""A worker that notes calls until its disk is full, says so, and goes on when there is room again.

Told on the command line: the outbox root, and how large a file may grow (0: as large as it can).
Answers with one line of JSON each time: the ids whose notes it was told are written.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
from pathlib import Path

from gateway.adapters.outbox.bounds import OutboxBounds
from gateway.adapters.outbox.writer import OutboxWriter
from gateway.adapters.system import SystemClock
from tests.fakes.ledgers import posting
from tests.fakes.observers import RememberingObserver


async def fill(root: Path, limit: int) -> None:
    if limit:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    writer = OutboxWriter(
        root,
        lambda: "filler",
        observer=RememberingObserver(),
        clock=SystemClock(),
        bounds=OutboxBounds(segment_bytes=16_384, probe_bytes=4096, look_s=0.05),
    )
    await writer.open()
    running = asyncio.create_task(writer.run())
    number, noted = 0, []
    while True:
        while writer.is_writing:
            name = f"call-{number}"
            number += 1
            if writer.intent(posting(name, number)):
                noted.append(name)
            if number % 50 == 0:
                await asyncio.sleep(0)
        print(json.dumps(noted), flush=True)  # noqa: T201 - its answer to the test
        if not await asyncio.to_thread(sys.stdin.readline):
            break
        while not writer.is_writing:  # noqa: ASYNC110 - the outbox tells nobody
            await asyncio.sleep(0.01)
    running.cancel()


if __name__ == "__main__":
    asyncio.run(fill(Path(sys.argv[1]), int(sys.argv[2])))
