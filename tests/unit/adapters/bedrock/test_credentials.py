import asyncio
import json
from dataclasses import dataclass
from types import SimpleNamespace

import pytest
from aiobotocore.session import AioSession
from botocore.exceptions import ClientError, CredentialRetrievalError

from gateway.adapters.bedrock.credentials import AwsCredentials, UpstreamCredentials
from gateway.domain.errors import Fault, GatewayError
from gateway.domain.reason import Reason
from tests.fakes.clock import FakeClock
from tests.fakes.waiting import until

DENIED = ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "AssumeRole")


@dataclass
class Provider:
    """A botocore credentials object: what it hands out next, or raises."""

    outcomes: list
    asked: int = 0
    gate: asyncio.Event | None = None

    async def get_frozen_credentials(self):
        self.asked += 1
        if self.gate is not None:
            await self.gate.wait()
        outcome = self.outcomes.pop(0) if len(self.outcomes) > 1 else self.outcomes[0]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


class Chain:
    """A session whose chain finds that provider, or none."""

    def __init__(self, provider) -> None:
        self.provider = provider

    async def get_credentials(self):
        if isinstance(self.provider, Exception):
            raise self.provider
        return self.provider


def frozen(name="one", secret="s", token=None):
    return SimpleNamespace(access_key=name, secret_key=secret, token=token)


def made(*outcomes, **more):
    provider, clock = Provider(list(outcomes), **more), FakeClock()
    return UpstreamCredentials(clock, Chain(provider)), provider, clock


async def refused(credentials):
    with pytest.raises(GatewayError) as raised:
        await credentials.current()
    assert raised.value.reason is Reason.UPSTREAM_CREDENTIALS
    assert raised.value.fault is Fault.GATEWAY
    return raised.value.detail


async def settled(credentials):
    await until(lambda: credentials._refresh is None)


async def test_botocores_own_chain_is_used():
    credentials = UpstreamCredentials(FakeClock())
    found = await credentials.current()
    assert found.access_key == "AKIATESTINGTESTING00"
    await credentials.close()


async def test_a_process_of_the_operator_may_hand_them_out(monkeypatch, tmp_path):
    answer = json.dumps(
        {"Version": 1, "AccessKeyId": "A", "SecretAccessKey": "S", "SessionToken": "T"}
    )
    config = tmp_path / "config"
    (tmp_path / "answer.json").write_text(answer)
    config.write_text(f"[default]\ncredential_process = cat {tmp_path / 'answer.json'}\n")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    credentials = UpstreamCredentials(FakeClock(), AioSession())
    found = await credentials.current()
    assert found == AwsCredentials(access_key="A", secret="S", session_token="T")


def test_secrets_are_not_shown():
    shown = repr(AwsCredentials(access_key="A", secret="hidden", session_token="hidden"))
    assert "hidden" not in shown


async def test_calls_that_come_at_once_ask_once():
    gate = asyncio.Event()
    credentials, provider, _ = made(frozen(), gate=gate)
    waiting = [asyncio.create_task(credentials.current()) for _ in range(5)]
    await until(lambda: provider.asked)
    waiting[0].cancel()
    gate.set()
    await asyncio.wait(waiting)
    assert {task.result().access_key for task in waiting[1:]} == {"one"}
    assert provider.asked == 1


async def test_new_ones_are_looked_for_every_minute_without_anyone_waiting():
    credentials, provider, clock = made(frozen("one"), frozen("two"))
    await credentials.current()
    clock.advance(60)
    await credentials.current()
    assert provider.asked == 1
    clock.advance(1)
    provider.gate = asyncio.Event()
    assert (await credentials.current()).access_key == "one"
    provider.gate.set()
    await settled(credentials)
    assert (await credentials.current()).access_key == "two"
    assert provider.asked == 2


async def test_after_a_long_rest_they_may_have_run_out_so_the_first_call_waits():
    credentials, _, clock = made(frozen("one"), frozen("two"))
    await credentials.current()
    clock.advance(3600)
    assert (await credentials.current()).access_key == "two"


async def test_a_look_that_fails_leaves_those_that_are_still_good():
    credentials, provider, clock = made(frozen("one"), DENIED, DENIED, frozen("two"))
    await credentials.current()
    for _ in range(2):
        clock.advance(61)
        assert (await credentials.current()).access_key == "one"
        await settled(credentials)
        assert (await credentials.current()).access_key == "one"
    assert provider.asked == 3
    clock.advance(200)
    assert (await credentials.current()).access_key == "two"


async def test_those_that_were_good_long_ago_are_not_used_when_looking_fails():
    credentials, _, clock = made(frozen("one"), DENIED)
    await credentials.current()
    clock.advance(301)
    await refused(credentials)


@pytest.mark.parametrize(
    "trouble",
    [
        DENIED,
        CredentialRetrievalError(provider="process", error_msg="secret text"),
        RuntimeError("Credentials were refreshed, but the refreshed credentials are expired."),
        OSError("no such file"),
        TimeoutError(),
        KeyError("x"),
    ],
)
async def test_whatever_a_provider_raises_no_call_was_sent(trouble):
    credentials, _, _ = made(trouble, frozen("two"))
    assert await refused(credentials) == "the gateway's AWS credentials could not be obtained"
    assert (await credentials.current()).access_key == "two"


async def test_a_chain_that_fails_or_finds_nothing_is_the_gateways_trouble():
    clock = FakeClock()
    assert "found" in await refused(UpstreamCredentials(clock, Chain(None)))
    await refused(UpstreamCredentials(clock, Chain(OSError("IMDS"))))


@pytest.mark.parametrize("empty", [frozen(name=""), frozen(secret=""), frozen(name=None)])
async def test_empty_credentials_are_none(empty):
    credentials, _, _ = made(empty)
    assert "empty" in await refused(credentials)


async def test_closing_ends_a_look_that_hangs():
    credentials, provider, _ = made(frozen(), gate=asyncio.Event())
    waiting = asyncio.create_task(credentials.current())
    await until(lambda: provider.asked)
    await credentials.close()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await credentials.close()
