"""How rules change: what a change would hit, and how it is put in force on every shard."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from gateway.admission.control_ports import LedgerControl
from gateway.control.bundle import (
    LINEAGE,
    BundleStore,
    PolicyBundle,
    Publication,
    PublishVerdict,
    compile_bundle,
    digest_of_files,
    seen_of,
)
from gateway.documents.marked_yaml import DocumentError
from gateway.domain.errors import Fault, GatewayError
from gateway.domain.reason import Reason
from gateway.policy.managed import ManagedBudget, ManagedRules, Override
from gateway.policy.name_types import EVERYONE
from gateway.policy.parse import PolicySet

_ATTEMPTS = 5
_NAMED_ORGS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What somebody wants to be different. None: it stays as it is in force."""

    files: Mapping[str, str] | None = None
    managed: ManagedRules | None = None
    by: str
    why: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """An edition that could be published, and whom it would hit.

    `expected`: the edition it was made from. `orgs_hit`: orgs with rules in force whose rules it
    changes; an org that is new is not hit.
    """

    bundle: PolicyBundle
    expected: int
    orgs: tuple[str, ...]
    orgs_hit: tuple[str, ...]
    is_change: bool

    @property
    def needs_confirmation(self) -> bool:
        """Whether more than half of the tenants would be hit: several, by what may be a slip."""
        return len(self.orgs_hit) > 1 and 2 * len(self.orgs_hit) > len(self.orgs)

    @property
    def says(self) -> str:
        """Whom it would hit, for people."""
        return f"would {hits(self.orgs_hit, len(self.orgs))}"


def hits(orgs_hit: Sequence[str], orgs: int) -> str:
    """Whom a change hits, of so many orgs, for people."""
    named = ", ".join(orgs_hit[:_NAMED_ORGS])
    more = len(orgs_hit) - _NAMED_ORGS
    rest = f" and {more} more" if more > 0 else ""
    hit = f"hit {len(orgs_hit)} of {orgs} orgs"
    return f"{hit}: {named}{rest}" if named else hit


def publication_facts(proposal: Proposal) -> dict[str, str]:
    """What the record of a publication says of it."""
    return {
        "why": proposal.bundle.why,
        "digest": proposal.bundle.digest,
        "after": str(proposal.expected),
        "orgs_hit": f"{len(proposal.orgs_hit)} of {len(proposal.orgs)}",
    }


def propose(current: PolicyBundle | None, change: Change) -> Proposal:
    """The edition that the change makes of the current one.

    Raises: DocumentError with everything that is wrong with it.
    """
    files = change.files if change.files is not None else current.files if current else {}
    managed = change.managed
    if managed is None:
        managed = current.managed if current is not None else ManagedRules()
    bundle = PolicyBundle(
        edition=0,
        files=dict(files),
        managed=managed,
        published_at=change.at,
        published_by=change.by,
        why=change.why,
        lineage=_lineage(current, digest_of_files(files)),
    )
    after, before = compile_bundle(bundle), _in_force(current)
    orgs = sorted(_orgs(before)) if before is not None else []
    hit = [org for org in orgs if before and _binding(before, org) != _binding(after, org)]
    return Proposal(
        bundle=bundle,
        expected=current.edition if current is not None else 0,
        orgs=tuple(orgs),
        orgs_hit=tuple(hit),
        is_change=current is None or bundle.digest != current.digest,
    )


def _lineage(current: PolicyBundle | None, new: str) -> tuple[str, ...]:
    if current is None:
        return ()
    if current.folder_digest == new:
        return current.lineage
    return (current.folder_digest, *(d for d in current.lineage if d != new))[:LINEAGE]


def _in_force(current: PolicyBundle | None) -> PolicySet | None:
    """What is in force; None also where this release does not understand it."""
    if current is None:
        return None
    try:
        return compile_bundle(current)
    except DocumentError:
        return None


def _orgs(policies: PolicySet) -> set[str]:
    """The orgs that have rules of their own."""
    budgets = {budget.org for budget in policies.managed.budgets}
    overrides = {override.org for override in policies.managed.overrides}
    return {*policies.orgs, *budgets, *overrides} - {EVERYONE}


