"""Sends a call for a task so that Airflow's own retries never do it twice."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow_provider_persona.tasks.identity import TaskIdentity, Tries

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_persona.api.errors import PersonaError
    from airflow_provider_persona.api.messages import Request, Response
    from airflow_provider_persona.client import PersonaClient


def _utc_now() -> datetime:
    return datetime.now(UTC)


def send_for_task(
    client: PersonaClient,
    request: Request,
    context: Context | Mapping[str, Any],
    retries: int,
    *,
    utc: Callable[[], datetime] = _utc_now,
) -> Response:
    """Send a request for a task instance, and return its successful answer.

    A call that must not be done twice has the same idempotency key in every try that Airflow makes by itself. When an
    earlier try reached Persona and was cut off, Persona answers with what it did then, for an hour at least. A later
    try would do it again, so it sends nothing and fails. The time of the first try comes from the task's state store
    (Airflow 3.3). Elsewhere the start of the Dag run stands for it, which was no later. A clear means doing it anew:
    the first try after a clear has a new key and is always sent.

    A call that may be done twice gets a new key with each try. Otherwise a failure that Persona keeps under a key would
    answer the next try.

    :param client: the client.
    :param request: what to send.
    :param context: the task's context.
    :param retries: retries of the task.
    :param utc: returns the present.
    :raises PersonaError: typed; `PersonaUnresolvedError` when it is unknown whether the call was done.
    """
    from airflow_provider_persona.api.errors import PersonaQuotaError, PersonaUnresolvedError

    identity = TaskIdentity.of(context["ti"])
    if request.repeatable:
        return client.send(request, f"{identity}/try {context['ti'].try_number}")
    tries = Tries.begin(context, retries, utc())  # before the first request, since its note stands for what was sent
    generation = 0
    try:
        _require_a_fresh_key(client, request, tries, context, utc())
        while True:
            try:
                return client.send(request, f"{identity}/max tries {tries.max_tries}/{generation}")
            except PersonaQuotaError as error:
                # Persona may keep a 403 for a quota under the key of the try that met it. It did nothing then, so
                # another key is safe. There can be one such answer for each earlier try.
                generation += 1
                if error.status != 403 or generation >= tries.try_number:
                    tries.forget(context)
                    raise
    except PersonaUnresolvedError as error:
        raise _with_advice(error) from error


def _require_a_fresh_key(
    client: PersonaClient, request: Request, tries: Tries, context: Context | Mapping[str, Any], now: datetime
) -> None:
    """Make sure that Persona still remembers its answer to the first try.

    :raises PersonaUnresolvedError: when it may have forgotten it.
    """
    from airflow_provider_persona.api.errors import PersonaUnresolvedError
    from airflow_provider_persona.api.retry import KEY_GOOD_FOR
    from airflow_provider_persona.api.server_clock import is_fresh, latest_time

    if not tries.is_retry:
        return
    at = tries.begun_at or getattr(context.get("dag_run"), "start_date", None)

    def is_in_time(present: datetime) -> bool:
        return at is not None and is_fresh((present - at).total_seconds(), KEY_GOOD_FOR)

    # The worker's own clock first, which costs no request. It may be behind, so Persona is asked for the time too. One
    # that is ahead only makes the key older.
    if is_in_time(now) and is_in_time(latest_time(now, _time_of_persona(client))):
        return
    how_old = "longer ago than" if tries.begun_at else "perhaps (the first try's time is not known) longer ago than"
    raise PersonaUnresolvedError(
        f"{request.operation_id} may have been done by an earlier try of this task, {how_old} Persona surely "
        "remembers; sent again, it could be done twice. Look before doing it again",
        operation_id=request.operation_id,
    )


def _time_of_persona(client: PersonaClient) -> datetime | None:
    """Ask for Persona's time, None where it does not tell."""
    from airflow_provider_persona.api.errors import PersonaError

    if client.server_clock.time(client.clock()) is None:
        with suppress(PersonaError):  # the call itself will meet it too
            client.call("list-all-rate-limits")
    return client.server_clock.time(client.clock())


def _with_advice(error: PersonaError) -> PersonaError:
    from airflow_provider_persona.api.errors import error_from_event

    what = dict(error.to_event())
    what["message"] = f"{error}. If it was done, mark this task as success; if it was not, clear it"
    return error_from_event(what)
