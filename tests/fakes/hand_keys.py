"""Keys as a sandbox prints them."""

from __future__ import annotations

from types import SimpleNamespace

from gateway.compose.demo import HandKeys


def hand_keys() -> HandKeys:
    return HandKeys(caller=_key("AKIACALLER"), administrator=_key("AKIAADMIN"))


def _key(key_id: str) -> SimpleNamespace:
    return SimpleNamespace(
        stored=SimpleNamespace(key_id=key_id), secret=f"{key_id}-secret", bearer=f"bgk-{key_id}"
    )
