from __future__ import annotations

import pytest

from gateway.admin.models.health import Health
from gateway.admin.route import About, Answer, Route
from gateway.domain.caller import Role
from gateway.domain.scope import Scope


async def handler(_asked):
    return Answer(document={})


def route(**changes):
    given = {
        "method": "GET",
        "path": "/",
        "role": Role.VIEWER,
        "about": About.NOBODY,
        "summary": "",
        "handler": handler,
        "answer": Health,
    }
    return Route(**{**given, **changes})


def test_what_makes_something_may_be_repeated_and_a_stop_is_the_same_twice():
    assert route(method="POST", action="key.create").repeats
    assert not route(method="POST", action="emergency.stop", stops=True).repeats
    assert not route(method="POST").repeats
    assert not route(method="PUT", action="budget.change").repeats


@pytest.mark.parametrize(
    "changes",
    [
        {"role": Role.CALLER},
        {"about": About.NAMED},
        {"scope_of": lambda _: Scope.platform()},
        {"action": "key.read"},
        {"method": "PUT"},
        {"method": "DELETE"},
    ],
)
def test_a_route_that_contradicts_itself_cannot_be(changes):
    with pytest.raises(AssertionError):
        route(**changes)
