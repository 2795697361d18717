"""An upstream in memory: what it answers is a script, what it was sent is kept."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence

from gateway.bedrock.exchange import Headers, UpstreamRequest
from gateway.domain.errors import Fault, GatewayError
from gateway.domain.reason import Reason

JSON = (("Content-Type", "application/json"),)
EVENTS = (("Content-Type", "application/vnd.amazon.eventstream"),)

Step = bytes | Exception | asyncio.Event


def upstream_error(reason: Reason = Reason.UPSTREAM_INVALID) -> GatewayError:
    return GatewayError(reason, "the script says so", fault=Fault.UPSTREAM)


def converse_answer(*, input_tokens: int = 10, output_tokens: int = 5) -> bytes:
    """A Converse answer that states its usage."""
    return json.dumps(
        {
            "output": {"message": {"role": "assistant", "content": [{"text": "Hello."}]}},
            "stopReason": "end_turn",
            "usage": {
                "inputTokens": input_tokens,
                "outputTokens": output_tokens,
                "totalTokens": input_tokens + output_tokens,
            },
        }
    ).encode()


class ScriptedExchange:
    """Implements `UpstreamExchange`. A step is bytes to yield, an error to raise, or an event to
    wait for.
    """

    def __init__(
        self, *steps: Step, status: int = 200, headers: Headers = JSON, length: bool = False
    ) -> None:
        self.status = status
        size = sum(len(step) for step in steps if isinstance(step, bytes))
        self.headers = (*headers, ("Content-Length", str(size))) if length else headers
        self._steps = steps
        self.yielded = 0
        self.was_read_to_end = False
        self.is_closed = False

    async def chunks(self, idle_timeout_s: float) -> AsyncIterator[bytes]:
        del idle_timeout_s
        for step in self._steps:
            if isinstance(step, asyncio.Event):
                await step.wait()
            elif isinstance(step, Exception):
                raise step
            else:
                self.yielded += 1
                yield step
        self.was_read_to_end = True

    async def close(self) -> None:
        self.is_closed = True


class ScriptedUpstream:
    """Implements `Upstream`. Answers in turn; the last answer is given again and again.

    `gate` closed: the head does not arrive before it opens. `asked` is set by each request.
    """

    def __init__(self, *answers: ScriptedExchange | Exception) -> None:
        self._answers = list(answers) or [ScriptedExchange(converse_answer())]
        self.requests: list[UpstreamRequest] = []
        self.asked = asyncio.Event()
        self.gate = asyncio.Event()
        self.gate.set()

    def answers(self, *answers: ScriptedExchange | Exception) -> Sequence[object]:
        self._answers = list(answers)
        return answers

    async def send(self, request: UpstreamRequest) -> ScriptedExchange:
        self.requests.append(request)
        self.asked.set()
        await self.gate.wait()
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer
