"""Child processes that end with their parent, are waited for until ready, and stop in order."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

LOOPBACK = "127.0.0.1"
_POLL_INTERVAL_S = 0.02
_LOG_TAIL_BYTES = 2000

# Runs before the command in the same process: asks the kernel for SIGTERM when the parent ends
# (PR_SET_PDEATHSIG is 1), and leaves if the parent was gone before that. A `preexec_fn` would do
# the same, but may deadlock where the parent has threads.
_LAUNCHER = """
import ctypes, os, signal, sys
parent = int(sys.argv[1])
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)
    if os.getppid() != parent:
        sys.exit(1)
os.execv(sys.argv[2], sys.argv[2:])
"""


class SandboxError(Exception):
    """A server of the sandbox could not be started; the message says why and what to do."""


def spawn(
    command: Sequence[str], environment: Mapping[str, str], log: Path
) -> subprocess.Popen[bytes]:
    """Starts a command that ends with this process (Linux), its output appended to `log`.

    Call it from a thread that lives as long as the process: the kernel watches the thread.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    launcher = [sys.executable, "-I", "-S", "-c", _LAUNCHER, str(os.getpid()), *command]
    with log.open("ab") as output:
        return subprocess.Popen(  # noqa: S603 - a fixed command, no shell
            launcher,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=dict(environment),
            # A Ctrl-C in the terminal is for us: servers are stopped in order, last of all.
            start_new_session=True,
        )


async def until_ready(
    name: str,
    process: subprocess.Popen[bytes],
    ready: Callable[[], Awaitable[bool]],
    log: Path,
    timeout_s: float,
) -> None:
    """Waits until `ready` says so. Raises: SandboxError with the end of the log if it never does.

    Invariant: whenever this raises, the process has been stopped.
    """
    problem = "ended at once"
    try:
        async with asyncio.timeout(timeout_s):
            while process.poll() is None:
                if await ready():
                    return
                await asyncio.sleep(_POLL_INTERVAL_S)
    except TimeoutError:
        problem = f"did not answer within {timeout_s} s"
    except BaseException:
        await stop(process)
        raise
    await stop(process)
    raise SandboxError(f"{name} {problem}; the end of {log}:\n{_tail(log)}")


async def stop(process: subprocess.Popen[bytes], *, timeout_s: float = 5.0) -> None:
    """Ends a process: asks first (SIGTERM), kills it after the timeout, and collects it."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        async with asyncio.timeout(timeout_s):
            while process.poll() is None:  # noqa: ASYNC110 - a dying process sets no event
                await asyncio.sleep(_POLL_INTERVAL_S)
    except TimeoutError:
        process.kill()
        process.wait()


def free_port() -> int:
    """A TCP port of the loopback that was free a moment ago."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.bind((LOOPBACK, 0))
        port: int = listener.getsockname()[1]
    return port


def _tail(log: Path) -> str:
    return log.read_bytes()[-_LOG_TAIL_BYTES:].decode(errors="replace")
