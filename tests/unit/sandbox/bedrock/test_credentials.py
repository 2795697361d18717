import hashlib

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from gateway.sandbox.bedrock.credentials import AcceptedCredentials, check_credentials
from gateway.sandbox.bedrock.errors import SimulatedError

URL = "http://127.0.0.1:9/model/us.anthropic.claude-haiku-4-5-20251001-v1%3A0/converse"
BODY = b'{"messages": []}'
ACCEPTED = AcceptedCredentials(bearer_token="bedrock-api-key-1")


def signed(accepted=ACCEPTED, body=BODY, url=URL, extra=()):
    request = AWSRequest(method="POST", url=url, data=body, headers={"Host": "127.0.0.1:9"})
    for name, value in extra:
        request.headers[name] = value
    credentials = Credentials(accepted.access_key, accepted.secret, accepted.session_token)
    SigV4Auth(credentials, "bedrock", "us-east-1").add_auth(request)
    return list(request.headers.items())


def check(headers, *, accepted=ACCEPTED, method="POST", url=URL, body=BODY):
    check_credentials(accepted, method=method, url=url, headers=headers, body=body)


def test_what_botocore_signs_passes():
    check(signed())
    check(signed(extra=[("x-amz-content-sha256", hashlib.sha256(BODY).hexdigest())]))


def test_a_session_token_must_be_the_one_that_was_given():
    accepted = AcceptedCredentials(session_token="token")
    check(signed(accepted), accepted=accepted)
    with pytest.raises(SimulatedError, match="UnrecognizedClient"):
        check(signed(), accepted=accepted)


@pytest.mark.parametrize(
    "change",
    [
        {"body": b"{}"},
        {"method": "PUT"},
        {"url": URL.replace("%3A", ":")},
        {"url": URL + "?a=b"},
    ],
)
def test_a_changed_request_fails(change):
    with pytest.raises(SimulatedError, match="InvalidSignature"):
        check(signed(), **change)


def test_a_changed_or_absent_header_fails():
    for headers in (
        [(name, "elsewhere" if name == "Host" else value) for name, value in signed()],
        [(name, value) for name, value in signed() if name != "Host"],
        [*signed(), ("x-amzn-bedrock-service-tier", "priority")],
        signed(extra=[("x-amz-content-sha256", "0" * 64)]),
        [(n, v.replace("Signature=", "Sig=")) for n, v in signed()],
    ):
        with pytest.raises(SimulatedError, match="InvalidSignature"):
            check(headers)


def test_strangers_are_told_apart():
    with pytest.raises(SimulatedError, match="UnrecognizedClient"):
        check(signed(AcceptedCredentials(access_key="AKIAOTHER")))
    with pytest.raises(SimulatedError, match="MissingAuthenticationToken"):
        check([("Host", "127.0.0.1:9")])


def test_an_api_key_passes_where_one_is_accepted():
    check([("Authorization", "Bearer bedrock-api-key-1")])
    for accepted in (ACCEPTED, AcceptedCredentials()):
        with pytest.raises(SimulatedError, match="AccessDenied"):
            check([("Authorization", "Bearer other")], accepted=accepted)
