"""`PersonaHook` and `PersonaAsyncHook`: an Airflow connection becomes clients of Persona."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

from airflow.providers.http.hooks.http import HttpHook
from asgiref.sync import sync_to_async
from pydantic import ValidationError

from airflow_provider_persona.api.case_change import CaseChange
from airflow_provider_persona.api.errors import PersonaError, PersonaSettingsError, faults_of
from airflow_provider_persona.api.messages import Response
from airflow_provider_persona.api.models import Case
from airflow_provider_persona.api.operations import operation
from airflow_provider_persona.api.pagination import PAGE_SIZE
from airflow_provider_persona.api.retry import RetryPolicy
from airflow_provider_persona.hooks.by_path import api_path, as_requests_response, request_of, sending_options
from airflow_provider_persona.hooks.connection import is_unguarded, settings_of, try_connection
from airflow_provider_persona.hooks.form import CONN_TYPE, DEFAULT_CONN_ID, HOOK_NAME, form_behaviour, form_widgets
from airflow_provider_persona.version_compat import AirflowException, AirflowNotFoundException, BaseHook

if TYPE_CHECKING:
    import requests

    from airflow_provider_persona.api.settings import PersonaSettings
    from airflow_provider_persona.client import AsyncPersonaClient, PersonaClient


class PersonaHook(HttpHook):
    """Talks to one environment of Persona.

    It is an `HttpHook`, so the stock `HttpOperator` works with a Persona connection. Unlike its parent it keeps one
    pooled session, sends the API key as a bearer token, turns no extra of the connection into a header, refuses
    redirects, enforces timeouts, keeps to the request limit, decides retries by what Persona documents, and logs no
    body.

    :param persona_conn_id: connection of type `persona`.
    :param method: HTTP method of `run`.
    :param policy: attempts and delays; by default six attempts, with 1, 5, 10, 20 and 40 s between them.
    :param reserve: share of the request limit left to others; by default the connection's.
    :param http_options: what the stock operators hand to an `HttpHook` (`auth_type`, `tcp_keep_alive`, …); the session
        here has its own, so they change nothing.
    """

    conn_name_attr = "persona_conn_id"
    default_conn_name = DEFAULT_CONN_ID
    conn_type = CONN_TYPE
    hook_name = HOOK_NAME

    def __init__(
        self,
        persona_conn_id: str = DEFAULT_CONN_ID,
        method: str = "GET",
        *,
        policy: RetryPolicy | None = None,
        reserve: float | None = None,
        **http_options: Any,
    ) -> None:
        super().__init__(method=method, http_conn_id=persona_conn_id, **http_options)
        self.persona_conn_id = persona_conn_id
        self.policy = policy
        self.reserve = reserve

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """Return the form's fields, for Airflow 2.11 to 3.1."""
        return form_widgets()

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Return the form's behaviour, for Airflow 2.11 to 3.1."""
        return form_behaviour()

    @cached_property
    def settings(self) -> PersonaSettings:
        """The connection's settings, read once.

        :raises PersonaSettingsError: when the connection cannot be used.
        """
        connection = self.get_connection(self.persona_conn_id)
        settings = settings_of(connection, reserve=self.reserve)
        _ = connection.extra_dejson  # as it reads the extra, Airflow masks its secrets in the log
        if is_unguarded(settings):
            self.log.warning(
                "Connection %s has a production key and expects no environment; set expected_environment_id in it",
                self.persona_conn_id,
            )
        return settings

    @cached_property
    def client(self) -> PersonaClient:
        """The client of this hook, with one pooled session."""
        from airflow_provider_persona.client import PersonaClient

        return PersonaClient(self.settings, policy=self.policy)

    def async_client(self, connections: int = 32) -> AsyncPersonaClient:
        """Return a new asynchronous client. Call this before entering an event loop: it reads the connection.

        :param connections: how many connections it may have open at once.
        """
        from airflow_provider_persona.client import AsyncPersonaClient

        return AsyncPersonaClient(self.settings, connections=connections, policy=self.policy)

    def close(self) -> None:
        """Close the pooled connections."""
        if "client" in self.__dict__:  # else closing would read the connection and make a client
            self.client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def get_case(self, case_id: str, *, fields: Iterable[str] | None = None, include: Iterable[str] = ()) -> Case:
        """Read one case.

        :param case_id: its id.
        :param fields: attributes to ask for, like `status` or `fields.risk-score`; None for all, which holds personal
            data.
        :param include: related objects to ask for, like `inquiries`.
        :raises PersonaError: typed; `PersonaNotFoundError` when there is none.
        """
        query = {**_sparse(fields), "include": _names(include)}
        return self._case(self.call("retrieve-case", path={"case-id": case_id}, query=query))

    def list_cases(
        self,
        *,
        filters: Mapping[str, str] | None = None,
        fields: Iterable[str] | None = None,
        page_size: int = PAGE_SIZE,
    ) -> Iterator[Case]:
        """Yield cases, newest first, page by page as they are asked for.

        :param filters: by filter name, like `{"status": "Open", "case-template-id": "ctmpl_…"}`.
        :param fields: attributes to ask for; None for all, which holds personal data.
        :param page_size: cases a request, 1 to 100.
        """
        query = {f"filter[{name}]": value for name, value in (filters or {}).items()}
        return self._cases("list-all-cases", {**query, **_sparse(fields), "page[size]": page_size})

    def search_cases(
        self,
        query: Mapping[str, Any],
        *,
        sort: Mapping[str, str] | None = None,
        fields: Iterable[str] | None = None,
        page_size: int = PAGE_SIZE,
    ) -> Iterator[Case]:
        """Yield the cases that a query finds. Persona's index runs about a minute behind writes.

        :param query: like `{"attribute": "status", "operator": "eq", "value": "Open"}`, or `and`, `or`, `not` of such.
        :param sort: like `{"attribute": "created_at", "direction": "asc"}`.
        :param fields: attributes to ask for; None for all, which holds personal data.
        :param page_size: cases a request, 1 to 100.
        """
        body = {"query": dict(query), **({"sort": dict(sort)} if sort else {})}
        return self._cases("search-cases", {**_sparse(fields), "page[size]": page_size}, body)

    def create_case(
        self,
        case_template_id: str,
        *,
        creator_email_address: str | None = None,
        case_queue_id: str | None = None,
        fields: Mapping[str, Any] | None = None,
        object_ids: Iterable[str] = (),
        sla_expires_in: int | None = None,
        identity: str | None = None,
    ) -> Case:
        """Open a case.

        :param case_template_id: its template (`ctmpl_…`).
        :param creator_email_address: dashboard user who counts as its creator.
        :param case_queue_id: queue to put it in.
        :param fields: custom fields.
        :param object_ids: Persona objects to attach.
        :param sla_expires_in: seconds until its SLA expires, at most 90 days.
        :param identity: names the call. A second call with the same name within an hour opens no second case.
        :raises PersonaUnresolvedError: when Persona failed in a way that leaves open whether there is a new case.
        """
        attributes = {
            "case-template-id": case_template_id,
            "creator-email-address": creator_email_address,
            "case-queue-id": case_queue_id,
            "fields": dict(fields) if fields else None,
        }
        meta = {"object-ids": _names(object_ids) or None, "sla-expires-in-seconds": sla_expires_in}
        body = _given({"data": {"attributes": _given(attributes)}, "meta": _given(meta)})
        return self._case(self.call("create-a-case", body=body, identity=identity))

    def update_case(self, case_id: str, **change: Any) -> Case:
        """Change a case with the calls that are needed, and return it as the last answer shows it.

        :param case_id: its id.
        :param change: as for `CaseChange`: `status`, `fields`, `case_queue_id`, `sla_expires_in`, `attachments`,
            `assignee`, `tags`, `add_tags`, `remove_tags`, `add_objects`, `remove_objects`.
        :raises PersonaSettingsError: when no change is asked for, or an argument cannot be used.
        :raises PersonaAnswerError: when Persona accepts a call and its answer does not show the change.
        """
        try:
            wanted = CaseChange(**change)
        except ValidationError as error:
            raise PersonaSettingsError(f"update_case cannot make this change: {faults_of(error)}") from None
        case = None
        for step in wanted.steps():
            response = self.client.send(step.request(case_id))
            case = self._case(response)
            step.check(case, response.request_id)
        if case is None:
            raise PersonaSettingsError("update_case was asked for no change")
        return case

    def set_case_status(self, case_id: str, status: str) -> Case:
        """Move a case to a status of its template."""
        return self.update_case(case_id, status=status)

    def assign_case(self, case_id: str, email_address: str) -> Case:
        """Assign a case to a dashboard user. Persona has no call to un-assign."""
        return self.update_case(case_id, assignee=email_address)

    def add_case_tags(self, case_id: str, *tags: str) -> Case:
        """Put tags on a case, leaving those that it has."""
        return self.update_case(case_id, add_tags=tags)

    def remove_case_tags(self, case_id: str, *tags: str) -> Case:
        """Take tags off a case."""
        return self.update_case(case_id, remove_tags=tags)

    def set_case_tags(self, case_id: str, *tags: str) -> Case:
        """Replace all tags of a case."""
        return self.update_case(case_id, tags=tags)

    def add_case_objects(self, case_id: str, *object_ids: str) -> Case:
        """Attach Persona objects to a case."""
        return self.update_case(case_id, add_objects=object_ids)

    def remove_case_objects(self, case_id: str, *object_ids: str) -> Case:
        """Detach Persona objects from a case."""
        return self.update_case(case_id, remove_objects=object_ids)

    def redact_case(self, case_id: str) -> Case:
        """Erase a case's personal data for ever. Objects attached to it are not redacted."""
        response = self.call("redact-a-case", path={"case-id": case_id})
        return Case(id=case_id) if response.status == 204 else self._case(response)

    def call(
        self,
        operation_id: str,
        *,
        path: Mapping[str, str] | None = None,
        query: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, Any] | None = None,
        identity: str | None = None,
    ) -> Response:
        """Make one call by the name of its operation, and return its answer.

        :param operation_id: like `set-status-for-a-case`.
        :param path: values of the path's parameters, like `{"case-id": "case_…"}`.
        :param query: query parameters; lists are joined with commas, None is left out.
        :param body: JSON body.
        :param headers: headers that only this operation needs; `generate-a-relay-claim` does.
        :param identity: names the call, as for `PersonaClient.send`.
        :raises BadCallError: when the operation is unknown or a parameter is missing or unsafe.
        :raises PersonaError: typed, when it did not succeed or its outcome is unknown.
        """
        return self.client.call(operation_id, path=path, query=query, body=body, headers=headers, identity=identity)

    def test_connection(self) -> tuple[bool, str]:
        """Make one cheap read, in less than ten seconds, and say what answered, never the key."""
        return try_connection(self.get_connection(self.persona_conn_id))

    def get_conn(
        self,
        headers: dict[Any, Any] | None = None,
        extra_options: dict[str, Any] | None = None,  # noqa: ARG002 - the parent's parameter
    ) -> requests.Session:
        """Return the pooled session. It follows no redirect, and sends the API key to the connection's host only."""
        if not headers:
            return self.client.session
        from airflow_provider_persona.client.session import Session

        session = Session(self.settings)  # one of its own, so that the headers do not stay on the pooled one
        session.headers.update(headers)
        return session

    def run(
        self,
        endpoint: str | None = None,
        data: dict[str, Any] | str | None = None,
        headers: dict[str, Any] | None = None,
        extra_options: dict[str, Any] | None = None,
        **request_kwargs: Any,
    ) -> requests.Response:
        """Make a call by its path, as the stock operators do.

        :param endpoint: path with or without `/api/v1`, and query if need be.
        :param data: for GET the query; otherwise the JSON body, as a mapping or as JSON text.
        :param headers: further headers; none can replace those that authenticate.
        :param extra_options: `check_response` False returns answers of any status; `timeout` replaces the read timeout;
            of a pair, as `requests` takes it, the second number does.
        :param request_kwargs: `json` or `params`, as for `requests`.
        :raises AirflowException: beginning with the HTTP status where there is one, as `HttpSensor` wants it.
        """
        options = extra_options or {}
        try:
            host = self.settings.host
            request = request_of(self.method, endpoint or "", data, host=host, options=options, **request_kwargs)
            response = self.client.send(request, **sending_options(headers, options))
        except PersonaError as error:
            raise AirflowException(f"{error.status}:{error}" if error.status else str(error)) from error
        return as_requests_response(response, self.settings.host + request.path)

    def check_response(self, response: requests.Response) -> None:
        """Raise for an answer that is no success, without logging its body.

        :raises AirflowException: beginning with the HTTP status.
        """
        if response.status_code >= 300:
            raise AirflowException(f"{response.status_code}:{response.reason}")

    def url_from_endpoint(self, endpoint: str | None) -> str:
        """Return the address of a path below the connection's host."""
        return self.settings.host + api_path(endpoint or "", self.settings.host).geturl()

    def _cases(self, operation_id: str, query: Mapping[str, Any], body: Any = None) -> Iterator[Case]:
        pages = self.client.pages(operation(operation_id).bind(query=query, body=body))
        return (Case.from_resource(resource, operation_id) for page in pages for resource in page)

    def _case(self, response: Response) -> Case:
        return Case.from_resource(response.json().get("data"))


