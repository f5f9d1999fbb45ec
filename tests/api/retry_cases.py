"""Requests, outcomes and their meaning in a few words, for the tests of `decide`."""

from __future__ import annotations

import json
from dataclasses import replace

from airflow_provider_persona.api.messages import FailurePoint, Request, Response, TransportFailure
from airflow_provider_persona.api.retry import NO_RETRIES, Attempt, Done, RetryPolicy, SendAgain, Unresolved, decide

READ = Request("retrieve-case", "GET", "/api/v1/cases/c")
MOVE = Request("set-status-for-a-case", "POST", "/api/v1/cases/c/set-status", body={"meta": {"status": "Open"}})
PATCH = Request("update-a-case", "PATCH", "/api/v1/cases/c", body={"data": {}})
CREATE = Request(
    "create-a-case", "POST", "/api/v1/cases", body={"data": {}}, success=frozenset({201}), repeatable=False
)
ATTACH = replace(PATCH, repeatable=False)
FILE = replace(READ, operation_id="a-file", binary=True)

POLICY = RetryPolicy()
UNSENT = TransportFailure(FailurePoint.NOT_SENT, "refused")
SILENT = TransportFailure(FailurePoint.MAYBE_SENT, "reset")


def answer(status, title=None, details=None, *, body=None, **headers):
    problem = {"title": title or "x", **({"details": details} if details else {})}
    content = json.dumps({"errors": [problem]}).encode() if body is None else body
    return Response(status, {name.replace("_", "-"): value for name, value in headers.items()}, content)


def ok(status=200, body=b'{"data": {}}'):
    return Response(status, {}, body)


def after(request, outcome, attempt=None, now=10.0, policy=POLICY):
    """Return the decision in a few words: `same key`, `next key`, `done`, `unresolved`, or the class of the error."""
    attempt = attempt or Attempt(key_born=0.0)
    decision = decide(request, outcome, attempt, now, policy)
    if isinstance(decision, SendAgain):
        if decision.for_limit:
            waited = attempt.throttled_for + decision.after
            assert decision.attempt == replace(attempt, throttled=attempt.throttled + 1, throttled_for=waited)
            return f"wait {decision.after:g}"
        assert decision.attempt.number == attempt.number + 1
        return "next key" if decision.attempt.generation == attempt.generation + 1 else "same key"
    if isinstance(decision, Done):
        return "done"
    return "unresolved" if isinstance(decision, Unresolved) else type(decision.error)


def error_of(request, outcome, attempt=None, policy=NO_RETRIES):
    decision = decide(request, outcome, attempt or Attempt(key_born=0.0), 10.0, policy)
    return decision.error
