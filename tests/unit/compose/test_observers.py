import json
import logging
import os

import pytest

from gateway.compose.observers import make_observer
from gateway.domain.observer import ComponentFailed


@pytest.fixture(autouse=True)
def loggers():
    """What a process does to the libraries' loggers for good is undone after the test."""
    names = ("aiohttp", "asyncio", "aiobotocore", "botocore")
    before = [(name, logging.getLogger(name).handlers) for name in names]
    yield
    for name, handlers in before:
        logging.getLogger(name).handlers = handlers
        logging.getLogger(name).propagate = True


def test_a_process_says_which_it_is_and_keeps_to_its_level(make_settings, capsys):
    fact = ComponentFailed(component="flusher", detail="late")
    make_observer(make_settings(), "proxy").tell(fact)
    make_observer(make_settings(log_level="error"), "proxy").tell(fact)
    (line,) = capsys.readouterr().err.splitlines()
    assert json.loads(line)["process"] == f"proxy-{os.getpid()}"
    assert logging.getLogger("aiohttp").propagate is False
