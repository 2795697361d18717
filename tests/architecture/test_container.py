"""The image: two stages, hashed wheels only, nobody's root, a check of its health."""

from __future__ import annotations

import re
import runpy
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from tests.architecture.house import ROOT


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile as (instruction, arguments), comments gone and continuations joined."""
    text = (ROOT / "Dockerfile").read_text()
    text = re.sub(r"^#.*\n", "", text, flags=re.MULTILINE).replace("\\\n", " ")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return [(line.split(maxsplit=1)[0], line.split(maxsplit=1)[1]) for line in lines]


def stages() -> list[list[tuple[str, str]]]:
    result: list[list[tuple[str, str]]] = []
    for instruction in instructions():
        if instruction[0] == "FROM":
            result.append([])
        result[-1].append(instruction)
    return result


def values(stage, name) -> list[str]:
    return [arguments for instruction, arguments in stage if instruction == name]


def test_what_builds_is_not_what_runs():
    build, final = stages()
    assert values(build, "FROM") == ["python:3.12-slim AS build"]
    assert values(final, "FROM") == ["python:3.12-slim"]


def test_only_hashed_wheels_are_installed_and_no_address_is_named():
    installs = [run for stage in stages() for run in values(stage, "RUN") if " install " in run]
    with_pip = [run for run in installs if "-m pip" in run and "pip uninstall" not in run]
    assert len(with_pip) == 1
    assert "--require-hashes" in with_pip[0]
    assert "--only-binary :all:" in with_pip[0]
    whole = (ROOT / "Dockerfile").read_text()
    assert re.search(r"https?://|index-url|apt-get|curl|wget|\bgcc\b", whole) is None


def test_it_runs_as_a_numbered_user_without_root():
    final = stages()[-1]
    assert values(final, "USER") == ["10001:10001"]
    order = [instruction for instruction, _ in final]
    assert order.index("USER") > max(at for at, name in enumerate(order) if name == "RUN")


def test_a_read_only_root_is_enough():
    final = stages()[-1]
    environment = " ".join(values(final, "ENV"))
    assert "PYTHONDONTWRITEBYTECODE=1" in environment
    state = re.search(r"GATEWAY_STATE_DIR=(\S+)", environment)[1]
    assert values(final, "VOLUME") == [state]
    assert f"--owner 10001 --group 10001 --mode 0700 {state}" in " ".join(values(final, "RUN"))


def test_health_is_checked_and_the_stop_signal_drains():
    final = stages()[-1]
    assert values(final, "STOPSIGNAL") == ["SIGTERM"]
    assert "scripts/healthcheck" in values(final, "HEALTHCHECK")[0]
    assert values(final, "ENTRYPOINT") == ['["python", "-m", "gateway"]']


def test_everything_that_is_copied_exists_and_reaches_the_builder():
    allowed = {
        line[1:].strip("/")
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    }
    for stage in stages():
        for arguments in values(stage, "COPY"):
            if arguments.startswith("--from="):
                continue
            source = arguments.split()[0]
            assert (ROOT / source).exists(), source
            assert source in allowed, f"{source} is not in .dockerignore"


def test_no_tests_and_no_secrets_reach_the_builder():
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert next(line for line in lines if line and not line.startswith("#")) == "*"
    assert not any("test" in line or ".env" in line for line in lines if line.startswith("!"))


@pytest.fixture
def is_ready():
    return runpy.run_path(str(ROOT / "scripts" / "healthcheck"))["is_ready"]


@pytest.fixture
def served():
    """A port that answers /_gateway/ready with the status of the moment."""
    status = {"now": 200}

    class Ready(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status["now"] if self.path == "/_gateway/ready" else 404)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *arguments):
            pass

    server = HTTPServer(("127.0.0.1", 0), Ready)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server.server_address[1], status
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_health_check_tells_ready_from_not_ready_and_gone(is_ready, served):
    port, status = served
    assert is_ready(f"0.0.0.0:{port}", tls=False)
    assert is_ready(f"127.0.0.1:{port}", tls=False)
    assert not is_ready(f"127.0.0.1:{port}", tls=True)
    status["now"] = 503
    assert not is_ready(f"127.0.0.1:{port}", tls=False)
    assert not is_ready("127.0.0.1:1", tls=False)
