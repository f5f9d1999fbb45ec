"""What can go wrong with folders, object stores and tables."""

from __future__ import annotations

from airflow_provider_persona.api.errors import ProviderError


class StoreError(ProviderError):
    """A folder, an object store or a table cannot be read or written."""


class FencedError(StoreError):
    """A newer attempt works in the same folder, so this one must write nothing more."""