def _sparse(fields: Iterable[str] | None) -> dict[str, Any]:
    return {} if fields is None else {"fields[case]": _names(fields)}


def _names(given: Iterable[str]) -> list[str]:
    """Return names as a list; a single text is one name, though Python takes it for a list of letters."""
    return [given] if isinstance(given, str) else list(given)


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what is None or empty."""
    return {name: value for name, value in values.items() if value not in (None, {})}


class PersonaAsyncHook(BaseHook):
    """Gives triggers the asynchronous client.

    In a task use `PersonaHook.async_client` before entering an event loop instead: the synchronous and the asynchronous
    way to a connection must not be mixed there.

    :param persona_conn_id: connection of type `persona`.
    :param policy: attempts and delays.
    """

    conn_name_attr = "persona_conn_id"
    default_conn_name = DEFAULT_CONN_ID
    conn_type = CONN_TYPE
    hook_name = HOOK_NAME

    def __init__(self, persona_conn_id: str = DEFAULT_CONN_ID, *, policy: RetryPolicy | None = None) -> None:
        super().__init__()
        self.persona_conn_id = persona_conn_id
        self.policy = policy

    async def get_settings(self) -> PersonaSettings:
        """Read the connection from within an event loop.

        :raises PersonaSettingsError: when the connection cannot be used.
        """
        from airflow_provider_persona.version_compat import async_connection, async_extra

        try:
            connection = await async_connection(self, self.persona_conn_id)
        except AirflowNotFoundException:
            # Inside `dag.test()` the asynchronous way does not find connections that are in the database.
            connection = await sync_to_async(self.get_connection)(self.persona_conn_id)
        settings = settings_of(connection)
        await async_extra(connection)  # as it reads the extra, Airflow masks its secrets in the log
        return settings

    async def get_client(self) -> AsyncPersonaClient:
        """Return a new asynchronous client, to be closed by the caller (`async with`)."""
        from airflow_provider_persona.client import AsyncPersonaClient

        return AsyncPersonaClient(await self.get_settings(), policy=self.policy)
