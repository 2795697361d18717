"""Bare aiohttp: a fairly tuned pass-through without enforcement, the yardstick of the figures."""

from __future__ import annotations

import asyncio
import sys

import aiohttp
from aiohttp import web
from yarl import URL

_DROPPED = frozenset({"host", "connection", "transfer-encoding", "content-length"})


async def main(upstream: str) -> None:
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=1024),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
    )

    async def forward(request: web.Request) -> web.StreamResponse:
        body = await request.read()
        headers = [(k, v) for k, v in request.headers.items() if k.lower() not in _DROPPED]
        async with session.post(
            URL(upstream + request.raw_path, encoded=True), data=body, headers=headers
        ) as answer:
            response = web.StreamResponse(status=answer.status)
            for name, value in answer.headers.items():
                if name.lower() not in _DROPPED:
                    response.headers.add(name, value)
            if answer.content_length is not None:
                response.content_length = answer.content_length
            await response.prepare(request)
            async for chunk in answer.content.iter_any():
                await response.write(chunk)
            await response.write_eof()
            return response

    app = web.Application(client_max_size=30 << 20)
    app.router.add_route("*", "/{path:.*}", forward)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await runner.cleanup()
    await session.close()


if __name__ == "__main__":
    import uvloop

    uvloop.run(main(sys.argv[1]))
