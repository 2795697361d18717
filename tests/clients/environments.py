"""The clients, each in a Python environment of its own, and how a test has them make calls."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ENVIRONMENTS = HERE.parents[1] / ".venvs"
CLAUDE_CODE = ENVIRONMENTS / "client-claude-code/node_modules/.bin/claude"
PATIENCE_S = 100  # a slow machine with everything else on it


@dataclass(frozen=True)
class Client:
    """A stock client: its environment, the program that speaks for it there, and what it is."""

    name: str
    program: str

    @property
    def is_boto3(self) -> bool:
        return self.program == "boto3_calls.py"

    async def run(
        self, calls: Sequence[dict[str, Any]], environment: Mapping[str, str], **job: Any
    ) -> dict[str, dict[str, Any]]:
        """What became of each call, by its name; they are made one after another."""
        python = ENVIRONMENTS / f"client-{self.name}" / "bin" / "python"
        assert python.exists(), f"no environment for {self.name}: run `make test` once"
        output = await run_program(
            [str(python), str(HERE / "programs" / self.program)],
            environment,
            json.dumps({"calls": list(calls), **job}).encode(),
        )
        return {result["name"]: result for result in json.loads(output)}


NEWEST = Client("boto3-newest", "boto3_calls.py")
LEGACY = Client("boto3-legacy", "boto3_calls.py")
ANTHROPIC = Client("anthropic", "anthropic_calls.py")
BOTO3 = (NEWEST, LEGACY)
ALL = (NEWEST, LEGACY, ANTHROPIC)


async def run_program(
    command: Sequence[str], environment: Mapping[str, str], given: bytes = b""
) -> bytes:
    """What a program prints. It sees this environment and nothing else of the machine."""
    process = await asyncio.create_subprocess_exec(
        *command,
        env={"PATH": os.environ["PATH"], **environment},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(PATIENCE_S):
            output, errors = await process.communicate(given)
    except BaseException:
        process.kill()
        await process.wait()
        raise
    assert process.returncode == 0, f"{command[-1]} failed: {errors.decode()} {output.decode()}"
    return output


def signing(url: str, access_key: str, secret: str) -> dict[str, str]:
    """The variables by which a user points a client at a gateway, with a key that signs."""
    return {**_pointing(url), "AWS_ACCESS_KEY_ID": access_key, "AWS_SECRET_ACCESS_KEY": secret}


def bearing(url: str, bearer: str) -> dict[str, str]:
    """The same with a bearer key."""
    return {**_pointing(url), "AWS_BEARER_TOKEN_BEDROCK": bearer}


def _pointing(url: str) -> dict[str, str]:
    return {
        "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": url,
        "AWS_ENDPOINT_URL_BEDROCK": url,
        "ANTHROPIC_BEDROCK_BASE_URL": url,
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }
