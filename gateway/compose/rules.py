"""The rules a data plane decides by: the published edition, swapped whole and only for a newer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress

from gateway.adapters.files.prices import read_price_book
from gateway.adapters.redis.bundle_store import RedisBundleStore
from gateway.compose.stores import ledger_shards, open_journal_client
from gateway.control.bundle import (
    BundleStore,
    PolicyBundle,
    UnreadableBundleError,
    compile_bundle,
    seen_of,
)
from gateway.documents.marked_yaml import DocumentError
from gateway.domain.errors import Fault, GatewayError
from gateway.domain.observer import ComponentFailed, ComponentRecovered, Observer, RulesInForce
from gateway.domain.reason import Reason
from gateway.proxy.admit import Rules
from gateway.settings import Settings

_COMPONENT = "rules"
_POLL_S = 1.0
_FIRST_POLL_S = 0.1
_NONE_YET = "no rules are in force: waiting for a publisher (`serve`, or `policy push`)"


class LiveRules:
    """The rules of this process. `make` turns a bundle into rules; it may take its time.

    A store that is away, or an edition that cannot be used, leaves the last rules in force; plans
    of an older edition than the newest are then refused by the ledger, not by a guess made here.
    """

    def __init__(
        self, store: BundleStore, make: Callable[[PolicyBundle], Rules], observer: Observer
    ) -> None:
        self._store = store
        self._make = make
        self._observer = observer
        self._rules: Rules | None = None
        self._refreshing: asyncio.Task[None] | None = None
        self._heard = asyncio.Event()
        self._unusable = 0
        self.edition = 0
        self.trouble = ""

    def current(self) -> Rules:
        """The rules in force. Raises: GatewayError(OVERLOADED) before the first ones came."""
        if self._rules is None:
            raise GatewayError(Reason.OVERLOADED, _NONE_YET, fault=Fault.GATEWAY, retry_after_s=1.0)
        return self._rules

    def heard(self, edition: int) -> None:
        """Somebody says that this edition is in force: it is fetched soon, if it is newer."""
        if edition > self.edition:
            self._heard.set()

    async def refresh(self) -> None:
        """Fetches the edition in force now; those who ask at the same time wait for one answer.

        Raises: GatewayError if the store does not answer.
        """
        if self._refreshing is None or self._refreshing.done():
            self._refreshing = asyncio.create_task(self._refresh())
        await asyncio.shield(self._refreshing)

    async def wait_for_first(self) -> None:
        """Returns once there are rules."""
        while self._rules is None:
            try:
                await self.refresh()
            except GatewayError as exc:
                self._tell(exc.detail)
            else:
                if self._rules is None and not self._unusable:
                    self._tell(_NONE_YET)
            if self._rules is None:
                await asyncio.sleep(_FIRST_POLL_S)

    async def run(self, every_s: float = _POLL_S) -> None:
        """Follows the store until cancelled: when told of an edition, else at long intervals."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(every_s):
                    await self._heard.wait()
            self._heard.clear()
            try:
                if self._usable(await self._store.edition()):
                    await self.refresh()
            except GatewayError:
                # The breaker says that the ledger is away; the last rules stay.
                continue

    def _usable(self, edition: int) -> bool:
        return edition > max(self.edition, self._unusable)

    async def _refresh(self) -> None:
        try:
            bundle = await self._store.current()
            if bundle is None or bundle.edition <= self.edition:
                return
            rules = await asyncio.to_thread(self._make, bundle)
        except (UnreadableBundleError, DocumentError) as exc:
            self._unusable = await self._store.edition()
            self._tell(f"edition {self._unusable} cannot be used by this release: {exc}")
            return
        self._rules, self.edition = rules, bundle.edition
        self._tell("")
        self._observer.tell(
            RulesInForce(edition=bundle.edition, published_by=bundle.published_by, why=bundle.why)
        )

    def _tell(self, trouble: str) -> None:
        if trouble == self.trouble:
            return
        self.trouble = trouble
        if trouble:
            self._observer.tell(ComponentFailed(component=_COMPONENT, detail=trouble))
        else:
            self._observer.tell(ComponentRecovered(component=_COMPONENT))


@asynccontextmanager
async def open_rules(settings: Settings, observer: Observer) -> AsyncIterator[LiveRules]:
    """The published rules, followed for as long as the context lives; there are some from then on.

    Raises: DocumentError if the price files cannot be used.
    """
    prices = read_price_book(settings.prices, settings.price_overrides)
    home_accounts = frozenset(settings.home_accounts)

    def make(bundle: PolicyBundle) -> Rules:
        return Rules(
            policies=compile_bundle(bundle),
            prices=prices,
            home_accounts=home_accounts,
            seen=(seen_of(bundle.edition),),
        )

    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(open_journal_client(settings))
        rules = LiveRules(RedisBundleStore(client, ledger_shards(settings)[0]), make, observer)
        await rules.wait_for_first()
        following = asyncio.create_task(rules.run())
        try:
            yield rules
        finally:
            following.cancel()
            with suppress(asyncio.CancelledError):
                await following
