"""`PersonaOperator`: any operation of Persona's API as a task; and what it shares with the named operators.

What a call sends may be personal data, and so may what it answers. So `query` and `body` are kept by Airflow nowhere
once they are rendered, and of the answer a task returns what its `result` names, by default the object's id.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_persona.api.operations import AnswerKind, BadCallError, Operation, operation
from airflow_provider_persona.hooks.form import DEFAULT_CONN_ID
from airflow_provider_persona.operators.answers import (
    Result,
    check_result,
    names_secret,
    result_of_many,
    result_of_one,
    secret_texts,
    take_secrets,
)
from airflow_provider_persona.operators.arguments import as_object
from airflow_provider_persona.operators.call_checks import check_call
from airflow_provider_persona.operators.files import MAX_BYTES
from airflow_provider_persona.operators.private_templates import PathTemplate, PrivateTemplate, revealed
from airflow_provider_persona.task_failure import failing_for_good_when_useless_to_retry

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_persona.api.messages import Request, Response
    from airflow_provider_persona.hooks.persona import PersonaHook

_NEW_KEY: Final = "data.attributes.value"
"""Where an answer holds a new API key, which no later answer shows."""

Deliver = Callable[[Mapping[str, Any]], object]
"""Takes the secrets of an answer by name, and the object's `id`."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call that a task makes, as rendered.

    :param operation_id: the operation of the catalogue.
    :param path: values of the path's parameters.
    :param query: query parameters.
    :param body: the JSON body.
    """

    operation_id: str
    path: Mapping[str, Any] | None = None
    query: Mapping[str, Any] | None = None
    body: Mapping[str, Any] | None = None


class PersonaCallOperator(BaseOperator):
    """What all operators share that make calls by the names of Persona's operations.

    Calls that may not be done twice, creations above all, carry the same idempotency key in every try that Airflow
    makes by itself, so that a retry within the hour gets Persona's answer to the first try instead of creating twice.
    A later retry sends nothing. Clearing the task does it anew. When it cannot be told whether Persona did it, the task
    fails for good.

    :param result: what goes to XCom: `id`; `attributes`; `none`; `body`, the whole answer, which may be personal data;
        a list of names like `["status", "fields.risk-score"]`, of attributes or from the answer's top
        (`id`, `type`, `relationships.…`, `meta.…`), which is where all names of an answer without an object are; or a
        function, called with the object. Of a list of objects it is a list of the same, and a function is called with
        the list. Secrets are in it only where the list names them.
    :param deliver: called with a mapping of the answer's secrets and `id` before the task ends, to put them where they
        belong. It may be called again, with the same, when the task is tried again.
    :param persona_conn_id: connection of type `persona`.
    """

    template_fields: Sequence[str] = ("persona_conn_id",)
    ui_color = "#dce6ff"
    output_path: str | None = None
    max_bytes: int = MAX_BYTES
    max_items: int = 10_000

    def __init__(
        self,
        *,
        result: Result = "id",
        deliver: Deliver | None = None,
        persona_conn_id: str = DEFAULT_CONN_ID,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_result(result, self.task_id)
        self.result = result
        self.deliver = deliver
        self.persona_conn_id = persona_conn_id

    @abstractmethod
    def calls(self) -> Sequence[Call]:
        """Return the calls to make, in order; the task returns what the last answers."""

    def execute(self, context: Context) -> Any:
        """Make the calls, and return what `result` names of the last answer.

        :raises AirflowFailException: when it cannot be done and a retry would not help, or could do it twice.
        :raises PersonaError: when a retry may help.
        """
        from urllib.parse import urlsplit

        from airflow_provider_persona.client.wire_log import hide_queries

        answer = None
        with failing_for_good_when_useless_to_retry():
            bound = [(entry, self._request(entry, call), call) for entry, call in self._entries()]
            with self.hook() as hook:
                hide_queries(urlsplit(hook.settings.host).hostname or "")
                for entry, request, call in bound:
                    with _telling_what_a_refusal_means(entry):
                        answer = self._perform(hook, entry, request, call, context)
                if not bound:
                    self.log.info("Nothing to do")
                    answer = self.unchanged()
        return answer

    def unchanged(self) -> Any:
        """Return what goes to XCom when there is nothing to do."""
        return None

    def hook(self) -> PersonaHook:
        """Return the hook to call with; override it for other attempts and delays, or another share of the limit."""
        from airflow_provider_persona.hooks.persona import PersonaHook

        return PersonaHook(self.persona_conn_id)

    def _entries(self) -> Iterator[tuple[Operation, Call]]:
        for call in self.calls():
            yield operation(call.operation_id), call

    def _request(self, entry: Operation, call: Call) -> Request:
        query = call.query
        if entry.paged and "page[size]" in entry.query and "page" not in (call.body or ()):
            query = {"page[size]": 100, **(query or {})}
        return entry.bind(call.path, query, call.body)

    def _perform(self, hook: PersonaHook, entry: Operation, request: Request, call: Call, context: Context) -> Any:
        from airflow_provider_persona.operators.identity import send_for_task

        about = " ".join(value for name, value in (call.path or {}).items() if name.endswith("-id"))
        if entry.answer is AnswerKind.COLLECTION:
            return self._read_all(hook, entry, request, about)
        if entry.answer is AnswerKind.FILE:
            return self._fetch(hook, entry, request, about)
        response = send_for_task(hook.client, request, context, self.retries or 0)
        self.log.info("%s %s: status %s, %s", entry.operation_id, about, response.status, response.request_id)
        return self._result(entry, response)

    def _result(self, entry: Operation, response: Response) -> Any:
        """Return what `result` names of one answer, after its secrets are where they belong."""
        body = response.json()
        if entry.secrets:
            from airflow.providers.common.compat.sdk import mask_secret

            secrets, data = take_secrets(body, entry, self.result), body.get("data")
            for text in secret_texts(secrets):
                mask_secret(text)
            self._hand_over_safely(secrets, data.get("id") if isinstance(data, Mapping) else None)
        return result_of_one(body, entry, self.result)

    def _hand_over_safely(self, secrets: Mapping[str, Any], resource_id: str | None) -> None:
        """Hand over, and let no failure end the task for good: only its retries can get the same secrets again."""
        from airflow_provider_persona.api.errors import PersonaAnswerError

        try:
            self.hand_over(secrets, resource_id)
        except PersonaAnswerError:
            raise
        except Exception as error:
            raise RuntimeError(
                f"the secret of {resource_id} could not be delivered ({type(error).__name__}); a retry within the hour "
                f"gets it again. When none follows, look after {resource_id} before clearing this task"
            ) from error

    def hand_over(self, secrets: Mapping[str, Any], resource_id: str | None) -> None:
        """Put the secrets of an answer where they belong.

        :param secrets: by name, like `value` or `one-time-link`; none when the answer has none.
        :param resource_id: the object whose they are.
        """
        if self.deliver is not None and secrets:
            self.deliver({"id": resource_id, **secrets})
        elif secrets:
            self.log.info("Not delivered, since nobody takes it: %s", ", ".join(secrets))

    def _read_all(self, hook: PersonaHook, entry: Operation, request: Request, about: str) -> Any:
        pages = 0

        def resources() -> Iterator[Mapping[str, Any]]:
            nonlocal pages
            count = 0
            for page in hook.client.pages(request):
                pages += 1
                count += len(page)
                if count > self.max_items:
                    raise BadCallError(
                        f"{entry.operation_id} finds more than {self.max_items} objects; narrow it with filters, raise "
                        "max_items, or write them to an object store or a table instead of XCom"
                    )
                take_secrets({"data": page}, entry)
                yield from page
            self.log.info("%s %s: %d objects on %d pages", entry.operation_id, about, count, pages)

        return result_of_many(resources(), self.result)

    def _fetch(self, hook: PersonaHook, entry: Operation, request: Request, about: str) -> dict[str, Any]:
        from airflow_provider_persona.operators.files import fetch_file

        if not self.output_path:
            raise BadCallError(f"{entry.operation_id} answers with a file; give output_path")
        name = unquote(request.path.removesuffix("/print").rpartition("/")[2])
        got = fetch_file(hook, request, self.output_path, max_bytes=self.max_bytes, name=name)
        self.log.info("%s %s: %s, %d bytes", entry.operation_id, about, got["uri"], got["size"])
        return got


class PersonaOperator(PersonaCallOperator):
    """Calls any operation of Persona's API.

    The operation, the values of path parameters and the required body keys are checked when the Dag is parsed, where
    they stand in the Dag; what comes from other tasks or templates is checked when the task runs. What `query` and
    `body` render to is not kept by Airflow, because it may hold personal data; of `path`, ids are, and tokens and
    names of files are not.

    Example: `PersonaOperator(task_id="unlock", operation_id="investigation-unlock-a-verification",
    path={"verification-id": "{{ params.verification }}"})`

    :param operation_id: Persona's name of the operation, like `set-status-for-a-case`.
    :param path: a value for each path parameter, like `{"case-id": "case_…"}`.
    :param query: query parameters, like `{"filter[status]": "Open"}`; lists are joined with commas.
    :param body: the JSON body.
    :param output_path: where a file that is the answer goes: a local path or an address in an object store, with a
        slash at its end a folder, in which it is called as in the path. The task then returns `uri`, `size` in bytes
        and `content_type`, whatever `result`; give a whole path where a file's own name may be personal.
    :param max_bytes: bytes that such a file may have at most.
    :param max_items: objects that a list may have at most; with more the task fails. All pages are read.

    The other parameters are those of `PersonaCallOperator`.
    """

    template_fields: Sequence[str] = ("path", "query", "body", "output_path", *PersonaCallOperator.template_fields)
    path = PathTemplate()
    query = PrivateTemplate()
    body = PrivateTemplate()

    def __init__(
        self,
        *,
        operation_id: str,
        path: Mapping[str, Any] | None = None,
        query: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
        output_path: str | None = None,
        max_bytes: int = MAX_BYTES,
        max_items: int = 10_000,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_call(operation_id, path, query, body)
        entry = operation(operation_id)
        if entry.answer is AnswerKind.FILE and output_path is None:
            raise BadCallError(f"{operation_id} answers with a file; give output_path")
        if self.deliver is not None and not entry.secrets:
            raise BadCallError(f"{operation_id} answers with no secret, so there is nothing to deliver")
        if _NEW_KEY in entry.secrets and (self.deliver is None or names_secret(self.result, _NEW_KEY)):
            raise BadCallError(f"{operation_id} shows a new key once; it goes to deliver, and not into the result")
        self.operation_id = operation_id
        self.path = path
        self.query = query
        self.body = body
        self.output_path = output_path
        self.max_bytes = max_bytes
        self.max_items = max_items

    def calls(self) -> Sequence[Call]:
        """Return the one call."""
        path, query, body = (as_object(revealed(getattr(self, name)), name) for name in ("path", "query", "body"))
        return [Call(self.operation_id, path, query, body)]


@contextmanager
def _telling_what_a_refusal_means(entry: Operation) -> Iterator[None]:
    """Add to a 403 or 404 what the catalogue knows of the operation: it may not be there for this account or key."""
    from airflow_provider_persona.api.errors import PersonaNotFoundError, PersonaPermissionError, error_from_event

    try:
        yield
    except (PersonaPermissionError, PersonaNotFoundError) as error:
        is_forbidden = isinstance(error, PersonaPermissionError)
        known = [entry.withdrawn, entry.restricted if is_forbidden else None]
        told = " ".join(text for text in known if text)
        if not told:
            raise
        raise error_from_event({**error.to_event(), "message": f"{error}. {told}"}) from error
