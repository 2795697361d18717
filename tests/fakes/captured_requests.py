"""The requests real clients sent (tests/data/client_requests), as a front would deliver them."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path

ACCESS_KEY = "AKIAEXAMPLE"
SECRET = "SECRET"
_FILE = Path(__file__).resolve().parents[1] / "data" / "client_requests" / "requests.jsonl"


@dataclass(frozen=True)
class CapturedRequest:
    """One line of the file. `host` is `:authority` for HTTP/2, as a front would pass it on."""

    line: int
    client: str
    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes | None
    body_sha256: str
    host: str

    @property
    def raw_path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def raw_query(self) -> str:
        return self.target.partition("?")[2]

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key.lower() == name), None)

    @property
    def authorization(self) -> str:
        return self.header("authorization") or ""

    @property
    def is_signed(self) -> bool:
        return self.authorization.startswith("AWS4-HMAC-SHA256")

    @property
    def signs_a_stream(self) -> bool:
        return (self.header("x-amz-content-sha256") or "").startswith("STREAMING-")

    @property
    def has_space_in_endpoint(self) -> bool:
        """The client's endpoint URL had a literal space, which botocore signs encoded once.

        It signs `/team/a%20b` for what it sends as `/team/a%20b`; every other path is encoded once
        more for the signature than on the wire. No rule can tell the two apart, AWS's own cannot.
        """
        return "a%20b" in self.target

    @property
    def signed_at(self) -> datetime:
        return datetime.strptime(f"{self.header('x-amz-date')}+0000", "%Y%m%dT%H%M%SZ%z")

    def __str__(self) -> str:
        return f"line {self.line}: {self.client} {self.target[:60]}"


def _read(line: int, text: str) -> CapturedRequest:
    row = json.loads(text)
    headers = {name.lower(): value for name, value in row["headers"]}
    body = base64.b64decode(row["body_b64"]) if row["body_b64"] is not None else None
    if body is None and not row["body_length"]:
        body = b""
    return CapturedRequest(
        line=line,
        client=row["client"],
        method=row["method"],
        target=row["target"],
        headers=tuple((n, v) for n, v in row["headers"] if not n.startswith(":")),
        body=body,
        body_sha256=(
            headers.get("x-amz-content-sha256", "") if body is None else sha256(body).hexdigest()
        ),
        host=headers.get("host") or headers[":authority"],
    )


CAPTURED = tuple(
    _read(line, text)
    for line, text in enumerate(_FILE.read_text(encoding="utf-8").splitlines(), start=1)
)
SIGNED = tuple(request for request in CAPTURED if request.is_signed)
VERIFIABLE = tuple(
    request
    for request in SIGNED
    if not request.signs_a_stream and not request.has_space_in_endpoint
)
