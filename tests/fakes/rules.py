"""A store, an archive and a folder of rules in memory, and policies to put into them."""

from __future__ import annotations

from dataclasses import replace

from gateway.adapters.redis.connection import unavailable
from gateway.admission.reference_control import ReferenceControl
from gateway.control.bundle import (
    PolicyBundle,
    Publication,
    PublishVerdict,
    decode_bundle,
    encode_bundle,
    seen_of,
)
from gateway.documents.marked_yaml import DocumentError
from gateway.policy.managed import ManagedRules
from tests.fakes.clock import NOON


def policy(org="acme", usd=100, *, note=""):
    """A policy file of one org with one budget."""
    return (
        f"version: 1\norg: '{org}'\n{note}"
        f"budgets:\n  - {{name: {'all' if org == '*' else 'month'}, scope: org, period: month, "
        f"limit_usd: {usd}}}\nmodels: {{allow: ['*']}}\n"
    )


def folder_of(*orgs, usd=100):
    """One file for each org."""
    return {f"{org.replace('*', 'everyone')}.yaml": policy(org, usd) for org in orgs}


def bundle(files=None, **changed):
    """An edition that was not published yet."""
    values = {
        "edition": 0,
        "files": folder_of("acme") if files is None else files,
        "managed": ManagedRules(),
        "published_at": NOON,
        "published_by": "test",
        "why": "a test",
    }
    return PolicyBundle(**(values | changed))


class MemoryBundleStore:
    """Implements `control.bundle.BundleStore`; held to the same tests as the one in Redis.

    `is_away`: it does not answer. `leader` leads until somebody says otherwise.
    """

    def __init__(self, control: ReferenceControl | None = None) -> None:
        self.control = control or ReferenceControl()
        self.stored: tuple[int, bytes] | None = None
        self.published: list[PolicyBundle] = []
        self.leader: str | None = None
        self.said: dict[str, object] = {}
        self.is_away = False
        self.asked = 0

    def lose(self, back_to: PolicyBundle | None = None) -> None:
        """Forgets what is in force, or goes back to what was."""
        self.stored = None if back_to is None else (back_to.edition, encode_bundle(back_to))
        self.leader = None
        self.control.versions.clear()
        if back_to is not None:
            self.control.learn((seen_of(back_to.edition),))

    async def edition(self) -> int:
        self._answer()
        return self.stored[0] if self.stored else 0

    async def current(self) -> PolicyBundle | None:
        self._answer()
        return decode_bundle(*self.stored) if self.stored else None

    async def publish(self, bundle, *, expected, at_least, lease=None) -> Publication:
        self._answer()
        current = self.stored[0] if self.stored else 0
        if lease is not None and self.leader != lease:
            return Publication(verdict=PublishVerdict.NOT_LEADER, edition=current)
        if current != expected:
            return Publication(verdict=PublishVerdict.CONFLICT, edition=current)
        known = await self.control.publish(seen_of(0))
        edition = max(current + 1, known + 1, at_least)
        self.stored = (edition, encode_bundle(bundle))
        self.published.append(replace(bundle, edition=edition))
        await self.control.publish(seen_of(edition))
        return Publication(verdict=PublishVerdict.PUBLISHED, edition=edition)

    async def lead(self, who, ttl_ms) -> bool:
        self._answer()
        if self.leader in (None, who):
            self.leader = None if ttl_ms == 1 else who
            return True
        return False

    async def report(self, report) -> None:
        self._answer()
        self.said[report.name] = report

    async def reports(self):
        return list(self.said.values())

    def _answer(self) -> None:
        self.asked += 1
        if self.is_away:
            raise unavailable("the rules' store does not answer")


class MemoryArchive:
    """Implements `control.bundle.EditionArchive`."""

    def __init__(self) -> None:
        self.kept: list[PolicyBundle] = []
        self.is_away = False

    async def keep(self, bundle) -> None:
        self._answer()
        self.kept.append(bundle)

    async def newest(self):
        self._answer()
        return max(self.kept, key=lambda bundle: bundle.edition, default=None)

    def _answer(self) -> None:
        if self.is_away:
            raise unavailable("table rule_editions does not answer now")


class HandFolder:
    """Implements `workers.policy_publisher.WatchedFolder`. `files` may be a DocumentError.

    `write` is noticed at once; `race` is written while somebody reads.
    """

    def __init__(self, files, name="policies") -> None:
        self.files = files
        self.name = name
        self.race = None
        self.reads = 0
        self._writes = 0

    def write(self, files) -> None:
        self.files = files
        self._writes += 1

    async def signature(self) -> object:
        return self._writes

    async def read(self):
        self.reads += 1
        found = self.files
        if self.race is not None:
            self.write(self.race)
            self.race = None
        if isinstance(found, DocumentError):
            raise found
        return dict(found)