def _binding(policies: PolicySet, org: str) -> object:
    """All that binds the org, to be compared: comments and the order of files do not count."""
    owners = (EVERYONE, org)
    return (
        policies.everyone,
        policies.orgs.get(org),
        tuple(budget for budget in policies.managed.budgets if budget.org in owners),
        tuple(override for override in policies.managed.overrides if override.org in owners),
    )


class Publisher:
    """Puts proposals in force: first in the store, then on all shards of the ledger."""

    def __init__(self, store: BundleStore, control: LedgerControl) -> None:
        self._store = store
        self._control = control

    async def publish(
        self, proposal: Proposal, *, at_least: int = 0, lease: str | None = None
    ) -> Publication:
        """Publishes if what it was made from is still in force.

        The number follows the proposal's time in milliseconds. Raises: GatewayError; the edition
        may then be in force, without all shards having heard of it: `remind` mends that.
        """
        at_ms = round(proposal.bundle.published_at.timestamp() * 1000)
        publication = await self._store.publish(
            proposal.bundle, expected=proposal.expected, at_least=max(at_ms, at_least), lease=lease
        )
        if publication.verdict is PublishVerdict.PUBLISHED:
            await self.remind(publication.edition)
        return publication

    async def remind(self, edition: int) -> int:
        """Tells all shards that the edition is in force; answers the newest that one knows of."""
        return await self._control.publish(seen_of(edition))

    async def change_managed(
        self,
        change: Callable[[ManagedRules], ManagedRules],
        *,
        by: str,
        why: str,
        at: datetime,
        expected: int | None = None,
    ) -> PolicyBundle:
        """Changes what is made by API, and answers the edition that has it in force.

        `expected`: the edition it shall be made from; None: whichever is in force.
        Raises: DocumentError; GatewayError(STALE_PLAN) if others were faster.
        """
        for _ in range(_ATTEMPTS):
            current = await self._store.current()
            if expected is not None and expected != (current.edition if current else 0):
                break
            managed = change(current.managed if current is not None else ManagedRules())
            managed = _without_ended(managed, at)
            proposal = propose(current, Change(managed=managed, by=by, why=why, at=at))
            if current is not None and not proposal.is_change:
                return current
            publication = await self.publish(proposal)
            if publication.verdict is PublishVerdict.PUBLISHED:
                return replace(proposal.bundle, edition=publication.edition)
        raise GatewayError(
            Reason.STALE_PLAN,
            "the rules were changed by somebody else meanwhile: look, and try again",
            fault=Fault.CALLER,
            retry_after_s=1.0,
        )


def put_budget(managed: ManagedRules, budget: ManagedBudget) -> ManagedRules:
    """With the budget, in the place of the one with its id if there is one."""
    others = tuple(b for b in managed.budgets if b.id != budget.id)
    budgets = tuple(sorted((*others, budget), key=lambda b: b.id))
    return ManagedRules(budgets=budgets, overrides=managed.overrides)


def delete_budget(managed: ManagedRules, budget_id: str) -> ManagedRules:
    """Without the budget. Raises: KeyError if there is none with this id."""
    if all(budget.id != budget_id for budget in managed.budgets):
        raise KeyError(budget_id)
    kept = tuple(budget for budget in managed.budgets if budget.id != budget_id)
    return ManagedRules(budgets=kept, overrides=managed.overrides)


def add_override(managed: ManagedRules, override: Override) -> ManagedRules:
    """With the override, in the place of the one with its id if there is one."""
    others = tuple(o for o in managed.overrides if o.id != override.id)
    overrides = tuple(sorted((*others, override), key=lambda o: o.id))
    return ManagedRules(budgets=managed.budgets, overrides=overrides)


def remove_override(managed: ManagedRules, override_id: str) -> ManagedRules:
    """Without the override. Raises: KeyError if there is none with this id."""
    if all(override.id != override_id for override in managed.overrides):
        raise KeyError(override_id)
    kept = tuple(override for override in managed.overrides if override.id != override_id)
    return ManagedRules(budgets=managed.budgets, overrides=kept)


def _without_ended(managed: ManagedRules, at: datetime) -> ManagedRules:
    """Without overrides whose time is over: they decide nothing any more."""
    kept = tuple(override for override in managed.overrides if override.until > at)
    if len(kept) == len(managed.overrides):
        return managed
    return ManagedRules(budgets=managed.budgets, overrides=kept)
