"""Identifiers, and where they come from."""

from __future__ import annotations

from typing import NewType, Protocol

RequestId = NewType("RequestId", str)
"""One call through the gateway: made by the gateway, never taken from a caller."""

KeyId = NewType("KeyId", str)
"""The public half of a gateway credential (`AKIA…`-shaped, also the prefix of a bearer key)."""

ModelId = NewType("ModelId", str)
"""A base model id of the catalogue, e.g. `anthropic.claude-3-haiku-20240307-v1:0`."""

PolicyVersion = NewType("PolicyVersion", str)
"""Which edition of the policy decided. Ordered by the publisher, opaque to everyone else."""


class Ids(Protocol):
    """Makes identifiers that are unique across all gateways."""

    def request_id(self) -> RequestId:
        """A new id; sorts roughly by time of making."""
        ...
