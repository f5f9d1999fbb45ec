"""Sends requests with `requests`, for the blocking client. Imported at the first call only."""

from __future__ import annotations

import requests
import urllib3

from airflow_provider_persona.api.messages import FailurePoint, Outcome, Response, TransportFailure
from airflow_provider_persona.api.settings import PersonaSettings
from airflow_provider_persona.client.answer_body import ACCEPTED, AnswerBody, UnusableBodyError, receive
from airflow_provider_persona.client.session import Session
from airflow_provider_persona.client.transport import Sending, reason_of
from airflow_provider_persona.client.wire import Wire, on_wire
from airflow_provider_persona.client.wire_log import without_queries


class RequestsTransport:
    """Sends requests on one pooled session.

    :param settings: settings of the connection.
    """

    def __init__(self, settings: PersonaSettings) -> None:
        self._settings = settings
        self.session = Session(settings)

    def close(self) -> None:
        """Close the connections. The transport can be used again."""
        self.session.close()

    def transmit(self, sending: Sending) -> Outcome:
        """Send a request once, and return its answer or how far it came."""
        request = sending.request
        with without_queries(), on_wire(sending.connect_timeout + sending.read_timeout) as wire:
            try:
                with self.session.request(
                    request.method,
                    self._settings.host + request.target,
                    data=request.content(),
                    # The last one wins. The caller's come first, so that they replace no header of the settings.
                    headers={
                        **sending.headers,
                        **ACCEPTED,
                        **self._settings.headers(),
                        **request.headers(sending.key),
                        **self.headers_for(sending),
                    },
                    auth=_unchanged if request.brings_own_login else None,
                    timeout=(sending.connect_timeout, sending.read_timeout),
                    allow_redirects=False,
                    stream=True,  # else `requests` reads and unpacks the whole body before anybody can count it
                ) as answer:
                    return self.received(answer, sending, wire)
            except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
                point = FailurePoint.MAYBE_SENT if wire.is_written else FailurePoint.NOT_SENT
                return TransportFailure(point, reason_of(error))

    def headers_for(self, sending: Sending) -> dict[str, str]:  # noqa: ARG002 - `file_client.py` needs it
        """Return headers that depend on how the answer is read."""
        return {}

    def received(self, answer: requests.Response, sending: Sending, wire: Wire) -> Response:
        """Read an answer in full."""
        headers = dict(answer.headers)
        try:
            body = AnswerBody(headers.get("Content-Encoding"), is_file=sending.request.binary)
            receive(answer, body, wire)
            return Response(answer.status_code, headers, body.content())
        except UnusableBodyError as error:
            return Response(answer.status_code, headers, damage=f"it {error}")


def _unchanged(prepared: requests.PreparedRequest) -> requests.PreparedRequest:
    """Stand in for the session's auth, which would put the API key in the place of the request's own login."""
    return prepared
