"""What the parts of an Airflow connection of type `persona` mean."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow_provider_persona.api.errors import PersonaSettingsError
from airflow_provider_persona.api.settings import PersonaSettings

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Connection


def settings_of(connection: Connection, extra: Mapping[str, Any] | None = None, **overrides: Any) -> PersonaSettings:
    """Return the settings that a connection holds.

    :param connection: of type `persona`: the API key in `password`, the host (optional) in `host`.
    :param extra: its extras, where they were read already; by default they are read here.
    :param overrides: settings that replace the connection's, where they are not None.
    :raises PersonaSettingsError: when they cannot be used, naming the connection and the setting.
    """
    extras = dict(connection.extra_dejson if extra is None else extra)
    try:
        values = {
            "api_key": connection.password,
            "host": _host(connection),
            "version": extras.get("persona_version"),
            "expected_environment_id": extras.get("expected_environment_id"),
            "reserve": extras.get("reserve"),
            "connect_timeout": extras.get("connect_timeout"),
            "read_timeout": extras.get("read_timeout"),
            "proxies": _object(extras.get("proxies")),
            "verify": _verify(extras.get("verify")),
        }
        values.update({name: value for name, value in overrides.items() if value is not None})
        return PersonaSettings.checked(**values)
    except PersonaSettingsError as error:
        raise PersonaSettingsError(f"connection {connection.conn_id}: {error}") from None


def _host(connection: Connection) -> str | None:
    host: str | None = connection.host
    if not host:
        return None
    if "://" not in host:
        host = f"{connection.schema or 'https'}://{host}"
    return f"{host}:{connection.port}" if connection.port else host


def _object(value: Any) -> Any:
    """Read an object that an older form kept as text."""
    if not isinstance(value, str) or not value.strip():
        return value or None
    try:
        return json.loads(value)
    except ValueError:
        raise PersonaSettingsError('proxies: give a JSON object like {"https": "http://proxy:3128"}') from None


def _verify(value: Any) -> Any:
    if isinstance(value, str) and value.strip().lower() in ("true", "false"):
        return value.strip().lower() == "true"
    return value
