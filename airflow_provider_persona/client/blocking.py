"""`PersonaClient`: blocking calls to Persona. The request loop is in `conversation.py`."""

from __future__ import annotations

import random
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Self

from airflow_provider_persona.api.messages import Request, Response
from airflow_provider_persona.api.operations import operation
from airflow_provider_persona.api.pagination import SeenPages, items_of, next_page
from airflow_provider_persona.api.rate_limit import Grant, WindowBudget
from airflow_provider_persona.api.retry import RetryPolicy
from airflow_provider_persona.api.settings import PersonaSettings
from airflow_provider_persona.client.conversation import AwaitTurn, Client, Conversation, NotSent, Step
from airflow_provider_persona.client.transport import Sending, Transport

if TYPE_CHECKING:
    import requests

_OTHER_THREAD = 0.02
"""Seconds between two looks whether the answer that another thread waits for has come.

Nothing is waited for but the caller's own `sleep`, because that is what a task that must stop can end.
"""


class PersonaClient(Client):
    """A client of one environment of Persona, for one thread or several.

    :param settings: settings of the connection.
    :param policy: attempts and delays.
    :param budget: the window budget; by default one with the settings' reserve.
    :param clock: a monotonic clock in seconds.
    :param sleep: waits so many seconds.
    :param chance: gives random numbers in [0, 1), for jitter.
    :param transport: what sends the requests; by default a pooled `requests` session.
    """

    def __init__(
        self,
        settings: PersonaSettings,
        *,
        policy: RetryPolicy | None = None,
        budget: WindowBudget | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        chance: Callable[[], float] = random.random,
        transport: Transport | None = None,
    ) -> None:
        super().__init__(settings, policy=policy, budget=budget, clock=clock, chance=chance, lock=threading.Lock())
        self._sleep = sleep
        self._asking = threading.Lock()
        self._chosen_transport = transport

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the pooled connections. The client can be used again; it then makes new ones."""
        if self._chosen_transport is not None:
            self._chosen_transport.close()

    @property
    def session(self) -> requests.Session:
        """The pooled session, made at the first call.

        :raises TypeError: when another transport was given, which has none.
        """
        from airflow_provider_persona.client.requests_transport import RequestsTransport

        transport = self._transport
        if not isinstance(transport, RequestsTransport):
            raise TypeError("this client was given a transport that has no requests session")
        return transport.session

    def heed(self, stop: Callable[[], BaseException | None], sleep: Callable[[float], None]) -> None:
        """Send nothing once the caller must stop, and let the caller end the waits.

        :param stop: returns what is raised then instead of sending; None until then.
        :param sleep: waits so many seconds, or raises.
        """
        self._stop, self._sleep = stop, sleep

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
        """Make one call by the name of its operation. Parameters as for `Operation.bind` and `send`."""
        return self.send(operation(operation_id).bind(path, query, body, headers), identity)

    def send(
        self,
        request: Request,
        identity: str | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
    ) -> Response:
        """Send a request, again and after waiting where that is right, and return its successful answer.

        :param request: what to send.
        :param identity: names the call. Persona answers a second call with the same name within an hour with the
            stored answer, and changes nothing. By default each call is a new one.
        :param headers: further headers of this request; they never replace those of the settings.
        :param timeout: seconds until the answer must have arrived; by default the settings' read timeout.
        :raises PersonaError: typed, when it did not succeed or its outcome is unknown.
        """
        self._make_sure_of_environment(request)
        exchange = self.exchange(request, identity or uuid.uuid4().hex)
        response = self._drive(self._conversation(exchange, read_timeout=timeout or None, headers=headers or {}))
        assert isinstance(response, Response)
        return response

    def pages(self, request: Request) -> Iterator[list[Mapping[str, Any]]]:
        """Yield the resources of a list or search, page by page, until the last.

        :raises PersonaError: typed, also when a link leads back.
        """
        following: Request | None = request
        seen: SeenPages = set()
        while following is not None:
            page = self.send(following).json()
            yield items_of(following, page)
            following = next_page(following, page, seen)

    def _make_sure_of_environment(self, request: Request) -> None:
        """Ask which environment answers, once, before the first write that must not go to another one."""
        if self.environment.question_before(request) is None:
            return
        with self._asking:
            question = self.environment.question_before(request)  # once more: another thread may have asked meanwhile
            if question is not None:
                self.send(question)
                self.environment.require_known()

    def _drive(self, conversation: Conversation) -> Response | NotSent:
        """Do what a conversation asks for until it ends, and return its result."""
        answer: Any = None
        error: BaseException | None = None
        while True:
            try:
                step = conversation.send(answer) if error is None else conversation.throw(error)
            except StopIteration as end:
                result: Response | NotSent = end.value
                return result
            try:
                answer, error = self._do(step), None
            except BaseException as raised:  # noqa: BLE001 - the conversation gives its grant back, and raises it
                error = raised

    def _do(self, step: Step) -> Any:
        if isinstance(step, AwaitTurn):
            return self._wait_for_turn()
        if isinstance(step, Sending):
            return self._transport.transmit(step)
        return self._sleep(step.seconds)

    def _wait_for_turn(self) -> Grant:
        while True:
            turn = self._ask()
            if isinstance(turn, Grant):
                return turn
            seconds = _OTHER_THREAD if turn.for_answer else turn.seconds
            self._report_wait(seconds)
            self.usage.waited += seconds
            self._sleep(seconds)

    @property
    def _transport(self) -> Transport:
        with self._lock:  # two threads at their first call would make two sessions, and leave one open
            if self._chosen_transport is None:
                from airflow_provider_persona.client.requests_transport import RequestsTransport

                self._chosen_transport = RequestsTransport(self.settings)
            return self._chosen_transport
