"""Answers kept under idempotency keys, and what a second request with the same key gets."""

from __future__ import annotations

import json
from collections import OrderedDict
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class KeyState(StrEnum):
    """What the store knows about the key of a request."""

    FRESH = "fresh"
    IN_PROGRESS = "in_progress"
    KEPT = "kept"
    OTHER_REQUEST = "other_request"


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """The first answer under a key.

    :param status: its HTTP status.
    :param body: its body, as it was sent or should have been.
    :param request_id: the request that was answered; a replay makes no new one.
    """

    status: int
    body: bytes
    request_id: str


@dataclass(slots=True)
class _Entry:
    target: str
    body: bytes
    begun_at: float
    answer: KeptAnswer | None = None


class IdempotencyStore:
    """Keeps the first answer of every key for a while.

    :param ttl: seconds for which an answer is kept.
    """

    def __init__(self, ttl: float) -> None:
        self.ttl = ttl
        self._entries: OrderedDict[str, _Entry] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def look_up(self, key: str, target: str, body: bytes, now: float) -> tuple[KeyState, KeptAnswer | None]:
        """Say what a request under `key` gets.

        :param target: method, path and query, as one text.
        :param body: the body as sent.
        :param now: the present, in seconds.
        """
        self._forget(now)
        entry = self._entries.get(key)
        if entry is None:
            return KeyState.FRESH, None
        if entry.target != target or not _same_parameters(entry.body, body):
            return KeyState.OTHER_REQUEST, None
        return (KeyState.IN_PROGRESS if entry.answer is None else KeyState.KEPT), entry.answer

    def begin(self, key: str, target: str, body: bytes, now: float) -> None:
        """Note that a request under `key` is being worked on."""
        self._entries[key] = _Entry(target, body, now)

    def keep(self, key: str, answer: KeptAnswer) -> None:
        """Keep the answer of the request begun under `key`."""
        if entry := self._entries.get(key):
            entry.answer = answer

    def _forget(self, now: float) -> None:
        while self._entries:
            oldest = next(iter(self._entries.values()))
            if now - oldest.begun_at < self.ttl:
                return
            self._entries.popitem(last=False)


def _same_parameters(first: bytes, second: bytes) -> bool:
    return first == second or _parsed(first) == _parsed(second)


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body or b"null")
    except ValueError:
        return body
