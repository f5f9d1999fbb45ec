"""What the provider tells Airflow about itself. Plain data: Airflow reads it in every process.

So nothing is imported here that imports Airflow, a client or a database.
"""

from __future__ import annotations

from typing import Any

from airflow_provider_persona import __version__
from airflow_provider_persona.hooks.form import CONN_TYPE, FORM_BEHAVIOUR, FORM_FIELDS, HOOK_NAME

_PACKAGE = "airflow_provider_persona"
_ASSET_URIS = {
    "schemes": ["persona"],
    "handler": f"{_PACKAGE}.assets.persona.sanitize_uri",
    "factory": f"{_PACKAGE}.assets.persona.create_asset",
    "to_openlineage_converter": f"{_PACKAGE}.assets.persona.convert_asset_to_openlineage",
}


def get_provider_info() -> dict[str, Any]:
    """Return the provider's metadata (`airflow/provider_info.schema.json`)."""
    return {
        "package-name": "airflow-provider-persona",
        "name": "Persona",
        "description": "Brings the decisions of your warehouse into the cases of `Persona <https://withpersona.com/>`__.",
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
                "operators.approval",
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
        "notifications": [f"{_PACKAGE}.notifications.runs.PersonaRunNotifier"],
        "asset-uris": [_ASSET_URIS],
        "dataset-uris": [_ASSET_URIS],  # the name of the same in Airflow 2
        "extra-links": [
            f"{_PACKAGE}.links.PersonaObjectLink",
            f"{_PACKAGE}.links.PersonaTabLink",
            f"{_PACKAGE}.links.PersonaPlanLink",
            f"{_PACKAGE}.links.PersonaLedgerLink",
        ],
        "task-decorators": [
            {"name": "persona", "class-name": f"{_PACKAGE}.decorators.persona.persona_task"},
        ],
        "plugins": [{"name": "persona", "plugin-class": f"{_PACKAGE}.plugins.persona.PersonaPlugin"}],
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
                    },
                    "trusted_paths": {
                        "description": "Further folders, or addresses in object stores, separated by commas, from "
                        "which the tab Persona shows plans and ledgers beside state_path. For the API server.",
                        "version_added": "0.1.0",
                        "type": "string",
                        "example": "/mnt/decisions,s3://aws_default@other-bucket/persona",
                        "default": "",
                    },
                },
            }
        },
    }


def _modules(*names: str) -> dict[str, Any]:
    return {"integration-name": "Persona", "python-modules": [f"{_PACKAGE}.{name}" for name in names]}
