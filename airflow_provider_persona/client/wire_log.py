"""Keeps queries and names of files out of the log of the wire: `urllib3` writes each address at the level DEBUG.

A query may hold a reference id or an e-mail address. A link to a file holds the token that opens it, and often a name.
"""

from __future__ import annotations

import logging
from functools import cache
from typing import Final

from airflow_provider_persona.api.messages import API_PREFIX

_WIRE: Final = "urllib3.connectionpool"
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
        if isinstance(args, tuple) and len(args) == _PARTS_OF_A_REQUEST and args[1] in self.hosts:
            record.args = (*args[:4], _shown(str(args[4])), *args[5:])
        return True


def _shown(target: str) -> str:
    path, _, query = target.partition("?")
    return "/(a file)" if "access_token=" in query or path.startswith(_FILES) else path


@cache
def _installed() -> _WithoutQuery:
    without_query = _WithoutQuery()
    logging.getLogger(_WIRE).addFilter(without_query)
    return without_query


def hide_queries(host: str) -> None:
    """Keep the queries of requests to a host out of the log, from now on.

    :param host: its name, as it stands in addresses.
    """
    _installed().hosts.add(host.lower())
