"""The base of all operators that make single calls, by the names of Persona's operations.

What a call sends may be personal data, and so may what it answers. So Airflow keeps no rendered value that may be
personal, and a task returns only what its `result` names, by default the object's id.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import unquote

from airflow_provider_persona.api.answers import AnswerKind
from airflow_provider_persona.api.dashboard import address_of_id
from airflow_provider_persona.api.operations import BadCallError, Operation, operation
from airflow_provider_persona.hooks.form import DEFAULT_CONN_ID
from airflow_provider_persona.links import PersonaObjectLink
from airflow_provider_persona.tasks.airflow_arguments import TypedOperator
from airflow_provider_persona.tasks.answers import (
    Result,
    check_result,
    result_of_many,
    result_of_one,
    secret_texts,
    take_secrets,
)
from airflow_provider_persona.tasks.argument_rules import Rule
from airflow_provider_persona.tasks.arguments import Text, is_given
from airflow_provider_persona.tasks.call_arguments import (
    DeclaresArguments,
    body_of,
    check_once,
    parts_of,
    path_of,
)
from airflow_provider_persona.tasks.call_checks import Call, check_call, known
from airflow_provider_persona.tasks.declared_arguments import Argument, argument, given_to, values_of
from airflow_provider_persona.tasks.failure import fail_without_retry
from airflow_provider_persona.tasks.lineage import TaskDeed, kind_of_operation
from airflow_provider_persona.tasks.new_secrets import Deliver
from airflow_provider_persona.tasks.openlineage import tell_openlineage
from airflow_provider_persona.tasks.stopping import end_task, stop_of

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_persona.api.messages import Request, Response
    from airflow_provider_persona.hooks.persona import PersonaHook

_RESULT_DOC = """what goes to XCom: `id`; `attributes`; `none`; `body`, the whole answer, which may be personal data; a
    list of names like `["status", "fields.risk-score"]`, of attributes or from the answer's top (`id`, `type`,
    `relationships.…`, `meta.…`), which is where all names of an answer without an object are; or a function, called
    with the object. Of a list of objects it is a list of the same, and a function is called with the list. Secrets are
    in it only where the list names them."""


class PersonaCallOperator(TypedOperator, metaclass=DeclaresArguments):
    """Base of the operators that make calls by the names of Persona's operations.

    A subclass says in its body which operation it calls and which arguments it takes, one a line, as in
    `call_arguments`. Where the arguments alone do not make the call, it overrides `calls_of`.

    Calls that must not be done twice, creations above all, carry the same idempotency key in every try that Airflow
    makes by itself, so that a retry within the hour gets Persona's answer to the first try instead of creating twice.
    A later retry sends nothing. Clearing the task does it anew. When it is unknown whether Persona did it, the task
    fails for good.
    """

    if TYPE_CHECKING:
        operation_id: str = argument("the operation of the catalogue; a subclass says it.", init=False)
    arguments: ClassVar[Mapping[str, Argument]]
    rules: ClassVar[Sequence[Rule]] = ()
    ui_color = "#dce6ff"
    operator_extra_links = (PersonaObjectLink(),)
    on_kill = end_task
    get_openlineage_facets_on_complete = tell_openlineage
    deed: TaskDeed | None = None

    result: Result = argument(_RESULT_DOC, default="id", is_template=False)
    deliver: Deliver | None = argument(
        "called with a mapping of the answer's secrets and `id` before the task ends, to put them where they belong. "
        "It may be called again, with the same, when the task is tried again.",
        default=None,
        is_template=False,
    )
    persona_conn_id: Text = argument("connection of type `persona`.", default=DEFAULT_CONN_ID)

    def calls(self) -> Sequence[Call]:
        """Return the calls to make, in order; the task returns what the last answers.

        :raises BadCallError: when an argument is not of its kind.
        """
        return self.calls_of(self.values())

    def calls_of(self, values: Mapping[str, Any]) -> Sequence[Call]:
        """Return the calls that some values of the arguments make.

        This runs when the Dag is parsed too, so it must neither read files nor connect.

        :param values: by name, `NotYetKnown` where a value is not known before the task runs.
        """
        return [self.call_of(values)]

    def call_of(self, values: Mapping[str, Any], operation_id: str | None = None) -> Call:
        """Return one call with the arguments where they were declared to go.

        :param values: by name.
        :param operation_id: the operation; by default the class's.
        """
        declared = self.arguments.values()
        parts = {"path": path_of(declared, values), "body": body_of(declared, values), **parts_of(declared, values)}
        return Call(operation_id or self.operation_id, **parts)

    def values(self) -> dict[str, Any]:
        """Return what the arguments mean, by name.

        :raises BadCallError: when one is not of its kind.
        """
        return values_of(self)

    def known_values(self) -> dict[str, Any]:
        """Return what the arguments mean as far as it is known when the Dag is parsed.

        :raises BadCallError: when one is not of its kind.
        """
        return {
            name: each.read(known(getattr(self, name)) if each.is_template else getattr(self, name))
            for name, each in self.arguments.items()
        }

    def check_arguments(self) -> None:
        """Check what stands in the Dag.

        :raises BadCallError: when the call cannot be made, naming what is missing or wrong.
        """
        check_result(self.result, self.task_id)
        given = given_to(self)
        values = self.known_values()
        for problem in filter(None, (rule(given) for rule in self.rules)):
            raise BadCallError(f"{self.task_id}: {problem}")
        for call in self.calls_of(values):
            check_call(call)

    def execute(self, context: Context) -> Any:
        """Make the calls, and return what `result` names of the last answer.

        :raises AirflowFailException: when it cannot be done and a retry would not help, or could do it twice.
        :raises PersonaError: when a retry may help.
        """
        from urllib.parse import urlsplit

        from airflow_provider_persona.client.wire_log import hide_queries

        answer = None
        stop = stop_of(self)
        with stop.heeded(), fail_without_retry():
            check_once(self)
            # All calls are bound before the first is sent: a task does not stop half-way for a missing argument.
            bound = [(entry := operation(call.operation_id), _request(entry, call), call) for call in self.calls()]
            with self.hook() as hook:
                hide_queries(urlsplit(hook.settings.host).hostname or "")
                stop.hold(hook.client)
                ids = [value for *_, call in bound for value in (call.path or {}).values()]
                self._link_to(ids, hook, context)  # before the call, so that it is there when that fails
                for entry, request, call in bound:
                    with _explained_refusals(entry):
                        answer = self._perform(hook, entry, request, call, context)
                    seen = hook.client.environment.seen
                    self.deed = TaskDeed(kind_of_operation(entry.operation_id), seen, wrote=not entry.only_reads)
                if not bound:
                    self.log.info("Nothing to do")
                    answer = self._unchanged_id()
        return answer

    def hook(self) -> PersonaHook:
        """Return the hook to call with; override it for other attempts and delays, or another share of the limit."""
        from airflow_provider_persona.hooks.persona import PersonaHook

        return PersonaHook(self.persona_conn_id)  # type: ignore[arg-type] # rendered by now

    def result_of(self, entry: Operation, response: Response) -> Any:
        """Return what `result` names of one answer, after its secrets are where they belong."""
        body = response.json()
        if entry.secrets:
            from airflow_provider_persona.version_compat import mask_secret

            secrets, data = take_secrets(body, entry, self.result), body.get("data")
            # Masked before anybody gets them: `deliver` is the user's, and may log or raise what it was given.
            for text in secret_texts(secrets):
                mask_secret(text)
            self._hand_over_safely(secrets, data.get("id") if isinstance(data, Mapping) else None)
        return result_of_one(body, entry, self.result)

    def hand_over(self, secrets: Mapping[str, Any], resource_id: str | None) -> None:
        """Put the secrets of an answer where they belong.

        :param secrets: by name, like `value` or `one-time-link`; none when the answer has none.
        :param resource_id: the object that they belong to.
        """
        if self.deliver is not None and secrets:
            self.deliver({"id": resource_id, **secrets})
        elif secrets:
            self.log.info("Not delivered, since nobody takes it: %s", ", ".join(secrets))

    def _unchanged_id(self) -> Any:
        """Return the id of the object that no call was needed for, where the result is an id."""
        ids = path_of(self.arguments.values(), self.values()).values()
        return next(iter(ids), None) if self.result == "id" else None

    def _hand_over_safely(self, secrets: Mapping[str, Any], resource_id: str | None) -> None:
        """Hand over, and let no failure end the task for good: only its retries can get the same secrets again."""
        from airflow_provider_persona.api.errors import PersonaAnswerError

        try:
            self.hand_over(secrets, resource_id)
        except PersonaAnswerError:  # there was no secret to deliver
            raise
        except Exception as error:  # the user's function, or Airflow's database behind a Variable
            raise RuntimeError(
                f"the secret of {resource_id} could not be delivered ({type(error).__name__}); a retry within the hour "
                f"gets it again. When none follows, look after {resource_id} before clearing this task"
            ) from error

    def _perform(self, hook: PersonaHook, entry: Operation, request: Request, call: Call, context: Context) -> Any:
        from airflow_provider_persona.tasks.sending import send_for_task

        about = " ".join(value for name, value in (call.path or {}).items() if name.endswith("-id"))
        if entry.answer is AnswerKind.COLLECTION:
            return self._read_all(hook, request, call, about)
        if entry.answer is AnswerKind.FILE:
            return self._fetch(hook, request, call, about)
        stop = stop_of(self)
        # Up to the end of the block, which hands over what no later answer shows: a new key, a link.
        with nullcontext() if entry.only_reads else stop.finishing(entry.operation_id):
            response = send_for_task(hook.client, request, context, self.retries or 0)
            self.log.info("%s %s: status %s, %s", entry.operation_id, about, response.status, response.request_id)
            if response.status == 204:  # done, and the answer has no content
                return request.about if self.result == "id" else None
            if not call.path and entry.answer is not AnswerKind.PLAIN:
                made = response.json().get("data")
                self._link_to([made.get("id")] if isinstance(made, Mapping) else [], hook, context)
            return self.result_of(entry, response)

    def _link_to(self, ids: Iterable[Any], hook: PersonaHook, context: Context) -> None:
        """Let the task's page lead to the first of some objects that has a page in Persona's dashboard."""
        found = (address_of_id(each, hook.settings.dashboard_url) for each in ids)
        PersonaObjectLink.push(context, next(filter(None, found), None))

    def _read_all(self, hook: PersonaHook, request: Request, call: Call, about: str) -> Any:
        entry = operation(call.operation_id)
        pages = 0

        def resources() -> Iterator[Mapping[str, Any]]:
            nonlocal pages
            count = 0
            for page in hook.client.pages(request):
                pages += 1
                count += len(page)
                if count > call.max_items:
                    raise BadCallError(
                        f"{entry.operation_id} finds more than {call.max_items} objects; narrow it with filters, raise "
                        "max_items, or write them to an object store or a table instead of XCom"
                    )
                take_secrets({"data": page}, entry)  # also for a result of `body`: XCom is no place for them
                yield from page
            self.log.info("%s %s: %d objects on %d pages", entry.operation_id, about, count, pages)

        return result_of_many(resources(), self.result)

    def _fetch(self, hook: PersonaHook, request: Request, call: Call, about: str) -> dict[str, Any]:
        from airflow_provider_persona.tasks.files import fetch_file

        if not is_given(call.output_path):  # a template may have rendered to nothing
            raise BadCallError(f"{call.operation_id} answers with a file; give output_path")
        # `path_segment` has refused slashes and `..`, so the name stays in the folder that it is put into.
        name = unquote(request.path.removesuffix("/print").rpartition("/")[2])
        got = fetch_file(hook, request, call.output_path, max_bytes=call.max_bytes, name=name)
        self.log.info("%s %s: %s, %d bytes", call.operation_id, about, got["uri"], got["size"])
        return got


def _request(entry: Operation, call: Call) -> Request:
    query = call.query
    # A search may bring its page in the body; Persona must not get two sizes.
    if entry.paged and "page[size]" in entry.query and "page" not in (call.body or ()):
        query = {"page[size]": 100, **(query or {})}
    return entry.bind(call.path, query, call.body, call.headers)


@contextmanager
def _explained_refusals(entry: Operation) -> Iterator[None]:
    """Add to a 403 or 404 what the catalogue knows of the operation: it may not be there for this account or key."""
    from airflow_provider_persona.api.errors import PersonaNotFoundError, PersonaPermissionError, error_from_event

    try:
        yield
    except (PersonaPermissionError, PersonaNotFoundError) as error:
        is_forbidden = isinstance(error, PersonaPermissionError)
        reasons = [entry.withdrawn, entry.restricted if is_forbidden else None]
        added = " ".join(text for text in reasons if text)
        if not added:
            raise
        raise error_from_event({**error.to_event(), "message": f"{error}. {added}"}) from error
