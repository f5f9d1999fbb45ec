"""Errors of a read, beside those of Persona."""

from __future__ import annotations

from airflow_provider_persona.api.errors import ProviderError


class ExportError(ProviderError):
    """The arguments of a read make no sense, or what an earlier read left cannot be used."""


class MissingLibraryError(ExportError):
    """An optional library is not installed."""
