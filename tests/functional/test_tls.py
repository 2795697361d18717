import asyncio
import contextlib
import datetime as dt
import ipaddress
import ssl

import boto3
import pytest
from botocore.config import Config
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.fakes.stock_clients import user_says

NOVA = "amazon.nova-lite-v1:0"


@pytest.fixture
def certificate(tmp_path):
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(minutes=5))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    cert, private = tmp_path / "cert.pem", tmp_path / "key.pem"
    cert.write_bytes(built.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return cert, private


@pytest.fixture
async def secure(start, certificate):
    cert, private = certificate
    return await start(tls_cert=cert, tls_key=private)


async def test_a_stock_client_signs_and_calls_over_tls(secure, certificate):
    answer = await secure.ask(
        lambda client: client.converse(modelId=NOVA, messages=user_says("hi")),
        verify=str(certificate[0]),
    )
    assert answer["usage"]["outputTokens"] == 40
    (record,) = await secure.settled(1)
    assert record["exact"]


async def test_boto3_takes_a_bearer_key_over_tls_from_the_usual_variable(
    secure, certificate, monkeypatch
):
    key = await secure.key()
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", key.bearer)

    def run():
        client = boto3.Session().client(
            "bedrock-runtime",
            region_name="us-east-1",
            endpoint_url=secure.url,
            verify=str(certificate[0]),
            config=Config(retries={"total_max_attempts": 1}),
        )
        try:
            stream = client.converse_stream(modelId=NOVA, messages=user_says("hi"))["stream"]
            return list(stream)
        finally:
            client.close()

    events = await asyncio.to_thread(run)
    assert events[-1]["metadata"]["usage"]["outputTokens"] == 40
    (record,) = await secure.settled(1)
    assert record["key_id"] == key.stored.key_id


async def handshake(port, configure):
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    configure(context)
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    spoken = writer.get_extra_info("ssl_object")
    found = (spoken.version(), spoken.selected_alpn_protocol())
    writer.close()
    with contextlib.suppress(ssl.SSLError, ConnectionError):
        await writer.wait_closed()
    return found


async def test_only_http_1_is_offered_so_that_http_2_clients_fail_at_once(secure):
    def http_1(context):
        context.set_alpn_protocols(["h2", "http/1.1"])

    assert await handshake(secure.port, http_1) == ("TLSv1.3", "http/1.1")


async def test_old_tls_is_refused(secure):
    def old(context):
        context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        context.maximum_version = ssl.TLSVersion.TLSv1_1

    with (
        pytest.warns(DeprecationWarning, match="TLS"),
        pytest.raises((ssl.SSLError, ConnectionError)),
    ):
        await handshake(secure.port, old)


async def test_plain_http_on_the_tls_port_reaches_nothing(secure, simulated):
    reader, writer = await asyncio.open_connection("127.0.0.1", secure.port)
    writer.write(b"GET /_gateway/live HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    async with asyncio.timeout(5):
        assert b"live" not in await reader.read()
    writer.close()
    with contextlib.suppress(ssl.SSLError, ConnectionError):
        await writer.wait_closed()
    assert simulated.requests == []
