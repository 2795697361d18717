"""The supervisor with real processes, each a few lines of Python."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from gateway.adapters.system import SystemClock
from gateway.domain.observer import ComponentFailed
from gateway.workers.lifeline import LIFELINE_VARIABLE, Lifeline
from gateway.workers.supervisor import ChildSpec, Supervisor
from tests.fakes.clock import FakeClock
from tests.fakes.ledgers import stop_of
from tests.fakes.observers import RememberingObserver
from tests.fakes.waiting import until

LINE = (
    f"import os, signal, socket\ns = socket.socket(fileno=int(os.environ['{LIFELINE_VARIABLE}']))\n"
)
SERVES = LINE + "s.send(b'ready'); s.recv(1)"
DEAF = (
    "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + LINE + "s.send(b'ready')\n"
    "while True: signal.pause()"
)
FAILS = "raise SystemExit(3)"
SERVES_ONCE = LINE + (
    "import pathlib; p = pathlib.Path(os.environ['MARK'])\n"
    "if p.exists(): raise SystemExit(4)\n"
    "p.touch(); s.send(b'ready'); s.recv(1)"
)


def child(name, program, **environment):
    return ChildSpec(
        name=name, command=(sys.executable, "-S", "-c", program), environment=environment
    )


@asynccontextmanager
async def running(*children, ends_within_s=15.0):
    observer = RememberingObserver()
    supervisor = Supervisor(
        children, ends_within_s=ends_within_s, observer=observer, clock=FakeClock()
    )
    supervisor.observer = observer
    ended = asyncio.create_task(supervisor.run())
    supervisor.ended = ended
    try:
        yield supervisor
    finally:
        supervisor.stop()
        async with asyncio.timeout(20):
            await ended


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_it_is_ready_when_every_child_has_said_so():
    async with running(child("a", SERVES), child("b", SERVES)) as supervisor:
        async with asyncio.timeout(20):
            await supervisor.all_ready.wait()
        assert {*supervisor.pids} == {"a", "b"}
        pids = [*supervisor.pids.values()]
    assert not any(is_alive(pid) for pid in pids)
    assert supervisor.observer.facts == []
    assert supervisor.pids == {}


async def test_a_child_that_says_nothing_is_not_ready():
    silent = LINE + "s.recv(1)"
    async with running(child("a", SERVES), child("b", silent)) as supervisor:
        await until(lambda: supervisor._waiting_for == {"b"}, pause_s=0.005)
        assert not supervisor.all_ready.is_set()


async def test_a_child_that_dies_is_started_again_and_the_observer_told():
    async with running(child("a", SERVES)) as supervisor:
        async with asyncio.timeout(20):
            await supervisor.all_ready.wait()
        first = supervisor.pids["a"]
        os.kill(first, signal.SIGKILL)
        await until(lambda: supervisor.pids.get("a") not in (None, first), pause_s=0.005)
    (fact,) = supervisor.observer.facts
    assert isinstance(fact, ComponentFailed)
    assert fact.component == "a"
    assert fact.detail == "ended with status -9; starting it again in 0.1 s"


async def test_a_child_that_keeps_dying_is_started_ever_more_slowly(tmp_path):
    mark = str(tmp_path / "mark")
    async with running(child("a", SERVES_ONCE, MARK=mark)) as supervisor:
        async with asyncio.timeout(20):
            await supervisor.all_ready.wait()
        os.kill(supervisor.pids["a"], signal.SIGKILL)
        await until(lambda: len(supervisor.observer.facts) >= 3, pause_s=0.005)
    pauses = [fact.detail.rsplit(" ", 2)[1] for fact in supervisor.observer.facts[:3]]
    assert pauses == ["0.1", "0.2", "0.4"]


async def test_a_child_that_never_served_ends_them_all():
    async with running(child("a", SERVES), child("b", FAILS)) as supervisor:
        async with asyncio.timeout(20):
            await supervisor.ended
    assert supervisor.pids == {}
    assert not supervisor.all_ready.is_set()


async def test_stopping_asks_first_and_insists_later():
    children = (child("a", SERVES), child("b", DEAF))
    async with running(*children, ends_within_s=0.15) as supervisor:
        async with asyncio.timeout(20):
            await supervisor.all_ready.wait()
        pids = dict(supervisor.pids)
        supervisor.stop()
        await until(lambda: not is_alive(pids["a"]), pause_s=0.005)
        await supervisor.ended
    assert not is_alive(pids["b"])
    assert supervisor.observer.facts == []


async def test_who_ends_last_is_told_only_when_the_others_have_ended(tmp_path):
    told = tmp_path / "told"
    slow = LINE + (
        "import pathlib, sys\n"
        "signal.signal(signal.SIGTERM, lambda *_: pathlib.Path(os.environ['TOLD']).touch())\n"
        "signal.signal(signal.SIGUSR1, lambda *_: sys.exit())\n"
        "s.send(b'ready')\n"
        "while True: signal.pause()"
    )
    last = replace(child("b", SERVES), ends_last=True)
    async with running(child("a", slow, TOLD=str(told)), last) as supervisor:
        async with asyncio.timeout(20):
            await supervisor.all_ready.wait()
        pids = dict(supervisor.pids)
        supervisor.stop()
        await until(told.exists, pause_s=0.005)
        assert is_alive(pids["b"])
        os.kill(pids["a"], signal.SIGUSR1)
        await supervisor.ended
    assert not is_alive(pids["b"])
    assert supervisor.observer.facts == []


async def test_those_who_end_last_may_be_all_there_are():
    async with running(replace(child("a", SERVES), ends_last=True)) as supervisor:
        async with asyncio.timeout(20):
            await supervisor.all_ready.wait()


async def test_a_child_sees_its_own_environment_and_its_line_and_nothing_else():
    program = LINE + (
        f"left = set(os.environ) - {{'A', '{LIFELINE_VARIABLE}', 'LC_CTYPE'}}\n"
        "s.send(b'ready' if os.environ['A'] == '1' and not left else b''); s.recv(1)"
    )
    async with running(child("a", program, A="1")) as supervisor:
        async with asyncio.timeout(20):
            await supervisor.all_ready.wait()


async def test_a_command_that_cannot_be_started_is_an_error_and_leaves_nobody_behind():
    missing = ChildSpec(name="b", command=("/nonexistent",), environment={})
    supervisor = Supervisor(
        [child("a", SERVES), missing],
        ends_within_s=11,
        observer=RememberingObserver(),
        clock=FakeClock(),
    )
    with pytest.raises(ExceptionGroup) as raised:
        async with asyncio.timeout(20):
            await supervisor.run()
    assert raised.group_contains(FileNotFoundError)


async def test_children_end_when_their_supervisor_is_killed():
    """Both hold the same standard output: its end means that neither is left."""
    inner = (
        "import asyncio\n"
        "from gateway.workers.lifeline import Lifeline\n"
        "async def main():\n"
        "    line = Lifeline(__import__('os').environ)\n"
        "    line.tell_ready()\n"
        "    print('serves', flush=True)\n"
        "    await line.broken()\n"
        "    print('noticed', flush=True)\n"
        "asyncio.run(main())\n"
    )
    outer = (
        "import asyncio, os, sys\n"
        "from gateway.workers.supervisor import ChildSpec, Supervisor\n"
        "from tests.fakes.clock import FakeClock\n"
        "from tests.fakes.observers import RememberingObserver\n"
        f"spec = ChildSpec(name='a', command=(sys.executable, '-c', {inner!r}),"
        " environment=dict(os.environ))\n"
        "asyncio.run(Supervisor([spec], ends_within_s=11, observer=RememberingObserver(),"
        " clock=FakeClock()).run())\n"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        outer,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    async with asyncio.timeout(30):
        assert await process.stdout.readline() == b"serves\n"
        process.send_signal(signal.SIGKILL)
        assert await process.stdout.read() == b"noticed\n"
        await process.wait()


async def test_a_line_says_ready_and_breaks_when_the_other_end_is_gone():
    ours, theirs = socket.socketpair()
    theirs.set_inheritable(True)
    line = Lifeline({LIFELINE_VARIABLE: str(theirs.detach())})
    with contextlib.closing(line), ours:
        assert not line._socket.get_inheritable()
        line.tell_ready()
        assert ours.recv(16) == b"ready\n"
        breaking = asyncio.create_task(line.broken())
        ours.send(b"ignored")
        await asyncio.sleep(0)
        assert not breaking.done()
        ours.close()
        async with asyncio.timeout(5):
            await breaking
        line.tell_ready()  # nobody listens any more, and that is no failure


async def test_without_a_supervisor_there_is_no_line_to_break():
    line = Lifeline({})
    line.tell_ready()
    breaking = asyncio.create_task(line.broken())
    await asyncio.sleep(0)
    assert not breaking.done()
    breaking.cancel()
    line.close()


CARRIES = (
    "import asyncio, contextlib, os, pathlib\n"
    "from gateway.workers.lifeline import Lifeline\n"
    "async def main():\n"
    "    line = Lifeline(os.environ)\n"
    "    line.listen(lambda stops: pathlib.Path(os.environ['HEARD']).write_text(str(len(stops))))\n"
    "    line.tell_ready()\n"
    "    await line.broken()\n"
    "asyncio.run(main())\n"
)


@asynccontextmanager
async def carrying(tmp_path, count=2):
    """Children that carry calls, under a real clock."""
    children = [
        ChildSpec(
            name=name,
            command=(sys.executable, "-c", CARRIES),
            environment={
                **os.environ,
                "HEARD": str(tmp_path / name),
                "PYTHONPATH": os.pathsep.join(sys.path),
            },
            carries_calls=True,
        )
        for name in ("a", "b")[:count]
    ]
    observer = RememberingObserver()
    supervisor = Supervisor(children, ends_within_s=5, observer=observer, clock=SystemClock())
    supervisor.observer = observer
    ended = asyncio.create_task(supervisor.run())
    try:
        async with asyncio.timeout(30):
            await supervisor.all_ready.wait()
        yield supervisor
    finally:
        supervisor.stop()
        async with asyncio.timeout(20):
            await ended


async def test_a_stop_reaches_all_who_carry_calls_and_kills_only_who_is_frozen(tmp_path):
    async with carrying(tmp_path) as supervisor:
        pids = dict(supervisor.pids)
        os.kill(pids["a"], signal.SIGSTOP)
        supervisor.relay([stop_of()])
        await until(lambda: not is_alive(pids["a"]), pause_s=0.005)
        await until((tmp_path / "b").exists, pause_s=0.005)
        assert is_alive(pids["b"])
        assert supervisor.pids["b"] == pids["b"]
        # Who takes its place is told of the stop as well.
        (tmp_path / "a").unlink(missing_ok=True)
        await until((tmp_path / "a").exists, pause_s=0.005)
        killed = [f for f in supervisor.observer.facts if "emergency stop" in f.detail]
        assert [fact.component for fact in killed] == ["a"]


async def test_who_is_silent_while_nothing_is_stopped_lives_and_is_named(tmp_path):
    async with carrying(tmp_path, count=1) as supervisor:
        pid = supervisor.pids["a"]
        os.kill(pid, signal.SIGSTOP)
        await until(lambda: supervisor.observer.facts, pause_s=0.005)
        assert "left alone" in supervisor.observer.facts[0].detail
        os.kill(pid, signal.SIGCONT)
        supervisor.relay([stop_of()])
        await until((tmp_path / "a").exists, pause_s=0.005)
        assert is_alive(pid)


async def test_the_end_of_a_stop_is_passed_on_too(tmp_path):
    async with carrying(tmp_path, count=1) as supervisor:
        supervisor.relay([stop_of()])
        supervisor.relay([stop_of()])
        await until((tmp_path / "a").exists, pause_s=0.005)
        supervisor.relay([])
        await until(lambda: (tmp_path / "a").read_text() == "0", pause_s=0.005)
        assert supervisor.observer.facts == []
