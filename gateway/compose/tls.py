"""TLS of the gateway's own listeners."""

from __future__ import annotations

import ssl
from pathlib import Path


def server_tls(cert: Path | None, key: Path | None) -> ssl.SSLContext | None:
    """TLS of a listener: 1.2 and newer, HTTP/1.1 only, so that HTTP/2 clients fail at once."""
    if cert is None or key is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(cert, key)
    context.set_alpn_protocols(["http/1.1"])
    return context
