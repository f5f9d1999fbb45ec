"""What the provider tells Airflow about itself. Plain data: Airflow reads it in every process."""

from __future__ import annotations

from typing import Any

from airflow_provider_persona import __version__
from airflow_provider_persona.hooks.form import CONN_TYPE, FORM_BEHAVIOUR, FORM_FIELDS, HOOK_NAME

_PACKAGE = "airflow_provider_persona"


def get_provider_info() -> dict[str, Any]:
    """Return the provider's metadata (`airflow/provider_info.schema.json`)."""
    return {
        "package-name": "airflow-provider-persona",
        "name": "Persona",
        "description": "Brings the decisions of your warehouse into the cases of Persona (withpersona.com).",
        "versions": [__version__],
        "integrations": [
            {
                "integration-name": "Persona",
                "external-doc-url": "https://docs.withpersona.com",
                "tags": ["service"],
            }
        ],
        "connection-types": [
            {
                "connection-type": CONN_TYPE,
                "hook-class-name": f"{_PACKAGE}.hooks.persona.PersonaHook",
                "hook-name": HOOK_NAME,
                "ui-field-behaviour": FORM_BEHAVIOUR,
                "conn-fields": FORM_FIELDS,
            }
        ],
        "hooks": [_modules("hooks.persona")],
        "operators": [
            _modules(
                "operators.cases",
                "operators.bulk",
                "operators.plans",
                "operators.operation",
                "operators.accounts",
                "operators.api_keys",
                "operators.case_actions",
                "operators.importers",
                "operators.inquiries",
                "operators.lists",
                "operators.reports",
                "operators.transactions",
                "operators.verifications",
                "operators.webhooks",
                "operators.workflows",
            )
        ],
        "sensors": [_modules("sensors.cases", "sensors.http", "sensors.lifecycle")],
        "triggers": [_modules("triggers.cases", "triggers.lifecycle", "triggers.events")],
        "transfers": [
            {
                "source-integration-name": "SQL",
                "target-integration-name": "Persona",
                "python-module": f"{_PACKAGE}.transfers.sql_to_persona",
            },
            {
                "source-integration-name": "Persona",
                "target-integration-name": "SQL",
                "python-module": f"{_PACKAGE}.transfers.persona_to_sql",
            },
            {
                "source-integration-name": "Persona",
                "target-integration-name": "Object Storage",
                "python-module": f"{_PACKAGE}.transfers.persona_to_object_storage",
            },
            {
                "source-integration-name": "Persona",
                "target-integration-name": "Object Storage",
                "python-module": f"{_PACKAGE}.transfers.persona_files_to_object_storage",
            },
        ],
        "task-decorators": [
            {"name": "persona", "class-name": f"{_PACKAGE}.decorators.persona.persona_task"},
        ],
        "config": {
            "persona": {
                "description": "Settings of the Persona provider.",
                "options": {
                    "state_path": {
                        "description": "Folder for plans and ledgers of bulk runs: a local path, or the address of a "
                        "folder in an object store. Empty: the folder persona below AIRFLOW_HOME.",
                        "version_added": "0.1.0",
                        "type": "string",
                        "example": "s3://aws_default@my-bucket/persona",
                        "default": "",
                    }
                },
            }
        },
    }


def _modules(*names: str) -> dict[str, Any]:
    return {"integration-name": "Persona", "python-modules": [f"{_PACKAGE}.{name}" for name in names]}
