"""A request to the admin API after all that is the same for every route: who asks for what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from http import HTTPStatus
from typing import TypeVar

from pydantic import BaseModel

from gateway.admin.access import Administrator
from gateway.admin.problem import ProblemError
from gateway.admin.record import Recorder
from gateway.control.audit import AuditOutcome
from gateway.control.reach import Reach
from gateway.domain.scope import Scope

_Model = TypeVar("_Model", bound=BaseModel)


@dataclass(slots=True, kw_only=True)
class Asked:
    """One request, checked as far as its route says.

    Invariant: `reach` was looked at by the time a route about what it finds has answered, and
    `record` was called by the time one that changes something has: else nothing is answered.
    """

    administrator: Administrator
    now: datetime
    path: Mapping[str, str]
    query_model: BaseModel | None = None
    body_model: BaseModel | None = None
    if_match: frozenset[str] | None = None
    binding: str = ""
    recorder: Recorder | None = None
    has_looked: bool = field(default=False, init=False)

    def body(self, model: type[_Model]) -> _Model:
        """The body as its model; one with nothing in it if it was left out."""
        if self.body_model is None:
            return model()
        assert isinstance(self.body_model, model)
        return self.body_model

    def query(self, model: type[_Model]) -> _Model:
        """The query as its model."""
        assert isinstance(self.query_model, model)
        return self.query_model

    @property
    def reach(self) -> Reach:
        """How far who asks reaches; whoever reads it has to heed it."""
        self.has_looked = True
        return self.administrator.reach

    def expect_within(self, scope: Scope) -> None:
        """Lets a scope pass that is reached. Raises: ProblemError (403)."""
        if not self.reach.covers(scope):
            raise self._beyond(scope.path)

    def expect_holder(
        self, org: str, team: str | None, user: str | None, application: str | None
    ) -> None:
        """Lets whoever is bound so pass if they are reached. Raises: ProblemError (403)."""
        if not self.reach.covers_holder(org, team, user, application):
            raise self._beyond("this caller")

    def _beyond(self, what: str) -> ProblemError:
        return ProblemError(
            HTTPStatus.FORBIDDEN,
            "scope_not_allowed",
            f"{what} is beyond {self.administrator.reach.scope.path}, which is as far as you reach",
        )

    def expect_version(self, etag: str) -> None:
        """Lets a change pass that was made from this version. Raises: ProblemError (412)."""
        if self.if_match is not None and not self.if_match & {etag, "*"}:
            raise ProblemError(
                HTTPStatus.PRECONDITION_FAILED,
                "changed_meanwhile",
                "somebody changed it since you read it; read it again and repeat your change",
            )

    def expect_stated_version(self) -> None:
        """Lets a change pass that says which version it was made from. Raises: ProblemError."""
        if self.if_match is None:
            raise ProblemError(
                HTTPStatus.PRECONDITION_REQUIRED,
                "version_needed",
                "say by If-Match which version you changed, as its ETag names it",
            )

    async def record(self, resource: str, context: Mapping[str, str] | None = None) -> None:
        """Tells the audit trail what is about to be done. Raises: GatewayError if it cannot."""
        assert self.recorder is not None
        await self.recorder.record(resource, AuditOutcome.DONE, context or {})
