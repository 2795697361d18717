"""The meter of JSON answers: Converse and InvokeModel."""

from __future__ import annotations

from typing import Final

import orjson

from gateway.bedrock.answer_facts import AnswerFacts
from gateway.bedrock.response_usage import facts_of_converse, facts_of_model_json
from gateway.domain.call import Operation
from gateway.domain.tokens import AtLeast, Exact, Measurement
from gateway.metering.meter import MeterTerms, Shortfall

MAX_BODY_BYTES: Final = 16 * 1024 * 1024
"""What is kept of a body at most; above it the token headers have to do. The largest answers are
images, a few MiB in base64."""


class BodyMeter:
    """Keeps the body, within a bound, and reads it at its end.

    `header_facts` is what the headers state (tokens, tier); the body may add to it.
    `reads_body` False: the headers say all there is to say.
    """

    __slots__ = (
        "_chunks",
        "_header_facts",
        "_is_json",
        "_max_body_bytes",
        "_operation",
        "_reads_body",
        "_size",
        "_terms",
    )

    def __init__(
        self,
        operation: Operation,
        header_facts: AnswerFacts,
        terms: MeterTerms,
        *,
        is_json: bool = True,
        reads_body: bool = True,
        max_body_bytes: int = MAX_BODY_BYTES,
    ) -> None:
        self._operation = operation
        self._header_facts = header_facts
        self._terms = terms
        self._is_json = is_json
        self._reads_body = reads_body
        self._max_body_bytes = max_body_bytes
        self._chunks: list[bytes] = []
        self._size = 0

    @property
    def first_event_seen(self) -> bool:
        """Whether any byte has come."""
        return self._size > 0

    @property
    def stream_error(self) -> str | None:
        """None: a body holds no exceptions."""
        return None

    @property
    def at_boundary(self) -> bool:
        """False: a body has no events between which something could be put."""
        return False

    def feed(self, chunk: bytes) -> None:
        """Keeps the chunk, as long as the body stays within its bound."""
        self._size += len(chunk)
        if self._size > self._max_body_bytes:
            self._chunks.clear()
        elif self._reads_body:
            self._chunks.append(chunk)

    def finish(self, *, complete: bool) -> Measurement:
        """Exact if body and headers together state all that such an answer is charged by."""
        facts, why = self._read()
        usage = self._terms.usage(facts)
        if why is None and not facts.states_all:
            why = Shortfall.NO_USAGE
        if why is None and self._terms.leaves_seconds_open:
            why = Shortfall.SECONDS_UNSTATED
        if why is None:
            return Exact(usage=usage)
        return AtLeast(usage=usage, why=why if complete else Shortfall.TRUNCATED)

    def _read(self) -> tuple[AnswerFacts, Shortfall | None]:
        """All facts, and why they may not be all."""
        headers = self._header_facts
        if not self._reads_body:
            return headers, None
        if self._size > self._max_body_bytes:
            # Only the body says how long a cache write is kept.
            enough = headers.tokens.states_usage and not headers.tokens.cache_write
            return headers, None if enough else Shortfall.TOO_LARGE
        try:
            document = orjson.loads(b"".join(self._chunks))
        except orjson.JSONDecodeError:
            document = None
        if isinstance(document, dict):
            if self._operation.is_converse:
                return headers.merged(facts_of_converse(document)), None
            return headers.merged(facts_of_model_json(document)), None
        # What is not meant to be JSON (an imported model's text) is measured by its headers.
        enough = headers.tokens.states_usage and not self._is_json
        return headers, None if enough else Shortfall.NOT_JSON
