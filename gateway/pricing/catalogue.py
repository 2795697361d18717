"""Which model is behind this id? The catalogue of `config/models.yaml`, by id and alias."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from gateway.domain.model import CatalogueModel, IdentifiedModel, ModelReference

_CONTEXT_SUFFIX = re.compile(r":(?:\d+k|512)$")
"""`:200k`, `:512` and the like name the same model with a context size (ListFoundationModels)."""


class ModelCatalogue:
    """The models the gateway knows. Immutable."""

    def __init__(self, models: Iterable[CatalogueModel]) -> None:
        self.models: tuple[CatalogueModel, ...] = tuple(models)
        self._by_id: Mapping[str, CatalogueModel] = MappingProxyType(
            {name: model for model in self.models for name in (*model.aliases, model.id)}
        )

    def find(self, base_id: str) -> CatalogueModel | None:
        """The model with this id or alias, or None. A context-size suffix changes nothing."""
        found = self._by_id.get(base_id)
        if found is None and _CONTEXT_SUFFIX.search(base_id):
            return self._by_id.get(_CONTEXT_SUFFIX.sub("", base_id))
        return found

    def identify(self, reference: ModelReference) -> IdentifiedModel:
        """The reference with the model behind it; without one where only AWS knows it."""
        model = self.find(reference.base_id) if reference.base_id is not None else None
        return IdentifiedModel(
            reference=reference, model=model, region_scope=reference.region_scope
        )
