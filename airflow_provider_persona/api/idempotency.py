"""Idempotency keys. The same call gets the same key in every attempt, until a new generation of the key is needed."""

from __future__ import annotations

import hashlib

from airflow_provider_persona.api.messages import Request


def idempotency_key(identity: str, request: Request, generation: int) -> str:
    """Return the idempotency key of a request.

    It is a hash, so nobody can read ids or personal data from it. The body is part of it, because Persona refuses a key
    that comes back with other parameters (docs.withpersona.com/idempotence).

    :param identity: names the call, such as run and row; a call that is made again has the same identity.
    :param request: the request.
    :param generation: 0 for the first key; one more each time that Persona must not replay a failure that it stored.
    """
    told = "\0".join((identity, request.method, request.target, str(generation), ""))
    return hashlib.sha256(told.encode() + (request.content() or b"")).hexdigest()[:40]
