"""One edition of all rules: the policy files and what was made by API, under one number.

Editions only ever grow (I12). Their numbers follow the time in milliseconds, so that a store that
lost everything goes on above all that it ever gave out.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import Enum, StrEnum
from typing import Any, Protocol

import orjson

from gateway.domain.ids import PolicyVersion
from gateway.domain.reservation import Seen, SeenKind
from gateway.policy.managed import ManagedRules
from gateway.policy.parse import PolicySet, compile_rules

RULES = "rules"
"""The name under which every ledger shard knows the newest edition."""

LINEAGE = 100
"""How many earlier states of the folder an edition remembers."""

MAX_BUNDLE_BYTES = 64 * 1024 * 1024
_FORMAT = 1


class UnreadableBundleError(ValueError):
    """A bundle that this release cannot read: another wrote it, or it is damaged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyBundle:
    """All rules as they were published, whole. `edition` 0: not published yet.

    `files`: name in the folder → text. `lineage`: digests of the folders before this one, newest
    first, so that a folder that was replaced is known again and does not come back by itself.
    """

    edition: int
    files: Mapping[str, str]
    managed: ManagedRules
    published_at: datetime
    published_by: str
    why: str
    lineage: tuple[str, ...] = ()

    @property
    def folder_digest(self) -> str:
        """Equal for equal policy files."""
        return digest_of_files(self.files)

    @property
    def digest(self) -> str:
        """Equal for equal rules, whatever their edition."""
        managed = orjson.dumps(self.managed.model_dump(mode="json"), option=orjson.OPT_SORT_KEYS)
        return hashlib.sha256(self.folder_digest.encode() + managed).hexdigest()[:12]


def digest_of_files(files: Mapping[str, str]) -> str:
    """Equal for equal names and texts."""
    digest = hashlib.sha256()
    for name in sorted(files):
        for part in (name.encode(), files[name].encode()):
            digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()[:12]


def compile_bundle(bundle: PolicyBundle) -> PolicySet:
    """The rules of the bundle, under its edition. Raises: DocumentError if they are not valid."""
    policies = compile_rules(bundle.files, bundle.managed)
    return replace(policies, version=PolicyVersion(str(bundle.edition)))


def seen_of(edition: int) -> Seen:
    """What plans carry that were made from the edition."""
    return Seen(kind=SeenKind.POLICY, name=RULES, version=edition)


def encode_bundle(bundle: PolicyBundle) -> bytes:
    """The bundle as it is stored; its edition is kept beside it."""
    document = {
        "format": _FORMAT,
        "files": dict(bundle.files),
        "managed": bundle.managed.model_dump(mode="json"),
        "published_at": bundle.published_at.astimezone(UTC).isoformat(),
        "published_by": bundle.published_by,
        "why": bundle.why,
        "lineage": list(bundle.lineage),
    }
    return zlib.compress(orjson.dumps(document))


def decode_bundle(edition: int, content: bytes) -> PolicyBundle:
    """The stored bundle. Raises: UnreadableBundleError."""
    try:
        document: dict[str, Any] = orjson.loads(_unpacked(content))
        if document["format"] == _FORMAT:
            return PolicyBundle(
                edition=edition,
                files={str(name): str(text) for name, text in document["files"].items()},
                managed=ManagedRules.model_validate(document["managed"]),
                published_at=datetime.fromisoformat(document["published_at"]),
                published_by=str(document["published_by"]),
                why=str(document["why"]),
                lineage=tuple(str(digest) for digest in document["lineage"]),
            )
    except (zlib.error, ValueError, KeyError, TypeError, AttributeError) as exc:
        raise UnreadableBundleError("the stored rules cannot be read by this release") from exc
    raise UnreadableBundleError("the rules were published by another release of the gateway")


def _unpacked(content: bytes) -> bytes:
    """The content, if it is whole and within bounds. Raises: ValueError, zlib.error."""
    unpacker = zlib.decompressobj()
    text = unpacker.decompress(content, MAX_BUNDLE_BYTES)
    if unpacker.unconsumed_tail or not unpacker.eof:
        raise ValueError("too large, or cut off")
    return text


class PublishVerdict(Enum):
    """What became of a publication. CONFLICT: another edition is in force than was expected."""

    PUBLISHED = "published"
    CONFLICT = "conflict"
    NOT_LEADER = "not_leader"


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """The store's answer; `edition` is the one in force after it."""

    verdict: PublishVerdict
    edition: int


class FolderState(StrEnum):
    """How a host's policy folder stands to the rules in force."""

    IN_FORCE = "in_force"
    BROKEN = "broken"
    NEEDS_CONFIRMATION = "needs_confirmation"
    DIFFERS = "differs"


@dataclass(frozen=True, slots=True, kw_only=True)
class PublisherReport:
    """What one publisher says of itself. `detail`: what is wrong, and what to do; '' if nothing."""

    name: str
    folder: str
    is_leader: bool
    state: FolderState
    detail: str
    edition: int
    at: datetime


class BundleStore(Protocol):
    """Where the edition in force is kept, for all gateways.

    Raises (every method): GatewayError(LEDGER_UNAVAILABLE) when the answer is unknown or late.
    """

    async def edition(self) -> int:
        """The number of the edition in force; 0: nothing was published, or it is lost."""
        ...

    async def current(self) -> PolicyBundle | None:
        """The edition in force. Raises: UnreadableBundleError."""
        ...

    async def publish(
        self, bundle: PolicyBundle, *, expected: int, at_least: int, lease: str | None = None
    ) -> Publication:
        """Puts the bundle in force if `expected` still is, under a number above all it knows of.

        `at_least`: the smallest number it may have. `lease`: who has to be the leader; None: nobody
        has to. Plans of older editions are refused by the first shard in the same step, and whoever
        watches it is woken.
        """
        ...

    async def lead(self, who: str, ttl_ms: int) -> bool:
        """Whether `who` is the publisher that watches a folder, for the next while."""
        ...

    async def report(self, report: PublisherReport) -> None:
        """Keeps what a publisher says of itself."""
        ...

    async def reports(self) -> Sequence[PublisherReport]:
        """What publishers said of themselves, also those that are gone."""
        ...


class EditionArchive(Protocol):
    """Where editions survive the loss of the store. Raises (every method): GatewayError."""

    async def keep(self, bundle: PolicyBundle) -> None:
        """Keeps an edition. Idempotent."""
        ...

    async def newest(self) -> PolicyBundle | None:
        """The newest edition that was kept. Raises: UnreadableBundleError."""
        ...
