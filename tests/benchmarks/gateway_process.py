"""One proxy process of the gateway in its real configuration, on a port of its choice."""

from __future__ import annotations

import asyncio
import os
import sys

import uvloop

from gateway.compose.observers import make_observer
from gateway.compose.proxy import open_data_plane
from gateway.proxy.server import listen
from gateway.settings import load_settings


async def main() -> None:
    settings = load_settings(
        {k: v for k, v in os.environ.items() if k.startswith(("GATEWAY_", "AWS_"))}
    )
    async with open_data_plane(settings, make_observer(settings, "bench")) as plane:
        server = await listen(plane.server, host="127.0.0.1", port=0, tls=None)
        print(server.sockets[0].getsockname()[1], flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
        server.close()
        await plane.calls.drain(5)
        await plane.server.shutdown(1)


if __name__ == "__main__":
    uvloop.run(main())
