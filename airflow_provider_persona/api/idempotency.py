"""Idempotency keys: the same for the same intent, another for each generation, telling nothing about either."""

from __future__ import annotations

import hashlib

from airflow_provider_persona.api.messages import Request, canonical_json


def idempotency_key(identity: str, request: Request, generation: int) -> str:
    """Return the key under which `request` is sent.

    A hash, so that neither ids nor personal data can be read from it. The payload is part of it, because Persona
    refuses a key that comes back with other parameters (docs.withpersona.com/idempotence).

    :param identity: what makes this call the same call when it is made again: run and row.
    :param request: the request.
    :param generation: 0 for the first, one more each time that a kept failure must not be replayed.
    """
    digest = hashlib.sha256()
    for part in (identity, request.method, request.path, str(generation)):
        digest.update(part.encode())
        digest.update(b"\0")
    digest.update(canonical_json([request.query, request.body]))
    return digest.hexdigest()[:40]
