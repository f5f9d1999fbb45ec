"""What makes a task's call the same call when Airflow tries the task again, so that nothing is created twice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_persona.api.errors import PersonaError
    from airflow_provider_persona.api.messages import Request, Response
    from airflow_provider_persona.client import PersonaClient


def send_for_task(client: PersonaClient, request: Request, ti: Any, retries: int) -> Response:
    """Send a request on behalf of a task instance, and return its successful answer.

    A call that may not be done twice has the same idempotency key in every try that Airflow makes by itself: when an
    earlier try got through to Persona and was cut off, Persona answers with what it did then. It does so for an hour
    at least. Clearing the task by hand means doing it anew, so each clear begins another identity.

    A call that may be done twice gets a new key with each try, so that a failure that Persona keeps under a key does
    not answer to the next.

    :param client: the client.
    :param request: what to send.
    :param ti: the task instance.
    :param retries: retries of the task.
    :raises PersonaError: typed; `PersonaUnresolvedError` when whether it was done is unknown.
    """
    from airflow_provider_persona.api.errors import PersonaQuotaError, PersonaUnresolvedError

    task = f"{ti.dag_id}/{ti.run_id}/{ti.task_id}/{ti.map_index}"
    if request.repeatable:
        return client.send(request, f"{task}/try {ti.try_number}")
    cleared_at = ti.max_tries - retries  # the number of the last try before the task was last cleared
    generation = 0
    while True:
        try:
            return client.send(request, f"{task}/cleared at {cleared_at}/{generation}")
        except PersonaUnresolvedError as error:
            raise _with_advice(error) from error
        except PersonaQuotaError as error:
            # A 403 for a quota may be kept under the key of the try that met it. It says that nothing was done.
            generation += 1
            if error.status != 403 or generation >= ti.try_number:
                raise


def _with_advice(error: PersonaError) -> PersonaError:
    what = dict(error.to_event())
    what["message"] = f"{error}. If it was done, mark this task as success; if it was not, clear it"
    from airflow_provider_persona.api.errors import error_from_event

    return error_from_event(what)
