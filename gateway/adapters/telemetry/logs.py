"""Facts as structured JSON lines on standard error. Never prompts, answers or secrets."""

from __future__ import annotations

import logging
import sys
from typing import Any, TextIO, assert_never

import structlog

from gateway.domain.observer import (
    CallRefused,
    CallsCut,
    CallSettled,
    CallVoided,
    ComponentFailed,
    ComponentRecovered,
    EmergencyTripped,
    EndingReplayed,
    Fact,
    RulesInForce,
    SettlementFailed,
    UnexpectedError,
)
from gateway.domain.stop import iso_instant

_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}
_LONGEST_TEXT = 4096


class LogObserver:
    """Implements `domain.observer.Observer` by writing one JSON line per fact.

    Control characters are escaped by JSON, texts are cut at a bound, and a full disk or closed
    pipe never reaches a request.
    """

    def __init__(self, *, level: str, process: str, stream: TextIO | None = None) -> None:
        self._log: Any = structlog.wrap_logger(
            structlog.PrintLogger(stream or sys.stderr),
            processors=[
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper(fmt="iso", utc=True),
                structlog.processors.JSONRenderer(ensure_ascii=True),
            ],
            wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
            context_class=dict,
            cache_logger_on_first_use=True,
            process=process,
        )

    def tell(self, fact: Fact) -> None:
        """Writes the fact."""
        try:
            self._write(fact)
        except (OSError, ValueError):
            # Logging must not fail a call (a closed stream is a ValueError); the journal has
            # what matters.
            return

    def _write(self, fact: Fact) -> None:
        match fact:
            case CallSettled(record=record):
                self._log.info(
                    "call_settled",
                    request_id=record.request_id,
                    operation=record.operation,
                    org=record.org,
                    team=record.team,
                    user=record.user,
                    model=record.model_served,
                    status=record.status.value,
                    cost_nano_usd=record.cost_nano_usd,
                    exact=record.exact,
                    latency_ms=record.latency_ms,
                )
                if record.overrun_nano_usd:
                    self._log.error(
                        "overrun",
                        request_id=record.request_id,
                        model=record.model_served,
                        overrun_nano_usd=record.overrun_nano_usd,
                    )
            case CallVoided(request_id=request_id, operation=operation, http_status=status):
                self._log.info(
                    "call_voided", request_id=request_id, operation=operation, http_status=status
                )
            case CallRefused(request_id=request_id, reason=reason, status=status):
                self._log.info(
                    "call_refused",
                    request_id=request_id,
                    operation=fact.operation,
                    key_id=fact.key_id,
                    reason=reason.value,
                    http_status=status,
                )
            case SettlementFailed(request_id=request_id, what=what):
                self._log.error("settlement_failed", request_id=request_id, what=what)
            case EndingReplayed(request_id=request_id, verdict=verdict):
                self._log.info("ending_replayed", request_id=request_id, verdict=verdict)
            case UnexpectedError(request_id=request_id, where=where, traceback=traceback):
                self._log.error(
                    "unexpected_error",
                    request_id=request_id,
                    where=where,
                    traceback=traceback[-_LONGEST_TEXT:],
                )
            case ComponentFailed() | ComponentRecovered():
                self._write_component(fact)
            case RulesInForce() | EmergencyTripped() | CallsCut():
                self._write_order(fact)
            case _:
                assert_never(fact)

    def _write_component(self, fact: ComponentFailed | ComponentRecovered) -> None:
        match fact:
            case ComponentFailed(component=component, detail=detail):
                self._log.warning(
                    "component_failed", component=component, detail=detail[:_LONGEST_TEXT]
                )
            case ComponentRecovered(component=component):
                self._log.info("component_recovered", component=component)
            case _:
                assert_never(fact)

    def _write_order(self, fact: RulesInForce | EmergencyTripped | CallsCut) -> None:
        """What somebody ordered, or a rule did."""
        match fact:
            case RulesInForce(edition=edition, published_by=published_by, why=why):
                self._log.info(
                    "rules_in_force",
                    edition=edition,
                    published_by=published_by[:_LONGEST_TEXT],
                    why=why[:_LONGEST_TEXT],
                )
            case EmergencyTripped(stop=stop):
                self._log.critical(
                    "emergency_tripped",
                    scope=stop.scope.path,
                    why=stop.why[:_LONGEST_TEXT],
                    until=None if stop.until is None else iso_instant(stop.until),
                )
            case CallsCut(count=count):
                self._log.warning("calls_cut", count=count)
            case _:
                assert_never(fact)


def quiet_libraries() -> None:
    """Routes the libraries' own logging to nowhere: their texts quote bytes of strangers."""
    for name in ("aiohttp", "asyncio", "aiobotocore", "botocore"):
        logger = logging.getLogger(name)
        logger.handlers = [logging.NullHandler()]
        logger.propagate = False
