"""Laws with fewer examples, for the check before a commit; `make test` takes the full number."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("quick", max_examples=15, deadline=None)
settings.load_profile("quick")
