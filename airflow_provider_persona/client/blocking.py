"""`PersonaClient`: calls to Persona on one pooled `requests` session.

What an outcome means and when a request may go out is decided on floor 1; this module sends, waits and reads.
"""

from __future__ import annotations

import logging
import random
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Self

from airflow_provider_persona.api.environment import EnvironmentGuard
from airflow_provider_persona.api.exchange import Exchange
from airflow_provider_persona.api.messages import FailurePoint, Outcome, Request, Response, TransportFailure
from airflow_provider_persona.api.operations import operation
from airflow_provider_persona.api.pagination import SeenPages, items_of, next_page
from airflow_provider_persona.api.rate_limit import Grant, Wait, WindowBudget
from airflow_provider_persona.api.retry import Done, RetryPolicy, SendAgain
from airflow_provider_persona.api.settings import PersonaSettings
from airflow_provider_persona.client.usage import Usage

if TYPE_CHECKING:
    import requests

log = logging.getLogger(__name__)

_CHUNK = 64 * 1024
_OTHER_THREAD = 0.02
_WORTH_A_LINE = 1.0


class PersonaClient:
    """A client of one environment of Persona, for one thread or several.

    :param settings: where and as whom.
    :param policy: attempts and delays.
    :param budget: the window budget; by default one with the settings' reserve.
    :param clock: a monotonic clock in seconds.
    :param sleep: waits so many seconds.
    :param chance: random numbers in [0, 1), for jitter.
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
    ) -> None:
        self.settings = settings
        self.policy = policy or RetryPolicy()
        self.budget = budget or WindowBudget(settings.reserve)
        self.usage = Usage()
        self.environment = EnvironmentGuard(settings.expected_environment_id)
        self._clock = clock
        self._sleep = sleep
        self._chance = chance
        self._lock = threading.Lock()
        self._session: requests.Session | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the pooled connections. The client can be used again; it then makes new ones."""
        if self._session is not None:
            self._session.close()
            self._session = None

    @property
    def session(self) -> requests.Session:
        """The one session of this client, made at the first call."""
        with self._lock:
            if self._session is None:
                self._session = new_session(self.settings)
            return self._session

    def call(
        self,
        operation_id: str,
        *,
        path: Mapping[str, str] | None = None,
        query: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
        identity: str | None = None,
    ) -> Response:
        """Make one call by the name of its operation. Parameters as for `Operation.bind` and `send`."""
        return self.send(operation(operation_id).bind(path, query, body), identity)

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
        :param identity: what makes this call the same when it is made again, for its idempotency key; by default every
            call is a new one.
        :param headers: further headers of this request; none can replace those that authenticate.
        :param timeout: seconds until the answer must have arrived; by default the settings' read timeout.
        :raises PersonaError: typed, when it did not succeed or its outcome is unknown.
        """
        question = self.environment.question_before(request)
        if question is not None:
            self.send(question)
            self.environment.require_known()
        exchange = Exchange(request, identity or uuid.uuid4().hex, self.policy, self._clock(), chance=self._chance)
        while True:
            outcome = self._try_once(exchange, headers or {}, timeout or self.settings.read_timeout)
            decision = exchange.conclude(outcome, self._clock())
            if isinstance(decision, Done):
                return decision.response
            if not isinstance(decision, SendAgain):
                raise decision.error
            self._before_sending_again(request, decision)

    def pages(self, request: Request) -> Iterator[list[Mapping[str, Any]]]:
        """Yield the resources of a list or search, page by page, until the last.

        :raises PersonaError: typed, also when a link leads elsewhere or back.
        """
        following: Request | None = request
        seen: SeenPages = set()
        while following is not None:
            page = self.send(following).json()
            yield items_of(following, page)
            following = next_page(following, page, seen)

    def _try_once(self, exchange: Exchange, headers: Mapping[str, str], timeout: float) -> Outcome:
        grant = self._wait_for_turn()
        self.usage.requests += 1
        try:
            outcome = self._transmit(exchange.request, exchange.idempotency_key, headers, timeout)
        except BaseException:  # a task's timeout, for one, is raised from a signal
            with self._lock:
                self.budget.lost(grant)
            raise
        with self._lock:
            self.usage.saw(outcome)
            if isinstance(outcome, Response):
                self.budget.answered(grant, outcome, self._clock())
            else:
                self.budget.lost(grant)
        if isinstance(outcome, Response):
            self.environment.check(outcome)
        return outcome

    def _wait_for_turn(self) -> Grant:
        while True:
            with self._lock:
                turn = self.budget.ask(self._clock())
            if isinstance(turn, Grant):
                return turn
            self._wait_for_window(turn)

    def _wait_for_window(self, wait: Wait) -> None:
        seconds = _OTHER_THREAD if wait.seconds is None else wait.seconds
        if seconds >= _WORTH_A_LINE:
            log.info(
                "Persona's window is used up (%s of %s are left to others); waiting %.1f s for the next",
                self.budget.reserved,
                self.budget.limit,
                seconds,
            )
        self.usage.waited += seconds
        self._sleep(seconds)

    def _before_sending_again(self, request: Request, decision: SendAgain) -> None:
        self.usage.retries += not decision.for_limit
        log.info(
            "%s: %s; sending again in %.1f s (attempt %d of %d)",
            request.operation_id,
            decision.because,
            decision.after,
            decision.attempt.number,
            self.policy.attempts,
        )
        self._sleep(decision.after)

    def _transmit(self, request: Request, key: str | None, headers: Mapping[str, str], timeout: float) -> Outcome:
        import requests
        import urllib3

        deadline = self._clock() + self.settings.connect_timeout + timeout
        try:
            with self.session.request(
                request.method,
                self.settings.host + request.target,
                data=request.content(),
                headers={**headers, **self.settings.headers(), **request.headers(key)},
                timeout=(self.settings.connect_timeout, timeout),
                verify=self.settings.verify,
                allow_redirects=False,
                stream=True,
            ) as answer:
                content = self._read(answer, deadline)
                return Response(answer.status_code, dict(answer.headers), content)
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            return _failure(error)

    def _read(self, answer: requests.Response, deadline: float) -> bytes:
        """Read the whole body in time; the timeout of `requests` alone would let each byte take as long."""
        chunks = []
        while chunk := answer.raw.read1(_CHUNK, decode_content=True):
            chunks.append(chunk)
            if self._clock() > deadline:
                raise TimeoutError("no full answer in time")
        return b"".join(chunks)


def new_session(settings: PersonaSettings) -> requests.Session:
    """Return a session that authenticates and follows no redirect."""
    import requests

    class BearerAuth(requests.auth.AuthBase):
        """Sets the header as the session's auth, since a netrc entry for the host would replace a plain header."""

        def __call__(self, prepared: requests.PreparedRequest) -> requests.PreparedRequest:
            prepared.headers["Authorization"] = settings.authorization()
            return prepared

    class Session(requests.Session):
        """Follows no redirect, whoever uses it, and hands it over as the answer that it is."""

        def get_redirect_target(self, resp: requests.Response) -> None:  # noqa: ARG002 - the parent's parameter
            return None

    session = Session()
    session.auth = BearerAuth()
    session.headers["User-Agent"] = "airflow-provider-persona"
    if settings.proxies:
        session.proxies.update(settings.proxies)
    return session


def _failure(error: Exception) -> TransportFailure:
    """Say how far a request came; exceptions' texts hold addresses and are left out."""
    import requests
    import urllib3

    reason: Any = error.args[0] if error.args else None
    cause = getattr(reason, "reason", reason)
    before = (
        urllib3.exceptions.NewConnectionError,
        urllib3.exceptions.ConnectTimeoutError,
        urllib3.exceptions.SSLError,
        urllib3.exceptions.ProxyError,
    )
    if isinstance(error, requests.ConnectTimeout | requests.exceptions.SSLError | requests.exceptions.ProxyError):
        return TransportFailure(FailurePoint.NOT_SENT, type(error).__name__)
    if isinstance(cause, before):
        return TransportFailure(FailurePoint.NOT_SENT, type(cause).__name__)
    if isinstance(error, requests.exceptions.InvalidURL | requests.exceptions.InvalidHeader):
        return TransportFailure(FailurePoint.NOT_SENT, type(error).__name__)
    name = type(cause).__name__ if isinstance(cause, Exception) else type(error).__name__
    return TransportFailure(FailurePoint.MAYBE_SENT, str(error) if type(error) is TimeoutError else name)
