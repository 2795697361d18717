"""Publishes a host's policy folder: of all gateways one at a time, by lease.

What is in force stays in force until something better is there: a folder that is broken, that would
hit most tenants, or that was replaced before, is said aloud and not published.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, replace
from typing import Protocol

from gateway.control.bundle import (
    BundleStore,
    FolderState,
    PolicyBundle,
    PublisherReport,
    PublishVerdict,
    UnreadableBundleError,
)
from gateway.control.publish import Change, Proposal, Publisher, propose
from gateway.documents.marked_yaml import DocumentError
from gateway.domain.clock import Clock
from gateway.domain.errors import GatewayError
from gateway.domain.observer import ComponentFailed, ComponentRecovered, Observer, RulesInForce
from gateway.workers.edition_keeper import EditionKeeper
from gateway.workers.folder_watch import FolderContent, FolderWatch

_FOLDER, _STORE = "policy_folder", "policy_publisher"


@dataclass(frozen=True, slots=True, kw_only=True)
class PublisherPace:
    """How often it looks, and how long it leads after its last look. Units: seconds."""

    look_every_s: float = 0.05
    store_every_s: float = 0.5
    lease_s: float = 3.0
    report_every_s: float = 5.0


class Record(Protocol):
    """Puts a publication on record before it is made; again, if it was not made after all."""

    async def __call__(self, proposal: Proposal, *, is_done: bool) -> None:
        """Raises: GatewayError if it cannot be recorded: then it is not made."""
        ...


Verdict = tuple[FolderState, str]
"""How the folder stands, and what is wrong; '' if nothing is."""


class PolicyPublisher:
    """Watches one folder until cancelled. `who`: this process, among all that ever ran."""

    def __init__(
        self,
        folder: FolderWatch,
        store: BundleStore,
        publisher: Publisher,
        keeper: EditionKeeper,
        *,
        observer: Observer,
        clock: Clock,
        record: Record,
        who: str,
        host: str,
        pace: PublisherPace | None = None,
    ) -> None:
        self._folder = folder
        self._store = store
        self._publisher = publisher
        self._keeper = keeper
        self._observer = observer
        self._clock = clock
        self._record = record
        self._who = who
        self._host = host
        self._pace = pace or PublisherPace()
        self._leads = self._reaches_store = False
        self._store_at_s = self._report_at_s = -1e9
        self._judged: object = None
        self._said = (FolderState.IN_FORCE, "")
        self._troubles: dict[str, str] = {}
        self.in_force = asyncio.Event()

    async def run(self) -> None:
        """Publishes what changes until cancelled; then lets another one lead at once.

        Raises: DocumentError if nothing is in force anywhere, and this folder cannot be.
        """
        try:
            while True:
                await self.look()
                await asyncio.sleep(self._pace.look_every_s)
        finally:
            if self._leads:
                with contextlib.suppress(GatewayError, asyncio.CancelledError):
                    await self._store.lead(self._who, 1)

    async def look(self) -> None:
        """One look at folder and store. Raises: DocumentError as `run` does."""
        now_s = self._clock.monotonic_s()
        try:
            if self._is_due(self._store_at_s, self._pace.store_every_s):
                self._store_at_s, self._reaches_store = now_s, False
                await self._look_at_store()
                self._reaches_store = True
            await self._folder.look()
            if self._reaches_store:
                await self._judge()
                await self._report()
        except GatewayError as exc:
            self._reaches_store = False
            self._tell(_STORE, exc.detail)
        except UnreadableBundleError as exc:
            # Whoever wrote it knows better than this release: it does not lead.
            self._leads = False
            self._tell(_STORE, str(exc))
        if self._reaches_store:
            self._tell(_STORE, "")

    async def _look_at_store(self) -> None:
        await self._keeper.look()
        self._leads = await self._store.lead(self._who, round(self._pace.lease_s * 1000))
        if self._leads:
            await self._keeper.mend(self._who)
        if self._keeper.current is not None:
            self.in_force.set()

    async def _judge(self) -> None:
        """Publishes the folder if it is to be, and says how it stands if it is not."""
        content, current = self._folder.content, self._keeper.current
        if content is None:
            return
        judged = (content, self._keeper.edition, self._leads)
        if judged != self._judged:
            verdict = await self._verdict(content, current)
            if verdict is None:
                return
            self._said = verdict
            self._judged = (content, self._keeper.edition, self._leads)
            state, detail = self._said
            self._tell(_FOLDER, "" if state is FolderState.IN_FORCE else detail)
            self._report_at_s = -1e9

    async def _verdict(
        self, content: FolderContent, current: PolicyBundle | None
    ) -> Verdict | None:
        """How the folder stands, published if need be; None: look at the store again first."""
        known = self._known_verdict(content, current)
        if known is not None:
            return known
        change = Change(
            files=content.files,
            by=self._host,
            why=f"folder {self._folder.name}",
            at=self._clock.now(),
        )
        try:
            proposal = await asyncio.to_thread(propose, current, change)
        except DocumentError as exc:
            return self._broken(exc, current)
        if proposal.needs_confirmation:
            why = f"{proposal.says} (confirm it with `policy push --yes`)"
            return FolderState.NEEDS_CONFIRMATION, f"{self._folder.name} {why}; {_kept(current)}"
        return await self._publish(proposal)

    def _known_verdict(
        self, content: FolderContent, current: PolicyBundle | None
    ) -> Verdict | None:
        """How the folder stands, where that needs no look into its files; None: it does."""
        if content.error is not None:
            return self._broken(content.error, current)
        if current is not None and content.digest == current.folder_digest:
            self._folder.was_edited = False
            return FolderState.IN_FORCE, ""
        if current is not None and current.files and not content.files:
            error = DocumentError.at_top(self._folder.name, "no policy file is left")
            return self._broken(error, current)
        if not self._leads:
            return self._differs(current, "is not what is in force, and another host publishes")
        if (
            current is not None
            and content.digest in current.lineage
            and not self._folder.was_edited
        ):
            why = "was in force before and was replaced (`policy push` would bring it back)"
            return self._differs(current, why)
        return None

    def _differs(self, current: PolicyBundle | None, why: str) -> Verdict:
        return FolderState.DIFFERS, f"{self._folder.name} {why}; {_kept(current)}"

    def _broken(self, error: DocumentError, current: PolicyBundle | None) -> Verdict:
        if current is None and self._leads:
            raise error
        return FolderState.BROKEN, f"{_kept(current)}: {error}"

    async def _publish(self, proposal: Proposal) -> Verdict | None:
        await self._record(proposal, is_done=True)
        publication = await self._publisher.publish(
            proposal, at_least=self._keeper.heard + 1, lease=self._who
        )
        if publication.verdict is not PublishVerdict.PUBLISHED:
            await self._record(proposal, is_done=False)
            self._store_at_s = -1e9  # somebody was faster, or leads
            return None
        bundle = replace(proposal.bundle, edition=publication.edition)
        self._keeper.took(bundle)
        self._folder.was_edited = False
        self.in_force.set()
        self._observer.tell(
            RulesInForce(edition=bundle.edition, published_by=bundle.published_by, why=bundle.why)
        )
        return FolderState.IN_FORCE, ""

    async def _report(self) -> None:
        if not self._is_due(self._report_at_s, self._pace.report_every_s):
            return
        state, detail = self._said
        await self._store.report(
            PublisherReport(
                name=self._who,
                folder=self._folder.name,
                is_leader=self._leads,
                state=state,
                detail=detail,
                edition=self._keeper.edition,
                at=self._clock.now(),
            )
        )
        self._report_at_s = self._clock.monotonic_s()

    def _is_due(self, last_s: float, every_s: float) -> bool:
        return self._clock.monotonic_s() - last_s >= every_s

    def _tell(self, component: str, trouble: str) -> None:
        """Tells what changed of what does not work; '' is: it works."""
        before = self._troubles.get(component, "")
        if trouble == before:
            return
        self._troubles[component] = trouble
        if trouble:
            self._observer.tell(ComponentFailed(component=component, detail=trouble))
        else:
            self._observer.tell(ComponentRecovered(component=component))


def _kept(current: PolicyBundle | None) -> str:
    if current is None:
        return "nothing is in force yet"
    return f"edition {current.edition} of {current.published_by} stays in force"
