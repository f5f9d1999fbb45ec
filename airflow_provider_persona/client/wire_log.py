"""Keeps queries and names of files out of the log of `urllib3`.

`urllib3` writes each address at the level DEBUG, and again at WARNING when an answer's headers are malformed. A query
may hold a reference id or an e-mail address. A link to a file holds the token that opens it, and often a name. So does
the path of a relay.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Final
from urllib.parse import urlsplit

from airflow_provider_persona.api.messages import API_PREFIX

_LOGGERS: Final = ("urllib3.connectionpool", "urllib3.connection", "urllib3.util.retry")
_FILES: Final = f"{API_PREFIX}/files/"
_RELAYS: Final = "/api/privacy/v1/relays/"
_NO_WORD_OR_ID: Final = re.compile(r"[^\w.:~-]", re.ASCII)
"""What neither Persona's paths nor its ids hold, but e-mail addresses and names do."""

_ADDRESS: Final = re.compile(r"^[a-z]+://\S+$", re.IGNORECASE)

_is_ours: ContextVar[bool] = ContextVar("persona_wire_log", default=False)


class _WithoutQuery(logging.Filter):
    """Cuts the query off addresses in records about our requests. Other records stay as they are."""

    def __init__(self) -> None:
        super().__init__()
        self.hosts: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        args = record.args
        if isinstance(args, tuple) and (_is_ours.get() or any(map(self._names_host, args))):
            record.args = tuple(map(_cut, args))
            record.exc_info = record.exc_text = None  # its text may hold a part of the answer
        return True

    def _names_host(self, arg: object) -> bool:
        """Whether it is one of the hosts, or an address there. Through a proxy a target is a whole address."""
        if not isinstance(arg, str):
            return False
        if "://" not in arg:
            return arg.lower() in self.hosts
        return any(self._is_known(address) for address in _addresses(arg))

    def _is_known(self, address: str) -> bool:
        try:
            return urlsplit(address).hostname in self.hosts
        except ValueError:
            return True  # nobody knows where it leads, so it is rather cut


def _addresses(text: str) -> list[str]:
    """Return the addresses in a text; `urllib3` writes a proxy's address before the target's."""
    return re.split(r"(?<=.)(?=https?://)", text)


def _cut(arg: object) -> object:
    if isinstance(arg, BaseException):
        return type(arg).__name__
    if not isinstance(arg, str):
        return arg
    if arg.startswith("/"):
        return shown_target(arg)
    if not _ADDRESS.match(arg):
        return arg.partition("?")[0]
    scheme, _, rest = _addresses(arg)[-1].partition("://")
    host, _, target = rest.partition("/")
    return f"{scheme}://{host}{shown_target(f'/{target}')}"


def shown_target(target: str) -> str:
    """Return a path for people: without its query, and without what could be a name, an address or a token."""
    path, _, query = target.partition("?")
    if "access_token=" in query or path.startswith(_FILES):
        return "/(a file)"
    if path.startswith(_RELAYS):
        return "/(a relay)"
    return "/".join("…" if _NO_WORD_OR_ID.search(segment) else segment for segment in path.split("/"))


@cache
def _installed() -> _WithoutQuery:
    without_query = _WithoutQuery()
    # A filter of a logger does not see the records of the loggers below it, so each is named.
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(without_query)
    return without_query


def hide_queries(host: str) -> None:
    """Keep the queries of requests to a host out of the log, from now on.

    :param host: its name, as it stands in addresses.
    """
    _installed().hosts.add(host.lower())


@contextmanager
def without_queries() -> Iterator[None]:
    """Keep the queries of all requests of this thread within the block out of the log, whatever host is named."""
    _installed()
    token = _is_ours.set(True)
    try:
        yield
    finally:
        _is_ours.reset(token)
