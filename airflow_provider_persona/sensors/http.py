"""The `HttpSensor` of Airflow's http provider, for a Persona connection."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.providers.http.sensors.http import HttpSensor

from airflow_provider_persona.hooks.form import DEFAULT_CONN_ID
from airflow_provider_persona.tasks.dag_defaults import defaults_of
from airflow_provider_persona.tasks.retry_policy import take_default_policy
from airflow_provider_persona.tasks.stopping import end_task, stop_of
from airflow_provider_persona.version_compat import AirflowException, PokeReturnValue

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_persona.hooks.persona import PersonaHook


class PersonaHttpSensor(HttpSensor):
    """An `HttpSensor` that sends its requests with a `PersonaHook`.

    Airflow's own sensor makes an `HttpHook` whatever the connection's type (http provider 6.3), so with a Persona
    connection it would send no key. This one differs in the hook only. It waits in a worker.

    :param endpoint: path, with or without `/api/v1`.
    :param http_conn_id: connection of type `persona`.
    :param deferrable: must stay False; Airflow's own trigger would send no key.

    The other parameters are those of `HttpSensor`.
    """

    on_kill = end_task

    def __init__(
        self, *, endpoint: str, http_conn_id: str = DEFAULT_CONN_ID, deferrable: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(endpoint=endpoint, http_conn_id=http_conn_id, deferrable=deferrable, **kwargs)
        take_default_policy(self)
        if defaults_of(self).get("deferrable"):
            self.deferrable = False  # meant for the Dag's other sensors
        if self.deferrable:
            raise ValueError(
                f"{self.task_id}: PersonaHttpSensor cannot be deferred; use PersonaCaseSensor, or mode='reschedule'"
            )

    @cached_property
    def hook(self) -> PersonaHook:
        """The hook of all looks of this task."""
        from airflow_provider_persona.hooks.persona import PersonaHook

        hook = PersonaHook(self.http_conn_id, method=self.method)
        # Held: after a stop it sends nothing, whatever the code of others in between made of the exception.
        stop_of(self).hold(hook.client)
        return hook

    def execute(self, context: Context) -> Any:
        """Wait here."""
        with stop_of(self).heeded():
            return super().execute(context)

    def poke(self, context: Context) -> bool | PokeReturnValue:
        """Look once."""
        from airflow_provider_persona.version_compat import determine_kwargs

        try:
            response = self.hook.run(
                self.endpoint,
                data=self.request_params,
                headers=self.headers,
                extra_options=self.extra_options,
                **self.request_kwargs,
            )
        except AirflowException as error:  # its text begins with the status, as that of Airflow's `HttpHook` does
            if str(error).startswith(self.response_error_codes_allowlist):
                return False
            raise
        if self.response_check is None:
            return True
        return self.response_check(response, **determine_kwargs(self.response_check, [response], context))
