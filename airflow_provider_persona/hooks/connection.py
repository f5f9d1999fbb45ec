"""From an Airflow connection of type `persona` to settings.

Airflow itself takes a damaged extra for an empty one. With it would go `expected_environment_id`, and a key of the
wrong environment would write. So the extra is read here, from its text.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from difflib import get_close_matches
from functools import cache
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from airflow_provider_persona.api.errors import PersonaError, PersonaSettingsError
from airflow_provider_persona.api.limits import window_state
from airflow_provider_persona.api.retry import NO_RETRIES
from airflow_provider_persona.api.settings import PersonaSettings
from airflow_provider_persona.hooks.form import FORM_FIELDS, SETTING_OF

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Connection

log = logging.getLogger(__name__)

_NEAR: Final = 0.75
"""Similarity from which on an unknown key counts as a known one that is misspelt (`difflib`)."""

_TELLING: Final = {
    "version": "persona_version",
    "env": "expected_environment_id",
    "environment": "expected_environment_id",
    "expected": "expected_environment_id",
    "proxy": "proxies",
    "reserve": "reserve",
    "dashboard": "dashboard_url",
    "verify": "verify",
    "insecure": "verify",
    "ssl": "verify",
    "tls": "verify",
    "ca": "verify",
    "cafile": "verify",
}
"""Words of an unknown key that tell which known one was meant. `timeout` does not: there are two."""

_HUMP: Final = re.compile("(?<=[a-z])(?=[A-Z])")
"""Where a word begins in a name like `environmentId`."""

_UNGUARDED: Final = (
    ". It is a production key, and no environment is expected: set expected_environment_id, so that nothing is ever "
    "written to another one by mistake"
)

_TEST_TIMEOUT: Final = 4.0
"""Seconds to connect and to read when a connection is tested; the web page waits meanwhile."""


def settings_of(connection: Connection, *, label: str | None = None, **overrides: Any) -> PersonaSettings:
    """Return the settings that a connection holds.

    :param connection: connection of type `persona`: the API key in `password`, the host (optional) in `host`.
    :param label: name of the connection for messages; by default its id.
    :param overrides: settings that replace the connection's, where they are not None.
    :raises PersonaSettingsError: when they cannot be used; it names the connection and the setting, never a value.
    """
    named = label or f"connection {connection.conn_id}"
    try:
        extra = _extra_of(connection)
        _check_names(extra, named)
        values = {SETTING_OF.get(name, name): _plain(extra.get(name)) for name in FORM_FIELDS}
        values |= {
            "api_key": connection.password,
            "host": _host(connection),
            "proxies": _object(values["proxies"]),
            "verify": _verify(values["verify"]),
            "label": "" if label is not None else named,
        }
        values |= {name: value for name, value in overrides.items() if value is not None}  # 0 is a reserve like others
        return PersonaSettings.checked(**values)
    except PersonaSettingsError as error:
        raise PersonaSettingsError(f"{named}: {error}") from None


def is_unguarded(settings: PersonaSettings) -> bool:
    """Whether a key of production could be used by mistake: nothing says which environment is meant."""
    return settings.key_kind == "production" and settings.expected_environment_id is None


def try_connection(connection: Connection) -> tuple[bool, str]:
    """Make one cheap read, in less than ten seconds, and say what answered, never the key.

    No message names the connection's id: Airflow tests a copy under a random one.
    """
    from airflow_provider_persona.client import PersonaClient

    timeouts = {"connect_timeout": _TEST_TIMEOUT, "read_timeout": _TEST_TIMEOUT}
    try:
        settings = settings_of(connection, label="the connection", **timeouts)
        with PersonaClient(settings, policy=NO_RETRIES) as client:
            response = client.call("list-all-rate-limits")
    except PersonaError as error:
        return False, str(error)
    state = window_state(response.headers)
    limit = f", {state.remaining} of {state.limit} requests left in this window" if state else ""
    return True, (
        f"Connected to environment {response.environment_id or '(unnamed)'} with a {settings.key_kind} key, "
        f"Persona-Version {settings.version}{limit}{_UNGUARDED if is_unguarded(settings) else ''}"
    )


def _extra_of(connection: Connection) -> Mapping[str, Any]:
    text = connection.extra
    if not text or not text.strip():
        return {}
    try:
        extra = json.loads(text, object_pairs_hook=_without_repeats)
    except PersonaSettingsError:  # which is a ValueError too
        raise
    except ValueError as error:
        place = f"line {error.lineno}, column {error.colno}" if isinstance(error, json.JSONDecodeError) else "somewhere"
        raise PersonaSettingsError(f"the extra is not JSON ({place}); Airflow would ignore all of it") from None
    except RecursionError:
        raise PersonaSettingsError("the extra is nested too deeply") from None
    if not isinstance(extra, dict):
        raise PersonaSettingsError(f"the extra is {_KINDS[type(extra)]}, and must be a JSON object like {{}}")
    return extra


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object of the extra; JSON would take the last of two values in silence."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise PersonaSettingsError(f"the extra has {twice[:60]!r} twice; delete one of them")
    return found


_KINDS: Final[dict[type, str]] = {
    list: "a list",
    str: "a text",
    int: "a number",
    float: "a number",
    bool: "true or false",
    type(None): "null",
}


def _check_names(extra: Mapping[str, Any], named: str) -> None:
    """Refuse keys that look like a known one, and warn once of all others."""
    unknown = sorted(set(extra) - set(FORM_FIELDS))
    for name in unknown:
        if known := _near(name):
            raise PersonaSettingsError(f"the extra has no {name[:60]!r}; {known!r} was probably meant")
    if unknown:
        _warn_once(named, tuple(name[:60] for name in unknown))


def _near(name: str) -> str | None:
    """Return the known key that an unknown one was probably meant for."""
    plain = _HUMP.sub("_", name.strip()).lower().replace("-", "_").replace(" ", "_")
    if close := get_close_matches(plain, FORM_FIELDS, n=1, cutoff=_NEAR):
        return str(close[0])
    return next((_TELLING[word] for word in plain.split("_") if word in _TELLING), None)


@cache
def _warn_once(named: str, unknown: tuple[str, ...]) -> None:
    log.warning("%s: the extra has keys without a meaning here: %s", named, ", ".join(unknown))


def _plain(value: Any) -> Any:
    """Return a value without blanks around it."""
    return value.strip() if isinstance(value, str) else value


def _host(connection: Connection) -> str | None:
    host: str = (connection.host or "").strip()
    if not host:
        return None
    if "://" not in host:
        host = f"{(connection.schema or 'https').strip()}://{host}"
    # Port 0 means none as well: with it stored, the Test icon of Airflow 3.3.1 and 3.3.2 works (apache/airflow#73298).
    if not connection.port:
        return host
    try:
        parts = urlsplit(host)
        own = parts.port
    except ValueError:
        return host  # the settings refuse it, and say why
    if own is None:
        return parts._replace(netloc=f"{parts.netloc}:{connection.port}").geturl()
    if own != int(connection.port):
        raise PersonaSettingsError(f"host names the port {own} and the port field {connection.port}; clear one of them")
    return host


def _object(value: Any) -> Any:
    """Read an object that an older form kept as text."""
    if not isinstance(value, str) or not value:
        return None if value in ("", {}) else value
    try:
        return json.loads(value)
    except ValueError:
        raise PersonaSettingsError('proxies: give a JSON object like {"https": "http://proxy:3128"}') from None


def _verify(value: Any) -> Any:
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    return value
