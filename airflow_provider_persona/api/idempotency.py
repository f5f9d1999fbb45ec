"""Idempotency keys: the same for the same intent, another for each generation, telling nothing about either."""

from __future__ import annotations

import hashlib

from airflow_provider_persona.api.messages import Request


def idempotency_key(identity: str, request: Request, generation: int) -> str:
    """Return the key under which `request` is sent.

    A hash, so that neither ids nor personal data can be read from it. The payload is part of it, because Persona
    refuses a key that comes back with other parameters (docs.withpersona.com/idempotence).

    :param identity: what makes this call the same call when it is made again: run and row.
    :param request: the request.
    :param generation: 0 for the first, one more each time that a kept failure must not be replayed.
    """
    told = "\0".join((identity, request.method, request.target, str(generation), ""))
    return hashlib.sha256(told.encode() + (request.content() or b"")).hexdigest()[:40]
