"""Whether the gateway is well, as the admin API shows it."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict

from gateway.admin.models.document import Shown

Status = Literal["ok", "degraded", "unavailable"]


class Health(Shown):
    """Whether it lives, or can serve. `failing`: what it depends on and does not answer."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=False)

    status: Status
    failing: tuple[str, ...] = ()


class ComponentHealth(Shown):
    """One thing that the gateway depends on."""

    status: Status
    latency_ms: int
    detail: str | None


class DeepHealth(Shown):
    """All that the gateway depends on, asked just now."""

    status: Status
    components: dict[str, ComponentHealth]
