"""On which shard of the ledger an org is counted, and its part of a platform-wide limit."""

from __future__ import annotations

import zlib
from dataclasses import replace
from typing import assert_never

from gateway.admission.accounts import ShardKeys
from gateway.domain.money import NanoUsd
from gateway.domain.reservation import BalanceClaim, BucketClaim, Claim, LeaseClaim, Rung
from gateway.domain.scope import ScopeKind


def shard_of(org: str, count: int) -> int:
    """The shard of an org. Stable: the same on every gateway and in every release."""
    return zlib.crc32(org.encode()) % count


def shard_keys(count: int) -> tuple[ShardKeys, ...]:
    """The keys of all shards, in order."""
    return tuple(ShardKeys(f"s{number}") for number in range(count))


def platform_share(rung: Rung, number: int, count: int) -> Rung:
    """The rung as one shard has to check it: of platform-wide limits, its equal part.

    Invariant: the parts of all shards together are the limit, never more.
    """
    if count == 1:
        return rung
    return replace(rung, claims=tuple(_share(claim, number, count) for claim in rung.claims))


def _share(claim: Claim, number: int, count: int) -> Claim:
    if claim.account.scope.kind is not ScopeKind.PLATFORM:
        return claim
    match claim:
        case BalanceClaim():
            return replace(claim, ceiling=NanoUsd(_part(int(claim.ceiling), number, count)))
        case BucketClaim():
            # A bucket of no capacity would never drain; one unit is the least that a rate can be.
            return replace(claim, capacity=max(1, _part(claim.capacity, number, count)))
        case LeaseClaim():
            return replace(claim, limit=_part(claim.limit, number, count))
        case _:
            assert_never(claim)


def _part(whole: int, number: int, count: int) -> int:
    """An equal part; what does not divide goes to the first ones."""
    return whole // count + (1 if number < whole % count else 0)
