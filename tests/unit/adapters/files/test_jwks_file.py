from __future__ import annotations

import pytest

from gateway.adapters.files.jwks_file import load_key_file
from tests.fakes.jwt_issuer import ec_key, jwk_of, key_set


async def test_the_keys_of_a_file_are_found_by_id(tmp_path):
    path = tmp_path / "keys.json"
    path.write_bytes(key_set(jwk_of(ec_key(), "a")))
    keys = load_key_file(path)
    found = await keys.find("a")
    assert found.key_id == "a"
    assert await keys.find(None) is found
    assert await keys.find("b") is None


@pytest.mark.parametrize("content", [None, b"", b"{}", b'{"keys": []}'])
def test_a_file_that_cannot_be_used_is_named_with_what_was_expected(tmp_path, content):
    path = tmp_path / "keys.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=r"keys\.json"):
        load_key_file(path)
