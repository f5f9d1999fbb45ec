"""The keys of the environment: those that it was configured with, and those that were made through the API."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from persona_simulator.config import ApiKey
from persona_simulator.problems import RefusedError
from persona_simulator.resources.holdings import Holdings

_CLAIM: Final = "generate-a-relay-claim"
_PASS: Final = b"PrivateToken token="


class KeyRing:
    """Every key that may be used.

    :param keys: those of the configuration.
    :param holdings: where keys are that were made through the API.
    """

    def __init__(self, keys: Iterable[ApiKey], holdings: Holdings) -> None:
        self._keys = {key.secret: key for key in keys}
        self._holdings = holdings

    def key_of(self, headers: Mapping[bytes, bytes], now: float, operation: str | None = None) -> ApiKey:
        """Return the key that a request carries, or what stands for one where a privacy pass takes its place.

        :raises RefusedError: 401 when there is none, or one that is not known or has ended.
        """
        if operation == _CLAIM:
            return _holder_of_pass(headers)
        scheme, _, secret = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
        if scheme.lower() != "bearer" or not secret:
            raise RefusedError(401, "Must be authenticated to access this endpoint")
        key = self._keys.get(secret.strip()) or self._made(secret.strip(), now)
        if key is None:
            raise RefusedError(401, "Token is invalid")
        return key

    def kind_of(self, headers: Mapping[bytes, bytes], now: float, operation: str | None = None) -> str:
        """Return what the log calls the key of a request, `unknown` or `missing` when it has none that is good."""
        try:
            return self.key_of(headers, now, operation).kind
        except RefusedError:
            return "unknown" if b"authorization" in headers else "missing"

    def _made(self, secret: str, now: float) -> ApiKey | None:
        ends = self._holdings.key_ends.get(secret)
        return None if ends is not None and ends <= now else self._holdings.keys.get(secret)


def _holder_of_pass(headers: Mapping[bytes, bytes]) -> ApiKey:
    """Return the key that stands for a privacy pass: it knows nobody, so it may do nothing else."""
    given = headers.get(b"authorization", b"")
    if not given.startswith(_PASS) or given == _PASS:
        raise RefusedError(401, "Privacy Pass token required", "Request a challenge to obtain a token")
    return ApiKey("", "privacy-pass", "privacy-pass", frozenset())
