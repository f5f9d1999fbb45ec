"""Defaults of the settings. They are plain values, because the provider's metadata shows them too."""

from __future__ import annotations

from airflow_provider_persona.api.dashboard import DASHBOARD
from airflow_provider_persona.api.limits import DEFAULT_RESERVE
from airflow_provider_persona.api.messages import DEFAULT_VERSION

DEFAULT_CONNECT_TIMEOUT = 5.0
"""Seconds to make a connection."""

DEFAULT_READ_TIMEOUT = 60.0
"""Seconds from sending a request to the end of its answer."""

DEFAULT_VERIFY = True

VERSION_PATTERN = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
"""A date as `Persona-Version` has it. Not `\\d`: it also takes the digits of other scripts."""

DEFAULTS: dict[str, str | float | bool] = {
    "version": DEFAULT_VERSION,
    "reserve": DEFAULT_RESERVE,
    "connect_timeout": DEFAULT_CONNECT_TIMEOUT,
    "read_timeout": DEFAULT_READ_TIMEOUT,
    "verify": DEFAULT_VERIFY,
    "dashboard_url": DASHBOARD,
}
"""The defaults by the names of the settings."""
