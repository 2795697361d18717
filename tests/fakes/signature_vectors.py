"""The published vectors of Signature Version 4: AWS's test suite, as its documentation gives it.

Every request is of 2015-08-30T12:36:00Z, for `us-east-1/service`, by the suite's own key; the
signature is what the suite states. Source: AWS General Reference, "Signature Version 4 test suite"
(aws-sig-v4-test-suite; the same vectors are in aws-c-auth, Apache-2.0).
"""

from __future__ import annotations

from typing import NamedTuple

_HOST = ("Host", "example.amazonaws.com")
_DATE = ("X-Amz-Date", "20150830T123600Z")
_LETTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_FORM = "application/x-www-form-urlencoded"
_TOKEN = (
    "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfI"
    "eoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0"
    "wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDry"
    "pNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA=="
)
_PLAIN = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"
_POSTED = "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"


class Vector(NamedTuple):
    """One request of the suite and its signature."""

    name: str
    signature: str
    method: str = "GET"
    path: str = "/"
    query: str = ""
    headers: tuple[tuple[str, str], ...] = (_HOST, _DATE)
    body: bytes = b""


def _with(*headers: tuple[str, str]) -> tuple[tuple[str, str], ...]:
    return (_HOST, *headers, _DATE)


VECTORS = (
    Vector("get-vanilla", _PLAIN),
    Vector("get-vanilla-query", _PLAIN),
    Vector(
        "get-vanilla-empty-query-key",
        "a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb",
        query="Param1=value1",
    ),
    Vector(
        "get-vanilla-query-order-key",
        "eedbc4e291e521cf13422ffca22be7d2eb8146eecf653089df300a15b2382bd1",
        query="Param1=value2&Param1=Value1",
    ),
    Vector(
        "get-vanilla-query-order-key-case",
        "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
        query="Param2=value2&Param1=value1",
    ),
    Vector(
        "get-vanilla-query-order-value",
        "5772eed61e12b33fae39ee5e7012498b51d56abc0abb7c60486157bd471c4694",
        query="Param1=value2&Param1=value1",
    ),
    Vector(
        "get-vanilla-query-unreserved",
        "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197",
        query=f"-._~{_LETTERS}=-._~{_LETTERS}",
    ),
    Vector(
        "get-vanilla-utf8-query",
        "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04",
        query="ሴ=bar",
    ),
    Vector(
        "get-utf8", "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85", path="/ሴ"
    ),
    Vector(
        "get-unreserved",
        "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f",
        path=f"/-._~{_LETTERS}",
    ),
    Vector(
        "get-space",
        "652487583200325589f1fba4c7e578f72c47cb61beeca81406b39ddec1366741",
        path="/example space/",
    ),
    Vector("get-slash", _PLAIN, path="//"),
    Vector(
        "get-slashes",
        "9a624bd73a37c9a373b5312afbebe7a714a789de108f0bdfe846570885f57e84",
        path="//example//",
    ),
    Vector("get-slash-dot-slash", _PLAIN, path="/./"),
    Vector(
        "get-slash-pointless-dot",
        "ef75d96142cf21edca26f06005da7988e4f8dc83a165a80865db7089db637ec5",
        path="/./example",
    ),
    Vector("get-relative", _PLAIN, path="/example/.."),
    Vector("get-relative-relative", _PLAIN, path="/example1/example2/../.."),
    Vector(
        "get-header-key-duplicate",
        "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea",
        headers=_with(("My-Header1", "value2"), ("My-Header1", "value2"), ("My-Header1", "value1")),
    ),
    Vector(
        "get-header-value-multiline",
        "ba17b383a53190154eb5fa66a1b836cc297cc0a3d70a5d00705980573d8ff790",
        headers=_with(("My-Header1", "value1\n  value2\n     value3")),
    ),
    Vector(
        "get-header-value-order",
        "08c7e5a9acfcfeb3ab6b2185e75ce8b1deb5e634ec47601a50643f830c755c01",
        headers=_with(
            ("My-Header1", "value4"),
            ("My-Header1", "value1"),
            ("My-Header1", "value3"),
            ("My-Header1", "value2"),
        ),
    ),
    Vector(
        "get-header-value-trim",
        "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
        headers=_with(("My-Header1", " value1"), ("My-Header2", ' "a   b   c"')),
    ),
    Vector("post-vanilla", _POSTED, method="POST"),
    Vector(
        "post-vanilla-query",
        "28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11",
        method="POST",
        query="Param1=value1",
    ),
    Vector("post-header-key-case", _POSTED, method="POST"),
    Vector(
        "post-header-key-sort",
        "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c",
        method="POST",
        headers=_with(("My-Header1", "value1")),
    ),
    Vector(
        "post-header-value-case",
        "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d",
        method="POST",
        headers=_with(("My-Header1", "VALUE1")),
    ),
    Vector(
        "post-x-www-form-urlencoded",
        "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
        method="POST",
        headers=_with(("Content-Type", _FORM)),
        body=b"Param1=value1",
    ),
    Vector(
        "post-x-www-form-urlencoded-parameters",
        "1a72ec8f64bd914b0e42e42607c7fbce7fb2c7465f63e3092b3b0d39fa77a6fe",
        method="POST",
        headers=_with(("Content-Type", f"{_FORM}; charset=utf8")),
        body=b"Param1=value1",
    ),
    Vector(
        "post-sts-header-before",
        "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead",
        method="POST",
        headers=_with(("X-Amz-Security-Token", _TOKEN)),
    ),
)
