"""The form of a connection of type `persona`.

It is declared twice, from one description: 3.2 and later read it from the provider's metadata and never import a hook;
2.11 to 3.1 ask the hook for widgets. A form saves every field, empty ones as null, so null means unset; and no field
has a default of its own, because it would be frozen into each saved connection.
"""

from __future__ import annotations

from typing import Any

from airflow_provider_persona.api.messages import DEFAULT_HOST, DEFAULT_VERSION

CONN_TYPE = "persona"
DEFAULT_CONN_ID = "persona_default"
HOOK_NAME = "Persona"

_TEXT, _NUMBER = ["string", "null"], ["number", "null"]

FORM_FIELDS: dict[str, dict[str, Any]] = {
    "persona_version": {
        "label": "Persona-Version",
        "description": f"API version sent with every request, YYYY-MM-DD. Empty: {DEFAULT_VERSION}.",
        "schema": {"type": _TEXT, "pattern": r"^\d{4}-\d{2}-\d{2}$"},
    },
    "expected_environment_id": {
        "label": "Expected environment",
        "description": "Id of the environment (env_…) that must answer; nothing is written to another. Empty: any.",
        "schema": {"type": _TEXT},
    },
    "reserve": {
        "label": "Reserve",
        "description": "Share of the request limit left to others, from 0 to below 1. Empty: 0.2.",
        "schema": {"type": _NUMBER, "minimum": 0, "maximum": 0.99},
    },
    "connect_timeout": {
        "label": "Connect timeout",
        "description": "Seconds to make a connection. Empty: 5.",
        "schema": {"type": _NUMBER, "minimum": 0.1},
    },
    "read_timeout": {
        "label": "Read timeout",
        "description": "Seconds until an answer has arrived in full. Empty: 60.",
        "schema": {"type": _NUMBER, "minimum": 0.1},
    },
    "proxies": {
        "label": "Proxies",
        "description": 'Proxy URLs by scheme, like {"https": "http://proxy:3128"}. Empty: those of the environment.',
        "schema": {"type": ["object", "null"]},
    },
    "verify": {
        "label": "Verify TLS",
        "description": "true, false, or the path of a bundle of certificates. Empty: true.",
        "schema": {"type": _TEXT},
    },
}

FORM_BEHAVIOUR: dict[str, Any] = {
    "hidden-fields": ["login", "port", "schema"],
    "relabeling": {"password": "API key", "host": "Base URL"},
    "placeholders": {"host": DEFAULT_HOST, "password": "persona_sandbox_… or persona_production_…"},
}


def form_widgets() -> dict[str, Any]:
    """Return the form's fields for Airflow 2.11 to 3.1, whose web server has the libraries for it."""
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
