import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.sandbox.children import SandboxError, free_port, spawn, stop, until_ready


async def never():
    return False


async def until_gone(pid):
    async with asyncio.timeout(10):
        while is_running(pid):  # noqa: ASYNC110 - a stranger's process sets no event
            await asyncio.sleep(0.01)


def state_of(pid):
    """The kernel's letter for what the process does; None if there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return None


def is_running(pid):
    return state_of(pid) not in (None, "Z")


async def test_a_process_that_ends_at_once_is_reported_with_its_last_words(tmp_path):
    log = tmp_path / "log"
    process = spawn([sys.executable, "-c", "print('last words')"], os.environ, log)
    with pytest.raises(SandboxError, match=r"thing ended at once[^$]*last words"):
        await until_ready("thing", process, never, log, 10)


async def test_a_process_that_never_answers_is_stopped(tmp_path):
    log = tmp_path / "log"
    process = spawn(["/bin/sleep", "60"], os.environ, log)
    with pytest.raises(SandboxError, match="did not answer within"):
        await until_ready("thing", process, never, log, 0.05)
    assert process.returncode is not None


async def test_a_wait_that_is_cancelled_stops_the_process(tmp_path):
    log = tmp_path / "log"
    process = spawn(["/bin/sleep", "60"], os.environ, log)
    waiting = asyncio.create_task(until_ready("thing", process, never, log, 60))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert process.returncode is not None


async def test_a_process_that_cannot_listen_is_killed(tmp_path):
    process = spawn(["/bin/sleep", "60"], os.environ, tmp_path / "log")
    os.kill(process.pid, signal.SIGSTOP)
    async with asyncio.timeout(10):
        while state_of(process.pid) != "T":  # noqa: ASYNC110 - a stranger's process sets no event
            await asyncio.sleep(0.01)
    await stop(process, timeout_s=0.1)
    assert process.returncode == -signal.SIGKILL


def start_parent(log):
    script = f"""
import os, signal, sys
from pathlib import Path
from gateway.sandbox.children import spawn
print(spawn(["/bin/sleep", "60"], os.environ, Path({str(log)!r})).pid, flush=True)
signal.pause()
"""
    return subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)


async def test_a_child_dies_with_a_parent_that_is_killed(tmp_path):
    with start_parent(tmp_path / "log") as parent:
        child = int(parent.stdout.readline())
        assert is_running(child)
        parent.kill()
    await until_gone(child)


def test_free_ports_are_usable_ports():
    assert 1024 < free_port() < 65536
