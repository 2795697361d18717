"""TLS of the gateway's own listeners."""

from __future__ import annotations

import asyncio
import ssl

from gateway.compose.tls import server_tls


def test_tls_begins_at_1_2_and_offers_http_1_1_only(certificate):
    context = server_tls(*certificate)
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert context.verify_mode is ssl.CERT_NONE
    assert server_tls(None, None) is None


async def test_a_client_of_http_2_learns_at_once_that_this_is_not_its_server(certificate):
    context = server_tls(*certificate)
    server = await asyncio.start_server(lambda _, w: w.close(), "127.0.0.1", 0, ssl=context)
    client = ssl.create_default_context(cafile=certificate[0])
    client.set_alpn_protocols(["h2", "http/1.1"])
    port = server.sockets[0].getsockname()[1]
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=client)
    assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == "http/1.1"
    assert await reader.read() == b""
    writer.close()
    server.close()
    await server.wait_closed()
