"""The gateway's own AWS credentials: any botocore provider, refreshed before they run out."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

from aiobotocore.session import (  # type: ignore[import-untyped]  # ships no type marker
    AioSession,
    get_session,
)

from gateway.domain.clock import Clock
from gateway.domain.errors import Fault, GatewayError
from gateway.domain.reason import Reason

_LOOK_AGAIN_AFTER_S = 60.0
_SURE_FOR_S = 300.0
"""How long credentials are used without another look: botocore gave them ten minutes or more."""
_LONGEST_FETCH_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AwsCredentials:
    """Credentials as the signer needs them. `repr` hides the secrets."""

    access_key: str
    secret: str = field(repr=False)
    session_token: str | None = field(repr=False)


class UpstreamCredentials:
    """Hands out the current credentials without waiting, and looks for new ones in time.

    botocore starts refreshing 15 minutes before the end (advisory) and insists at 10; asking it
    every minute in the background means that no call waits for STS, but the first one after a
    long rest: what was looked at too long ago may have run out.
    """

    def __init__(self, clock: Clock, session: AioSession | None = None) -> None:
        self._clock = clock
        self._session = session or get_session()
        self._provider: Any = None
        self._current: AwsCredentials | None = None
        self._looked_at_s = 0.0
        self._obtained_at_s = 0.0
        self._refresh: asyncio.Task[AwsCredentials] | None = None

    async def current(self) -> AwsCredentials:
        """The credentials to sign with. Raises: GatewayError(UPSTREAM_CREDENTIALS)."""
        now_s = self._clock.monotonic_s()
        if self._current is not None and now_s - self._obtained_at_s <= _SURE_FOR_S:
            if now_s - self._looked_at_s > _LOOK_AGAIN_AFTER_S and self._refresh is None:
                self._start_refresh()
            return self._current
        return await asyncio.shield(self._refresh or self._start_refresh())

    async def close(self) -> None:
        """Stops looking."""
        if self._refresh is not None:
            self._refresh.cancel()
            await asyncio.wait([self._refresh])

    def _start_refresh(self) -> asyncio.Task[AwsCredentials]:
        self._looked_at_s = self._clock.monotonic_s()
        self._refresh = asyncio.create_task(self._fetch())
        self._refresh.add_done_callback(self._refreshed)
        return self._refresh

    def _refreshed(self, task: asyncio.Task[AwsCredentials]) -> None:
        self._refresh = None
        if not task.cancelled() and task.exception() is None:
            self._current = task.result()
            self._obtained_at_s = self._looked_at_s

    async def _fetch(self) -> AwsCredentials:
        try:
            async with asyncio.timeout(_LONGEST_FETCH_S):
                frozen = await self._frozen()
        except Exception as exc:  # a provider raises what it likes: STS, a file, a process
            raise _unavailable("the gateway's AWS credentials could not be obtained") from exc
        if frozen is None:
            raise _unavailable("no AWS credentials were found by botocore's chain")
        if not frozen.access_key or not frozen.secret_key:
            raise _unavailable("the gateway's AWS credentials are empty")
        return AwsCredentials(
            access_key=frozen.access_key,
            secret=frozen.secret_key,
            session_token=frozen.token or None,
        )

    async def _frozen(self) -> Any:
        """The credentials as botocore has them now; None if its chain finds none."""
        if self._provider is None:
            self._provider = await self._session.get_credentials()
        return None if self._provider is None else await self._provider.get_frozen_credentials()


def _unavailable(detail: str) -> GatewayError:
    return GatewayError(Reason.UPSTREAM_CREDENTIALS, detail, fault=Fault.GATEWAY, retry_after_s=5)
