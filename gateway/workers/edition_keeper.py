"""Keeps the edition in force known: to this process, to all shards, and to the archive.

A store that lost its edition, or was restored to an older one, gets it back under a new number,
above every one that anybody has heard of (I12).
"""

from __future__ import annotations

from dataclasses import replace

from gateway.control.bundle import BundleStore, EditionArchive, PolicyBundle, PublishVerdict
from gateway.control.publish import Proposal, Publisher
from gateway.domain.clock import Clock
from gateway.domain.errors import GatewayError
from gateway.domain.observer import ComponentFailed, ComponentRecovered, Observer, RulesInForce

_COMPONENT = "policy_archive"
_ARCHIVE_RETRY_S = 5.0


class EditionKeeper:
    """Looks at the store for one publisher.

    `current`: the newest edition it knows of. `heard`: the newest that any shard has heard of.
    """

    def __init__(
        self,
        store: BundleStore,
        publisher: Publisher,
        archive: EditionArchive,
        observer: Observer,
        clock: Clock,
    ) -> None:
        self._store = store
        self._publisher = publisher
        self._archive = archive
        self._observer = observer
        self._clock = clock
        self._stored = 0
        self._has_read_archive = False
        self._archived = 0
        self._archive_at_s = -1e9
        self._archive_fails = False
        self.current: PolicyBundle | None = None
        self.heard = 0

    @property
    def edition(self) -> int:
        """The number of the newest edition; 0: there is none yet."""
        return self.current.edition if self.current is not None else 0

    def took(self, bundle: PolicyBundle) -> None:
        """This process has published it."""
        self.current, self._stored = bundle, bundle.edition

    async def look(self) -> None:
        """Learns of a newer edition. Raises: GatewayError, UnreadableBundleError."""
        self._stored = await self._store.edition()
        if self._stored > self.edition:
            found = await self._store.current()
            if found is not None and found.edition > self.edition:
                self.current = found

    async def mend(self, who: str) -> None:
        """Puts right what a lost or restored store got wrong; only the leader may.

        Raises: GatewayError, UnreadableBundleError.
        """
        await self._read_archive()
        self.heard = max(self.edition, await self._publisher.remind(self._stored))
        if self.current is not None and self._stored < self.heard:
            await self._publish_again(self.current, above=self.heard, who=who)
        await self._keep()

    async def _publish_again(self, lost: PolicyBundle, *, above: int, who: str) -> None:
        bundle = replace(
            lost,
            edition=0,
            published_at=self._clock.now(),
            why=f"the store had lost edition {above}",
        )
        proposal = Proposal(
            bundle=bundle, expected=self._stored, orgs=(), orgs_hit=(), is_change=True
        )
        publication = await self._publisher.publish(proposal, at_least=above + 1, lease=who)
        if publication.verdict is PublishVerdict.PUBLISHED:
            self.took(replace(bundle, edition=publication.edition))
            self._observer.tell(
                RulesInForce(
                    edition=publication.edition, published_by=bundle.published_by, why=bundle.why
                )
            )

    async def _read_archive(self) -> None:
        """Looks once whether the archive knows a newer edition than the store.

        Where the store knows none, what was made by API is only there: nothing goes on without it.
        """
        if self._has_read_archive:
            return
        try:
            newest = await self._archive.newest()
        except GatewayError as exc:
            if self.current is None:
                raise
            self._tell(exc.detail)
            return
        self._has_read_archive = True
        if newest is not None:
            self._archived = newest.edition
            if newest.edition > self.edition:
                self.current = newest

    async def _keep(self) -> None:
        """Brings the edition in force to the archive, as soon as that can be reached."""
        if self.current is None or self._archived >= self.edition:
            return
        if self._archive_fails and self._clock.monotonic_s() < self._archive_at_s:
            return
        try:
            await self._archive.keep(self.current)
        except GatewayError as exc:
            self._archive_at_s = self._clock.monotonic_s() + _ARCHIVE_RETRY_S
            self._tell(f"edition {self.edition} is in force, but not yet archived: {exc.detail}")
        else:
            self._archived = self.edition
            self._tell("")

    def _tell(self, trouble: str) -> None:
        if bool(trouble) is self._archive_fails:
            return
        self._archive_fails = bool(trouble)
        if trouble:
            self._observer.tell(ComponentFailed(component=_COMPONENT, detail=trouble))
        else:
            self._observer.tell(ComponentRecovered(component=_COMPONENT))
