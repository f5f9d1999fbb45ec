"""What the entry point `airflow.plugins` names.

Airflow loads the plugins that a provider's metadata names only where `[core] lazy_discover_providers` is off; by
default it loads those of entry points alone. With both it would report the second one as an error of import.
"""

from __future__ import annotations

from typing import Any


def __getattr__(name: str) -> Any:
    """Return the plugin as `plugin`, or None where Airflow finds it in the provider's metadata."""
    if name != "plugin":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from airflow import settings

    if not getattr(settings, "LAZY_LOAD_PROVIDERS", True):
        return None
    from airflow_provider_persona.plugins.persona import PersonaPlugin

    return PersonaPlugin
