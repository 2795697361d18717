"""What is known of an answer's own consumption, gathered from its parts."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from typing import assert_never

from gateway.bedrock.token_statement import SILENT, TokenStatement
from gateway.domain.tokens import ServiceTier, Unit

Units = tuple[tuple[Unit, Decimal], ...]


class AnswerKind(Enum):
    """What an answer consists of, which is what it is charged by.

    `TOKENS`: input and output. `EMBEDDING`: input alone. `UNITS`: images, searches, seconds.
    """

    TOKENS = "tokens"
    EMBEDDING = "embedding"
    UNITS = "units"


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerFacts:
    """What an answer, or a part of one, says about what it used. None: it does not say.

    `units`: what the answer shows of other billable units. `guardrail_intervened` alone does not
    say whether the model ran; `shows_model_output` does. `is_last`: what it states is final.
    """

    tokens: TokenStatement = SILENT
    units: Units = ()
    service_tier: ServiceTier | None = None
    latency_optimized: bool | None = None
    model_invoked: str | None = None
    stop_reason: str | None = None
    kind: AnswerKind = AnswerKind.TOKENS
    guardrail_intervened: bool = False
    shows_model_output: bool = False
    is_last: bool = False

    @property
    def is_blocked(self) -> bool:
        """Whether a guardrail answered, and there is no sign that the model ran."""
        return self.guardrail_intervened and not self.shows_model_output

    @property
    def states_all(self) -> bool:
        """Whether what is stated is all that such an answer is charged by.

        A call that a guardrail blocked before the model states nothing, or zeros: both are exact.
        """
        if self.tokens.states_usage:
            return True
        match self.kind:
            case AnswerKind.TOKENS:
                return self.is_blocked and self.tokens.is_silent
            case AnswerKind.EMBEDDING:
                return self.tokens.input is not None
            case AnswerKind.UNITS:
                return True
            case _:
                assert_never(self.kind)

    def merged(self, later: AnswerFacts) -> AnswerFacts:
        """This part and a later one as one."""
        return AnswerFacts(
            tokens=self.tokens.merged(later.tokens),
            units=merged_units(self.units, later.units),
            service_tier=later.service_tier or self.service_tier,
            latency_optimized=(
                self.latency_optimized
                if later.latency_optimized is None
                else later.latency_optimized
            ),
            model_invoked=later.model_invoked or self.model_invoked,
            stop_reason=later.stop_reason or self.stop_reason,
            kind=self.kind if later.kind is AnswerKind.TOKENS else later.kind,
            guardrail_intervened=self.guardrail_intervened or later.guardrail_intervened,
            shows_model_output=self.shows_model_output or later.shows_model_output,
            is_last=self.is_last or later.is_last,
        )


def merged_units(known: Units, stated: Units) -> Units:
    """Both; where both name a unit, what was stated later."""
    merged = dict(known)
    merged.update(stated)
    return tuple(merged.items())
