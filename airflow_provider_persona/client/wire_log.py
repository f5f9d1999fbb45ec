"""Keeps queries and names of files out of the log of the wire.

`urllib3` writes each address at the level DEBUG, and again at WARNING when an answer's headers are malformed.

A query may hold a reference id or an e-mail address. A link to a file holds the token that opens it, and often a name.
"""

from __future__ import annotations

import logging
from functools import cache
from typing import Final
from urllib.parse import urlsplit

from airflow_provider_persona.api.messages import API_PREFIX

_WIRE: Final = ("urllib3.connectionpool", "urllib3.connection")
_FILES: Final = f"{API_PREFIX}/files/"
_PARTS_OF_A_REQUEST: Final = 8
"""Scheme, host, port, method, target, HTTP version, status, length: how `urllib3` tells of a request."""


class _WithoutQuery(logging.Filter):
    """Cuts the query off the requests to some hosts; those to others are none of our business."""

    def __init__(self) -> None:
        super().__init__()
        self.hosts: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        args = record.args
        if not isinstance(args, tuple):
            return True
        if len(args) == _PARTS_OF_A_REQUEST and args[1] in self.hosts:
            record.args = (*args[:4], _shown(str(args[4])), *args[5:])
        elif any(map(self._is_address, args)):
            record.args = tuple(self._cut(arg) for arg in args)
            record.exc_info = record.exc_text = None  # its text may hold a part of the answer
        return True

    def _is_address(self, arg: object) -> bool:
        """Whether it is an address of one of the hosts, as `urllib3` puts into its complaints about an answer."""
        if not isinstance(arg, str) or "://" not in arg:
            return False
        try:
            return urlsplit(arg).hostname in self.hosts
        except ValueError:
            return True

    def _cut(self, arg: object) -> object:
        if isinstance(arg, BaseException):
            return type(arg).__name__
        if not isinstance(arg, str) or not self._is_address(arg):
            return arg
        scheme, _, rest = arg.partition("://")
        host, _, target = rest.partition("/")
        return f"{scheme}://{host}{_shown(f'/{target}')}"


def _shown(target: str) -> str:
    path, _, query = target.partition("?")
    return "/(a file)" if "access_token=" in query or path.startswith(_FILES) else path


@cache
def _installed() -> _WithoutQuery:
    without_query = _WithoutQuery()
    for name in _WIRE:
        logging.getLogger(name).addFilter(without_query)
    return without_query


def hide_queries(host: str) -> None:
    """Keep the queries of requests to a host out of the log, from now on.

    :param host: its name, as it stands in addresses.
    """
    _installed().hosts.add(host.lower())
