"""Short-term Bedrock API keys as AWS's own generator makes them, by botocore."""

from __future__ import annotations

import base64

import botocore.auth
import pytest
from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.fakes.clock import NOON

KEY_ID = "AKIA" + "A" * 16


def mint(
    *, secret="SECRET", key_id=KEY_ID, session_token=None, region="us-east-1", at=NOON, **changes
):
    """A token as aws-bedrock-token-generator makes it, by botocore."""
    values = {"expires": 43200, "service": "bedrock", "change": lambda url: url, **changes}
    request = AWSRequest(
        method="POST",
        url="https://bedrock.amazonaws.com/",
        headers={"host": "bedrock.amazonaws.com"},
        params={"Action": "CallWithBearerToken"},
    )
    signer = SigV4QueryAuth(
        Credentials(key_id, secret, session_token),
        values["service"],
        region,
        expires=values["expires"],
    )
    with pytest.MonkeyPatch.context() as botocore_clock:
        botocore_clock.setattr(botocore.auth, "get_current_datetime", lambda **_: at)
        signer.add_auth(request)
    url = values["change"](request.url.replace("https://", "") + "&Version=1")
    return "bedrock-api-key-" + base64.b64encode(url.encode()).decode()
