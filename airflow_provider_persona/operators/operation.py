"""`PersonaOperator`: any operation of Persona's API as a task."""

from __future__ import annotations

from typing import Final

from airflow_provider_persona.api.operations import BadCallError, operation
from airflow_provider_persona.tasks.answers import names_secret
from airflow_provider_persona.tasks.arguments import JsonObject, Text
from airflow_provider_persona.tasks.call_arguments import part
from airflow_provider_persona.tasks.call_checks import MAX_ITEMS
from airflow_provider_persona.tasks.call_operator import PersonaCallOperator
from airflow_provider_persona.tasks.declared_arguments import argument
from airflow_provider_persona.tasks.files import MAX_BYTES
from airflow_provider_persona.tasks.private_templates import PathTemplate, PrivateTemplate

_NEW_KEY: Final = "data.attributes.value"
"""Where an answer holds a new API key, which no later answer shows."""


class PersonaOperator(PersonaCallOperator):
    """Calls any operation of Persona's API.

    The operation, the values of path parameters and the required body keys are checked when the Dag is parsed, where
    they stand in the Dag. What comes from other tasks or templates is checked when the task runs. Airflow does not keep
    what `query`, `body` and `headers` render to, because it may be personal data or a secret. Of `path` it keeps ids,
    but no tokens and no names of files.

    Example: `PersonaOperator(task_id="unlock", operation_id="investigation-unlock-a-verification",
    path={"verification-id": "{{ params.verification }}"})`
    """

    operation_id: str = argument("Persona's name of the operation, like `set-status-for-a-case`.", is_template=False)
    path: JsonObject | None = part(
        "path", 'a value for each path parameter, like `{"case-id": "case_…"}`.', default=None, template=PathTemplate
    )
    query: JsonObject | None = part(
        "query",
        'query parameters, like `{"filter[status]": "Open"}`; lists are joined with commas.',
        default=None,
        template=PrivateTemplate,
    )
    body: JsonObject | None = part("body", "the JSON body.", default=None, template=PrivateTemplate)
    headers: JsonObject | None = part(
        "headers",
        'headers that only this operation needs, like `{"Persona-Relay-Secret": "…"}`.',
        default=None,
        template=PrivateTemplate,
    )
    output_path: Text | None = part(
        "output_path",
        "where an answer that is a file goes: a local path or an address in an object store. With a slash at its end "
        "it is a folder, and the file gets the name in the operation's path. The task then returns `uri`, `size` in "
        "bytes and `content_type`, whatever `result` says. Give a whole path where a file's own name may be personal.",
        default=None,
    )
    max_bytes: int = part("max_bytes", "bytes that such a file may have at most.", default=MAX_BYTES, is_template=False)
    max_items: int = part(
        "max_items",
        "objects that a list may have at most; with more the task fails. All pages are read.",
        default=MAX_ITEMS,
        is_template=False,
    )

    def check_arguments(self) -> None:
        """Check what stands in the Dag.

        :raises BadCallError: when the call cannot be made, or a secret would go nowhere, or into XCom.
        """
        super().check_arguments()
        secrets = operation(self.operation_id).secrets
        if self.deliver is not None and not secrets:
            raise BadCallError(f"{self.operation_id} answers with no secret, so there is nothing to deliver")
        if _NEW_KEY in secrets and (self.deliver is None or names_secret(self.result, _NEW_KEY)):
            raise BadCallError(f"{self.operation_id} shows a new key once; it goes to deliver, and not into the result")
