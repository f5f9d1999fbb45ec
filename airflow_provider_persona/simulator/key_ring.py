"""The keys of the environment: those that it was configured with, and those that were made through the API."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from airflow_provider_persona.simulator.config import ApiKey
from airflow_provider_persona.simulator.problems import RefusedError
from airflow_provider_persona.simulator.resources.holdings import Holdings


class KeyRing:
    """Every key that may be used.

    :param keys: those of the configuration.
    :param holdings: where keys are that were made through the API.
    """

    def __init__(self, keys: Iterable[ApiKey], holdings: Holdings) -> None:
        self._keys = {key.secret: key for key in keys}
        self._holdings = holdings

    def key_of(self, headers: Mapping[bytes, bytes], now: float) -> ApiKey:
        """Return the key that a request carries.

        :raises RefusedError: 401 when there is none, or one that is not known or has ended.
        """
        scheme, _, secret = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
        if scheme.lower() != "bearer" or not secret:
            raise RefusedError(401, "Must be authenticated to access this endpoint")
        key = self._keys.get(secret.strip()) or self._made(secret.strip(), now)
        if key is None:
            raise RefusedError(401, "Token is invalid")
        return key

    def kind_of(self, headers: Mapping[bytes, bytes], now: float) -> str:
        """Return what the log calls the key of a request, `unknown` or `missing` when it has none that is good."""
        try:
            return self.key_of(headers, now).kind
        except RefusedError:
            return "unknown" if b"authorization" in headers else "missing"

    def _made(self, secret: str, now: float) -> ApiKey | None:
        ends = self._holdings.key_ends.get(secret)
        return None if ends is not None and ends <= now else self._holdings.keys.get(secret)
