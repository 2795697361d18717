"""What the events of an answer state about its consumption, gathered one by one."""

from __future__ import annotations

from binascii import a2b_base64, b2a_base64
from collections.abc import Mapping
from typing import Any, Final

import orjson

from gateway.bedrock.answer_facts import AnswerFacts
from gateway.bedrock.event_frame import Frame
from gateway.bedrock.event_header import Headers
from gateway.bedrock.response_usage import facts_of_converse, facts_of_model_json
from gateway.bedrock.token_statement import USAGE_KEY_PART
from gateway.domain.model import Family

_CONVERSE_EVENTS: Final = frozenset({"metadata", "messageStop"})
_CHUNK_START: Final = b'{"bytes":"'
# Claude's text, by the first bytes of its base64: half of what metering such a stream would cost.
_CLAUDE_TEXT: Final = _CHUNK_START + b2a_base64(b'{"type":"content_block_delta')[:36]
_COUNT: Final = USAGE_KEY_PART.encode()
_REASON: Final = b'eason":"'  # stop_reason, stopReason, finish_reason, … that is not null
_GUARDRAIL: Final = b"guardrail"


class EventUsage:
    """Gathers the facts of one stream. Takes what it cannot read as `unreadable`, never raises.

    `error`: the exception that came as a frame, by its name on the wire. `has_events`: an event
    came, so something was delivered. `facts.is_last`: the usage event has come.
    """

    __slots__ = (
        "_chunk_headers",
        "_family_is_openai",
        "error",
        "facts",
        "has_events",
        "unreadable",
    )

    def __init__(self, family: Family = Family.UNKNOWN) -> None:
        self._family_is_openai = family is Family.OPENAI
        self.facts = AnswerFacts()
        self._chunk_headers: Headers | None = None
        self.error: str | None = None
        self.has_events = False
        self.unreadable = False

    def wants(self, headers: Headers) -> bool:
        """Whether frames with these headers can say anything of interest (to be asked once each).

        The text of an answer comes in frames that cannot: they are never looked into.
        """
        by_name = dict(headers)
        if by_name.get(":message-type", "event") != "event":
            return True
        self.has_events = True
        event_type = by_name.get(":event-type")
        return event_type == "chunk" or event_type in _CONVERSE_EVENTS

    def see(self, frame: Frame) -> None:
        """Takes note of a wanted frame."""
        try:
            if frame.headers == self._chunk_headers:  # nearly all of them, so compared whole
                self._see_chunk(frame.payload)
            else:
                self._see_other(frame)
        except ValueError:  # not base64, not JSON, or JSON of something else than an object
            self.unreadable = True

    def _see_other(self, frame: Frame) -> None:
        by_name = dict(frame.headers)
        message_type = by_name.get(":message-type", "event")
        if message_type != "event":
            name = by_name.get(":exception-type") or by_name.get(":error-code") or message_type
            self.error = self.error or str(name)
        elif by_name.get(":event-type") == "chunk":
            self._chunk_headers = frame.headers
            self._see_chunk(frame.payload)
        else:
            self._see_converse(_object(frame.payload))

    def _see_chunk(self, payload: bytes) -> None:
        if payload.startswith(_CLAUDE_TEXT):
            return
        text = _chunk_bytes(payload)
        if _COUNT in text or _REASON in text or _GUARDRAIL in text:
            self.facts = self.facts.merged(facts_of_model_json(_object(text)))

    def _see_converse(self, document: Mapping[str, Any]) -> None:
        # Measured for OpenAI's models in this operation alone: the input counts the cache again.
        facts = facts_of_converse(document, is_inclusive=self._family_is_openai)
        self.facts = self.facts.merged(facts)


def _chunk_bytes(payload: bytes) -> bytes:
    """What a chunk event carries: the model's own JSON, in base64 inside JSON."""
    if payload.startswith(_CHUNK_START):  # as Bedrock writes it; base64 has no quotes
        start = len(_CHUNK_START)
        return a2b_base64(payload[start : payload.index(b'"', start)], strict_mode=True)
    encoded = _object(payload).get("bytes", "")
    return a2b_base64(encoded if isinstance(encoded, str) else "", strict_mode=True)


def _object(text: bytes) -> Mapping[str, Any]:
    document = orjson.loads(text)
    if not isinstance(document, dict):
        raise ValueError("not an object")  # noqa: TRY004 - one error for all that is no such JSON
    return document
