import io
import json
import logging

import pytest

from gateway.adapters.telemetry.logs import LogObserver, quiet_libraries
from gateway.domain.observer import (
    CallRefused,
    CallSettled,
    CallVoided,
    ComponentFailed,
    ComponentRecovered,
    EndingReplayed,
    SettlementFailed,
    UnexpectedError,
)
from gateway.domain.reason import Reason
from tests.fakes.records import usage_record

REFUSED = CallRefused(
    request_id="req-1",
    operation="Converse",
    key_id="AKIA",
    reason=Reason.BUDGET_EXHAUSTED,
    status=400,
)
FACTS = {
    "call_settled": ("info", CallSettled(record=usage_record())),
    "call_voided": (
        "info",
        CallVoided(request_id="req-1", operation="Converse", http_status=429),
    ),
    "call_refused": ("info", REFUSED),
    "settlement_failed": ("error", SettlementFailed(request_id="req-1", what="post")),
    "ending_replayed": ("info", EndingReplayed(request_id="req-1", verdict="posted")),
    "unexpected_error": (
        "error",
        UnexpectedError(request_id="req-1", where="data plane", traceback="Traceback …"),
    ),
    "component_failed": ("warning", ComponentFailed(component="flusher", detail="late")),
    "component_recovered": ("info", ComponentRecovered(component="flusher")),
}


def lines(*facts, level="info"):
    stream = io.StringIO()
    observer = LogObserver(level=level, process="proxy", stream=stream)
    for fact in facts:
        observer.tell(fact)
    return [json.loads(line) for line in stream.getvalue().splitlines()]


@pytest.mark.parametrize("event", FACTS)
def test_every_fact_is_one_line_of_json(event):
    level, fact = FACTS[event]
    (line,) = lines(fact)
    assert (line["event"], line["level"], line["process"]) == (event, level, "proxy")
    assert line["timestamp"].endswith("Z")


def test_a_settled_call_says_who_what_and_how_much():
    (line,) = lines(CallSettled(record=usage_record()))
    assert (line["request_id"], line["org"], line["user"]) == ("req-1", "acme", "ada")
    assert (line["cost_nano_usd"], line["exact"], line["status"]) == (10_500_000, True, "ok")


def test_an_overrun_is_an_error_of_ours():
    settled = CallSettled(record=usage_record(overrun_nano_usd=5))
    found = lines(settled, level="error")
    assert [(line["event"], line["overrun_nano_usd"]) for line in found] == [("overrun", 5)]


def test_what_is_less_severe_than_asked_for_is_left_out():
    facts = [fact for _, fact in FACTS.values()]
    assert [line["event"] for line in lines(*facts, level="error")] == [
        "settlement_failed",
        "unexpected_error",
    ]


def test_a_text_of_strangers_can_neither_forge_a_line_nor_fill_the_disk():
    evil = 'x"}\n{"event": "forged"}\x1b[31m\u2028\ud800' + "y" * 100_000
    found = lines(
        ComponentFailed(component="c", detail=evil),
        UnexpectedError(request_id=None, where="w", traceback=evil + "the end"),
    )
    assert [line["event"] for line in found] == ["component_failed", "unexpected_error"]
    assert found[0]["detail"] == evil[:4096]
    assert found[1]["traceback"] == (evil + "the end")[-4096:]


class Broken(io.StringIO):
    def __init__(self, error) -> None:
        super().__init__()
        self._error = error

    def write(self, text):  # noqa: ARG002 - a file's
        raise self._error


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), BrokenPipeError(), ValueError("closed file")]
)
def test_a_log_that_cannot_be_written_never_reaches_a_call(error):
    LogObserver(level="info", process="proxy", stream=Broken(error)).tell(REFUSED)


def test_a_closed_log_never_reaches_a_call():
    stream = io.StringIO()
    observer = LogObserver(level="info", process="proxy", stream=stream)
    stream.close()
    observer.tell(REFUSED)


def test_by_default_it_writes_to_standard_error(capsys):
    LogObserver(level="info", process="proxy").tell(REFUSED)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert json.loads(captured.err)["reason"] == "budget_exhausted"


def test_libraries_do_not_log_the_bytes_of_strangers(caplog):
    names = ("aiohttp", "asyncio", "aiobotocore", "botocore")
    before = {name: (_l(name).handlers, _l(name).propagate) for name in names}
    try:
        quiet_libraries()
        _l("aiohttp.server").error("Error handling request from %s", "secret bytes")
        assert caplog.records == []
    finally:
        for name, (handlers, propagate) in before.items():
            _l(name).handlers, _l(name).propagate = handlers, propagate


def _l(name):
    return logging.getLogger(name)
