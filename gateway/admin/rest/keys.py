"""`/v1/keys…`: keys are made, shown, rotated and revoked. A secret is in one answer only."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from http import HTTPStatus

from gateway.admin.asked import Asked
from gateway.admin.models.keys import (
    KeyDocument,
    KeyOrder,
    KeyPage,
    KeyQuery,
    NewKeyDocument,
    RevocationOrder,
    RotationOrder,
    status_of,
)
from gateway.admin.problem import FieldProblem, ProblemError
from gateway.admin.reading import invalid_body
from gateway.admin.route import About, Answer, Route, writing_route
from gateway.admin.services import AdminServices
from gateway.control.keys import (
    KeyEndedError,
    KeyExceedsMakerError,
    KeyRequest,
    KeyRequestError,
    draft_key,
    draft_rotation,
    excess_of,
    grace_of,
    issue_key,
    list_keys,
    revoke_key,
    rotate_key,
)
from gateway.control.ports import StoredKey
from gateway.control.reach import Reach, at_least
from gateway.domain.caller import Role
from gateway.domain.errors import GatewayError
from gateway.domain.observer import ComponentFailed

_KEY_ID = re.compile(r"AKIA[A-Z2-7]{16}")
_COMPONENT = "key revocation"
_EXCEEDS = "exceeds_maker"


class _Keys:
    """The handlers. Whoever may not reach a key is told that there is none."""

    def __init__(self, services: AdminServices) -> None:
        self._house = services

    async def list(self, asked: Asked) -> Answer:
        """Keys within reach, newest first."""
        query, reach = asked.query(KeyQuery), asked.reach
        before = None
        if query.cursor is not None:
            before = self._house.cursors.read(query.cursor, asked.binding)
        found = [
            key
            for key in await list_keys(self._house.keys)
            if _covers(reach, key)
            and query.org in (None, key.org)
            and query.user in (None, key.user)
            and query.status in (None, status_of(key, asked.now))
            and (before is None or _position(key) < before)
        ]
        page, more = found[: query.limit], found[query.limit :]
        cursor = self._house.cursors.make(_position(page[-1]), asked.binding) if more else None
        items = tuple(KeyDocument.of(key, asked.now) for key in page)
        return Answer(document=KeyPage(items=items, next_cursor=cursor))

    async def show(self, asked: Asked) -> Answer:
        """One key."""
        return Answer(document=KeyDocument.of(await self._key(asked), asked.now))

    async def create(self, asked: Asked) -> Answer:
        """A new key, no mightier than its maker."""
        order, who = asked.body(KeyOrder), asked.administrator
        _ = asked.reach  # heeded in the draft: it compares with all that the maker has
        request = KeyRequest(
            org=order.org,
            team=order.team,
            user=order.user,
            application=order.application,
            role=order.role,
            may_set=order.may_set,
            may_act_for_others=order.acts_for_others,
            expires_at=order.expires_at,
            created_by=who.name,
        )
        sealer = self._house.sealer
        material = self._house.key_material()
        try:
            draft = draft_key(sealer, request, material, asked.now, maker=who.as_maker)
        except KeyExceedsMakerError as exc:
            raise ProblemError(HTTPStatus.FORBIDDEN, _EXCEEDS, str(exc)) from exc
        except KeyRequestError as exc:
            raise invalid_body(FieldProblem(pointer="#", expected=str(exc))) from exc
        await asked.record(f"key/{material.key_id}", _rights(draft.unsealed))
        made = await issue_key(self._house.keys, sealer, draft)
        return Answer(
            document=NewKeyDocument.of_new(made, asked.now),
            status=HTTPStatus.CREATED,
            location=f"/v1/keys/{material.key_id}",
        )

    async def rotate(self, asked: Asked) -> Answer:
        """A new key with the same rights; the old one works for a grace, then ends."""
        old, sealer = await self._key(asked), self._house.sealer
        # Its rights in a new secret are nothing for those who could not have given them.
        if excess := excess_of(old, asked.administrator.as_maker):
            raise ProblemError(HTTPStatus.FORBIDDEN, _EXCEEDS, excess)
        material = self._house.key_material()
        try:
            grace = grace_of(asked.body(RotationOrder).grace_s)
            draft = draft_rotation(sealer, old, material, asked.now, by=asked.administrator.name)
        except KeyEndedError as exc:
            raise ProblemError(HTTPStatus.CONFLICT, "key_ended", str(exc)) from exc
        except KeyRequestError as exc:
            raise invalid_body(FieldProblem(pointer="#/grace_s", expected=str(exc))) from exc
        ends_at = asked.now + grace
        context = {"new_key": material.key_id, "old_key_ends_at": ends_at.isoformat()}
        await asked.record(f"key/{old.key_id}", context)
        made = await rotate_key(self._house.keys, sealer, old.key_id, draft, ends_at)
        if not grace:
            await self._announce(old.key_id)
        return Answer(
            document=NewKeyDocument.of_new(made, asked.now, replaces=old.key_id),
            status=HTTPStatus.CREATED,
            location=f"/v1/keys/{material.key_id}",
        )

    async def revoke(self, asked: Asked) -> Answer:
        """Ends a key for good, on every gateway within a second. Repeating it changes nothing."""
        key = await self._key(asked)
        if not at_least(asked.administrator.role, Role(key.role)):
            raise ProblemError(HTTPStatus.FORBIDDEN, _EXCEEDS, f"the key has the role {key.role}")
        why = asked.body(RevocationOrder).why if asked.body_model is not None else None
        await asked.record(f"key/{key.key_id}", {"why": why} if why else {})
        await revoke_key(self._house.keys, key.key_id, asked.now)
        await self._announce(key.key_id)
        return Answer(document=KeyDocument.of(await self._key(asked), asked.now))

    async def _key(self, asked: Asked) -> StoredKey:
        key_id, key = asked.path["key_id"], None
        if _KEY_ID.fullmatch(key_id) is not None:
            key = await self._house.keys.get(key_id)
        if key is None or not _covers(asked.reach, key):
            raise ProblemError(
                HTTPStatus.NOT_FOUND, "key_not_found", "there is no such key within your reach"
            )
        return key

    async def _announce(self, key_id: str) -> None:
        try:
            await self._house.revocations.announce(key_id)
        except GatewayError as exc:
            # It is in the table, which every gateway reads again within a second of losing Redis.
            self._house.observer.tell(ComponentFailed(component=_COMPONENT, detail=exc.detail))


def key_routes(services: AdminServices) -> tuple[Route, ...]:
    """The routes of this noun."""
    keys = _Keys(services)
    return (*_reading(keys), *_writing(keys))


def _reading(keys: _Keys) -> tuple[Route, ...]:
    return (
        Route(
            method="GET",
            path="/v1/keys",
            role=Role.VIEWER,
            about=About.FOUND,
            summary="Keys within your reach, newest first, without their secrets.",
            handler=keys.list,
            query=KeyQuery,
            answer=KeyPage,
        ),
        Route(
            method="GET",
            path="/v1/keys/{key_id}",
            role=Role.VIEWER,
            about=About.FOUND,
            summary="One key, without its secret.",
            handler=keys.show,
            answer=KeyDocument,
            failures=(HTTPStatus.NOT_FOUND,),
        ),
    )


def _writing(keys: _Keys) -> tuple[Route, ...]:
    not_found = HTTPStatus.NOT_FOUND

    return (
        writing_route(
            "POST",
            "/v1/keys",
            "key.create",
            summary="Issue a key that may no more than you; its secret is shown this once.",
            handler=keys.create,
            body=KeyOrder,
            answer=NewKeyDocument,
            status=HTTPStatus.CREATED,
        ),
        writing_route(
            "POST",
            "/v1/keys/{key_id}/rotate",
            "key.rotate",
            summary="Replace a key; the old one works for a grace, then ends.",
            handler=keys.rotate,
            body=RotationOrder,
            takes_body_or_none=True,
            answer=NewKeyDocument,
            status=HTTPStatus.CREATED,
            failures=(not_found, HTTPStatus.CONFLICT),
        ),
        writing_route(
            "POST",
            "/v1/keys/{key_id}/revoke",
            "key.revoke",
            summary="End a key for good, on every gateway within a second.",
            handler=keys.revoke,
            body=RevocationOrder,
            takes_body_or_none=True,
            answer=KeyDocument,
            failures=(not_found,),
        ),
        writing_route(
            "DELETE",
            "/v1/keys/{key_id}",
            "key.revoke",
            summary="End a key for good, as `revoke` does; it stays listed.",
            handler=keys.revoke,
            answer=KeyDocument,
            failures=(not_found,),
        ),
    )


def _covers(reach: Reach, key: StoredKey) -> bool:
    return reach.covers_holder(key.org, key.team, key.user, key.application)


def _position(key: StoredKey) -> tuple[str, ...]:
    return _at(key.created_at), key.key_id


def _at(at: datetime) -> str:
    return at.isoformat(timespec="microseconds")


def _rights(key: StoredKey) -> Mapping[str, str]:
    rights = {
        "role": key.role,
        "org": key.org,
        "team": key.team,
        "user": key.user or "",
        "application": key.application or "",
        "may_set": ",".join(key.may_set),
        "acts_for_others": str(key.may_act_for_others).lower(),
        "expires_at": key.expires_at.isoformat() if key.expires_at else "",
    }
    return {name: text for name, text in rights.items() if text}
