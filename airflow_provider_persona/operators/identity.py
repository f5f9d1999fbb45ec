"""What makes a task's call the same call when Airflow tries the task again, so that nothing is created twice."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_persona.api.errors import PersonaError
    from airflow_provider_persona.api.messages import Request, Response
    from airflow_provider_persona.client import PersonaClient

FIRST_TRY: Final = "persona_first_try"
"""Shown under "Storage" of the task in Airflow's UI, where Airflow has it (3.3)."""


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
    """Send a request on behalf of a task instance, and return its successful answer.

    A call that may not be done twice has the same idempotency key in every try that Airflow makes by itself: when an
    earlier try got through to Persona and was cut off, Persona answers with what it did then. It does so for an hour
    at least. A later try would do it anew, so it sends nothing and fails. How long ago the first try was is known from
    the task's state store (Airflow 3.3); elsewhere it was no longer ago than the start of the Dag run, and nothing is
    sent when that is too long ago. Clearing the task by hand means doing it anew, so each clear begins another
    identity, and the first try after it is always sent.

    A call that may be done twice gets a new key with each try, so that a failure that Persona keeps under a key does
    not answer to the next.

    :param client: the client.
    :param request: what to send.
    :param context: the task's context.
    :param retries: retries of the task.
    :param utc: returns the present.
    :raises PersonaError: typed; `PersonaUnresolvedError` when whether it was done is unknown.
    """
    from airflow_provider_persona.api.errors import PersonaQuotaError, PersonaUnresolvedError

    ti = context["ti"]
    task = f"{ti.dag_id}/{ti.run_id}/{ti.task_id}/{ti.map_index}"
    if request.repeatable:
        return client.send(request, f"{task}/try {ti.try_number}")
    cleared_at = ti.max_tries - retries  # the number of the last try before the task was last cleared
    first = _FirstTry(context, cleared_at)
    generation = 0
    try:
        first.begin_or_go_on(request, utc())
        while True:
            try:
                return client.send(request, f"{task}/cleared at {cleared_at}/{generation}")
            except PersonaQuotaError as error:
                # A 403 for a quota may be kept under the key of the try that met it. It says that nothing was done.
                generation += 1
                if error.status != 403 or generation >= ti.try_number:
                    first.forget()
                    raise
    except PersonaUnresolvedError as error:
        raise _with_advice(error) from error


class _FirstTry:
    """When a task first sent a call, since it was last cleared.

    :param context: the task's context.
    :param cleared_at: number of the last try before it was last cleared.
    """

    def __init__(self, context: Context | Mapping[str, Any], cleared_at: int) -> None:
        self._context = context
        self._store: Any = context.get("task_state_store")
        self._cleared_at = cleared_at

    def begin_or_go_on(self, request: Request, now: datetime) -> None:
        """Note when the first try was, or make sure that Persona still knows what it answered to it.

        :raises PersonaUnresolvedError: when it may have forgotten.
        """
        from airflow_provider_persona.api.errors import PersonaUnresolvedError
        from airflow_provider_persona.api.retry import KEY_GOOD_FOR

        noted = self._noted()
        nothing_done = noted is not None and noted["at"] is None
        if self._context["ti"].try_number <= self._cleared_at + 1 or nothing_done:
            if noted is None or nothing_done:
                self._note(now.isoformat())
            return
        at = datetime.fromisoformat(noted["at"]) if noted else getattr(self._context.get("dag_run"), "start_date", None)
        if at is not None and now - at <= timedelta(seconds=KEY_GOOD_FOR):
            return
        how_old = "longer ago than" if noted else "perhaps (the first try's time is not known) longer ago than"
        raise PersonaUnresolvedError(
            f"{request.operation_id} may have been done by an earlier try of this task, {how_old} Persona surely "
            "remembers; sent again, it could be done twice. Look before doing it again",
            operation_id=request.operation_id,
        )

    def forget(self) -> None:
        """Note that the tries so far did nothing."""
        self._note(None)

    def _noted(self) -> dict[str, Any] | None:
        noted = None if self._store is None else self._store.get(FIRST_TRY)
        return noted if isinstance(noted, dict) and noted.get("cleared_at") == self._cleared_at else None

    def _note(self, at: str | None) -> None:
        if self._store is not None:
            self._store.set(FIRST_TRY, {"cleared_at": self._cleared_at, "at": at})


def _with_advice(error: PersonaError) -> PersonaError:
    what = dict(error.to_event())
    what["message"] = f"{error}. If it was done, mark this task as success; if it was not, clear it"
    from airflow_provider_persona.api.errors import error_from_event

    return error_from_event(what)
