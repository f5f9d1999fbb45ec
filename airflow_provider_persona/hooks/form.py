"""The form of a connection of type `persona`.

It is declared twice, from one description: 3.2 and later read it from the provider's metadata and never import a hook;
2.11 to 3.1 ask the hook for widgets. A form saves every field, empty ones as null, so null means unset. No field has a
default of its own, because Airflow would freeze it into each saved connection.
"""

from __future__ import annotations

from typing import Any

from airflow_provider_persona.api.defaults import DEFAULTS, VERSION_PATTERN
from airflow_provider_persona.api.messages import DEFAULT_HOST

CONN_TYPE = "persona"
DEFAULT_CONN_ID = "persona_default"
HOOK_NAME = "Persona"

_TEXT, _NUMBER = ["string", "null"], ["number", "null"]

SETTING_OF = {"persona_version": "version"}
"""Settings that have another name in the connection's extra."""


def _empty(name: str) -> str:
    """Return what an empty field means, as the settings have it."""
    default = DEFAULTS[SETTING_OF.get(name, name)]
    shown = f"{default:g}" if isinstance(default, float) else str(default).lower()
    return f"Empty: {shown}."


FORM_FIELDS: dict[str, dict[str, Any]] = {
    "expected_environment_id": {
        "label": "Expected environment",
        "description": "Id of the environment (env_…) that must answer; nothing is written to another. Empty: any.",
        "schema": {"type": _TEXT},
    },
    "reserve": {
        "label": "Reserve",
        "description": f"Share of the request limit left to others, from 0 to below 1. {_empty('reserve')}",
        "schema": {"type": _NUMBER, "minimum": 0, "maximum": 0.99},
    },
    "dashboard_url": {
        "label": "Dashboard",
        "description": f"Address of Persona's dashboard, for links to cases and others. {_empty('dashboard_url')}",
        "schema": {"type": _TEXT},
    },
    "persona_version": {
        "label": "Persona-Version",
        "description": f"API version sent with every request, YYYY-MM-DD. {_empty('persona_version')}",
        "schema": {"type": _TEXT, "pattern": VERSION_PATTERN},
    },
    "connect_timeout": {
        "label": "Connect timeout",
        "description": f"Seconds to make a connection. {_empty('connect_timeout')}",
        "schema": {"type": _NUMBER, "minimum": 0.1},
    },
    "read_timeout": {
        "label": "Read timeout",
        "description": f"Seconds until the whole answer has arrived. {_empty('read_timeout')}",
        "schema": {"type": _NUMBER, "minimum": 0.1},
    },
    "verify": {
        "label": "Verify TLS",
        "description": f"true, false, or the path of a file or folder of trusted certificates. {_empty('verify')}",
        "schema": {"type": _TEXT},
    },
    "proxies": {
        "label": "Proxies",
        "description": 'Proxy URLs by scheme, like {"https": "http://proxy:3128"}. Empty: those of the environment.',
        "schema": {"type": ["object", "null"]},
    },
}
"""In the order in which the form shows them: what keeps from a mistake first, and what few need last."""

FORM_BEHAVIOUR: dict[str, Any] = {
    "hidden-fields": ["login", "port", "schema"],
    "relabeling": {"password": "API key", "host": "Base URL"},
    "placeholders": {"host": DEFAULT_HOST, "password": "persona_sandbox_… or persona_production_…"},
}


def form_widgets() -> dict[str, Any]:
    """Return the form's fields for the web server of Airflow 2.11 to 3.1, which has the libraries for it."""
    from flask_appbuilder.fieldwidgets import BS3TextFieldWidget
    from flask_babel import lazy_gettext
    from wtforms import StringField

    return {
        name: StringField(lazy_gettext(field["label"]), widget=BS3TextFieldWidget(), description=field["description"])
        for name, field in FORM_FIELDS.items()
    }


def form_behaviour() -> dict[str, Any]:
    """Return the form's behaviour for Airflow 2.11 to 3.1, which spell its keys with underscores."""
    return {name.replace("-", "_"): value for name, value in FORM_BEHAVIOUR.items()}
