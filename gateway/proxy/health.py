"""Health on the data port, for load balancers: is the process there, may it get traffic?"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from aiohttp import web

from gateway.proxy.answer_headers import SERVER


class Health:
    """Answers `/_gateway/live` and `/_gateway/ready`; nothing else is public here.

    `troubles`: what does not work, though calls are served. It is said, and takes no traffic away.
    """

    def __init__(
        self, is_ready: Callable[[], bool], troubles: Callable[[], Sequence[str]] = tuple
    ) -> None:
        self._is_ready = is_ready
        self._troubles = troubles

    def answer(self, method: str, raw_path: str) -> web.Response | None:
        """The answer to a health request, or None if it is not one."""
        if not raw_path.startswith("/_gateway/"):
            return None
        if method not in ("GET", "HEAD"):
            return _say(405, "use GET")
        if raw_path == "/_gateway/live":
            return _say(200, "live")
        if raw_path == "/_gateway/ready":
            if not self._is_ready():
                return _say(503, "not ready")
            return _say(200, "\n".join(("ready", *self._troubles())))
        return _say(404, "not found")


def _say(status: int, text: str) -> web.Response:
    return web.Response(status=status, text=f"{text}\n", headers=dict([SERVER]))
