import pytest

from gateway.proxy.health import Health


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/_gateway/live", 200),
        ("HEAD", "/_gateway/live", 200),
        ("GET", "/_gateway/ready", 200),
        ("POST", "/_gateway/live", 405),
        ("GET", "/_gateway/metrics", 404),
        ("GET", "/_gateway/", 404),
        ("GET", "/_gateway/live/../ready", 404),
    ],
)
def test_only_live_and_ready_are_public(method, path, status):
    assert Health(lambda: True).answer(method, path).status == status


def test_a_process_that_drains_is_live_but_not_ready():
    health = Health(lambda: False)
    assert health.answer("GET", "/_gateway/live").status == 200
    assert health.answer("GET", "/_gateway/ready").status == 503


def test_what_does_not_work_is_said_and_takes_no_traffic_away():
    answer = Health(lambda: True, lambda: ["the outbox cannot write"]).answer(
        "GET", "/_gateway/ready"
    )
    assert (answer.status, answer.text) == (200, "ready\nthe outbox cannot write\n")


@pytest.mark.parametrize("path", ["/model/x/converse", "/_gateway", "http://h/_gateway/live"])
def test_everything_else_is_none_of_its_business(path):
    assert Health(lambda: True).answer("GET", path) is None
