"""`decide` as one table: what each outcome means for a creation, a repeatable write and a read."""

from __future__ import annotations

from dataclasses import replace

import pytest
from retry_cases import ATTACH, CREATE, FILE, MOVE, PATCH, POLICY, READ, SILENT, UNSENT, after, answer, ok

from airflow_provider_persona.api.errors import (
    PersonaAnswerError,
    PersonaAuthenticationError,
    PersonaConflictError,
    PersonaKeyPermissionError,
    PersonaNotFoundError,
    PersonaPermissionError,
    PersonaQuotaError,
    PersonaRateLimitError,
    PersonaServerError,
    PersonaTransportError,
    PersonaValidationError,
)
from airflow_provider_persona.api.exchange import Exchange
from airflow_provider_persona.api.messages import Request
from airflow_provider_persona.api.operations import operation
from airflow_provider_persona.api.retry import (
    KEY_GOOD_FOR,
    NO_RETRIES,
    SANE_WAIT,
    Attempt,
    Done,
    Failed,
    RetryPolicy,
    SendAgain,
    Unresolved,
    decide,
)

AUTH, DENIED, GONE, CLASH = (
    PersonaAuthenticationError, PersonaPermissionError, PersonaNotFoundError, PersonaConflictError
)  # fmt: skip
INVALID, ODD = PersonaValidationError, PersonaAnswerError
HTML = b"<html>upstream</html>"

TABLE = [
    # outcome,                        read,       repeatable POST, PATCH,     creation
    (ok(200),                         "done",     "done",       "done",       "done"),
    (ok(201),                         "done",     "done",       "done",       "done"),
    (ok(200, b"not json"),            "same key", "same key",   "same key",   "same key"),
    (ok(200, b"[1]"),                 "same key", "same key",   "same key",   "same key"),
    (ok(200, b""),                    "same key", "same key",   "same key",   "same key"),
    (ok(200, b"\xff\xfe"),            "same key", "same key",   "same key",   "same key"),
    (UNSENT,                          "same key", "same key",   "same key",   "same key"),
    (SILENT,                          "next key", "same key",   "next key",   "same key"),
    (answer(302, body=b""),           ODD,        ODD,          ODD,          ODD),
    (answer(400),                     INVALID,    INVALID,      INVALID,      INVALID),
    (answer(400, "Idempotency error"), INVALID,   INVALID,      INVALID,      INVALID),
    (answer(401),                     AUTH,       AUTH,         AUTH,         AUTH),
    (answer(403),                     DENIED,     DENIED,       DENIED,       DENIED),
    (answer(404),                     GONE,       GONE,         GONE,         GONE),
    (answer(408),                     "next key", "next key",   "next key",   "unresolved"),
    (answer(409, "Stale object error"), "next key", "next key", "next key",   CLASH),
    (answer(409, "Conflict"),         "next key", "next key",   "next key",   CLASH),
    (answer(409, "Record not unique"), CLASH,     CLASH,        CLASH,        CLASH),
    (answer(418),                     ODD,        ODD,          ODD,          ODD),
    (answer(422),                     INVALID,    INVALID,      INVALID,      INVALID),
    (answer(500),                     "next key", "next key",   "next key",   "unresolved"),
    (answer(501),                     "next key", "next key",   "next key",   "unresolved"),
    # What a firewall or a wrong host says proves nothing of a write, unless it says that it took nothing in.
    (answer(400, body=HTML),          INVALID,    "unresolved", "unresolved", "unresolved"),
    (answer(403, body=HTML),          DENIED,      "unresolved", "unresolved", "unresolved"),
    (answer(404, body=HTML),          ODD,        "unresolved", "unresolved", "unresolved"),
    (answer(409, body=HTML),          CLASH,      "unresolved", "unresolved", "unresolved"),
    (answer(451, body=b'{"message": "No"}'), ODD, "unresolved", "unresolved", "unresolved"),
    (answer(413, body=HTML),          ODD,        ODD,          ODD,          ODD),
    (answer(502, body=HTML),          "next key", "next key",   "next key",   "unresolved"),
    (answer(503, body=HTML),          "next key", "next key",   "next key",   "unresolved"),
    (answer(504, body=HTML),          "next key", "next key",   "next key",   "unresolved"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("outcome", "read", "move", "patch", "create"), TABLE, ids=lambda value: str(getattr(value, "status", ""))
)
def test_what_an_outcome_means(outcome, read, move, patch, create):
    found = [after(request, outcome) for request in (READ, MOVE, PATCH, CREATE)]
    assert found == [read, move, patch, create]


RATE, QUOTA = PersonaRateLimitError, PersonaQuotaError

LIMITS = [
    (
        answer(429, "Rate limit exceeded", ratelimit_limit="300", ratelimit_remaining="0", ratelimit_reset="17"),
        "wait 17",
    ),
    (answer(429, "Rate limit exceeded", RateLimit_Reset="17"), "wait 17"),
    (answer(429, ratelimit_reset="17.5"), "wait 17.5"),
    (answer(429, ratelimit_reset="0"), "wait 1"),
    (answer(429, retry_after="3", ratelimit_reset="17"), "wait 3"),
    (answer(429, retry_after="0"), "wait 1"),
    (answer(429, retry_after="Wed, 21 Oct 2026 07:28:00 GMT", ratelimit_reset="17"), "wait 17"),
    (answer(429), "wait 1"),
    (answer(429, body=HTML), "wait 1"),
    (answer(429, ratelimit_reset="-3"), "wait 1"),
    (answer(429, ratelimit_reset="nan"), "wait 1"),
    (answer(429, ratelimit_reset="inf"), "wait 1"),
    (answer(429, ratelimit_reset="soon"), "wait 1"),
    (answer(429, ratelimit_limit="0", ratelimit_reset="17"), RATE),
    (answer(429, ratelimit_reset=str(SANE_WAIT)), f"wait {SANE_WAIT:g}"),
    (answer(429, ratelimit_reset=str(SANE_WAIT + 1)), RATE),
    (answer(429, ratelimit_reset="1790000000"), RATE),
    (answer(429, "Quota exceeded", quota_reset="9", ratelimit_reset="17"), "wait 9"),
    (answer(429, "Quota exceeded", quotalimit_reset="9"), "wait 9"),
    (answer(429, "Quota exceeded", ratelimit_reset="17"), "wait 1"),
    (answer(403, "Quota exceeded", quota_reset="9"), "wait 9"),
    (answer(403, "Forbidden", "You used up the quota create_case", quota_reset="9"), "wait 9"),
    (answer(403, "Quota exceeded", quota_reset="86400"), QUOTA),
    (answer(403, "Forbidden", "API key lacks case.write", quota_reset="9"), PersonaKeyPermissionError),
]


@pytest.mark.parametrize(("outcome", "meaning"), LIMITS)
@pytest.mark.parametrize("request_made", [READ, MOVE, PATCH, CREATE], ids=lambda request: request.operation_id)
def test_a_limit_is_waited_for_whatever_the_request(request_made, outcome, meaning):
    assert after(request_made, outcome) == meaning


def test_a_limit_is_waited_for_as_often_as_need_be_within_a_quarter_of_an_hour():
    attempt = Attempt(key_born=0.0, number=POLICY.attempts, throttled=1000, throttled_for=SANE_WAIT - 5)
    assert after(MOVE, answer(429, ratelimit_reset="5"), attempt) == "wait 5"
    waits, attempt = 0, Attempt(key_born=0.0)
    while isinstance(decision := decide(MOVE, answer(429, ratelimit_reset="60"), attempt, 10.0, POLICY), SendAgain):
        waits, attempt = waits + 1, decision.attempt
    assert waits == SANE_WAIT / 60
    assert isinstance(decision.error, PersonaRateLimitError)
    assert decision.error.retryable
    assert "a call waits 15 minutes for a limit at most" in str(decision.error)


def test_an_answer_without_content_is_a_success():
    request = operation("redact-a-case").bind({"case-id": "case_1"})
    assert isinstance(decide(request, ok(204, b""), Attempt(key_born=0.0), 10.0, POLICY), Done)


def test_a_limit_without_an_end_climbs_the_ladder_and_gives_up():
    waits, attempt = [], Attempt(key_born=0.0)
    while isinstance(decision := decide(MOVE, answer(429), attempt, 10.0, POLICY), SendAgain):
        waits.append(decision.after)
        attempt = decision.attempt
    assert waits == list(POLICY.delays)
    assert attempt.number == 1
    assert isinstance(decision.error, PersonaRateLimitError)


@pytest.mark.parametrize("outcome", [UNSENT, SILENT, answer(429, ratelimit_reset="5"), answer(503), ok(200, b"x")])
@pytest.mark.parametrize("request_made", [READ, MOVE, CREATE], ids=lambda request: request.operation_id)
def test_without_retries_nothing_is_sent_again(request_made, outcome):
    assert not isinstance(decide(request_made, outcome, Attempt(key_born=0.0), 1.0, NO_RETRIES), SendAgain)


@pytest.mark.parametrize(
    ("request_made", "outcome", "meaning"),
    [
        (READ, UNSENT, PersonaTransportError),
        (READ, SILENT, PersonaTransportError),
        (READ, answer(503), PersonaServerError),
        (READ, ok(200, b"x"), ODD),
        (MOVE, UNSENT, PersonaTransportError),
        (MOVE, SILENT, "unresolved"),
        (MOVE, answer(503), "unresolved"),
        (MOVE, ok(200, b"x"), "unresolved"),
        (MOVE, answer(409, "Stale object error"), CLASH),
        (PATCH, SILENT, "unresolved"),
        (CREATE, UNSENT, PersonaTransportError),
        (CREATE, SILENT, "unresolved"),
        (CREATE, ok(201, b"x"), "unresolved"),
    ],
)
def test_when_the_attempts_are_used_up(request_made, outcome, meaning):
    assert after(request_made, outcome, Attempt(key_born=0.0, number=POLICY.attempts)) == meaning


@pytest.mark.parametrize(
    "request_made", [READ, replace(READ, method="HEAD"), operation("search-cases").bind(body={"query": {}})]
)
@pytest.mark.parametrize(
    ("outcome", "error"), [(SILENT, PersonaTransportError), (answer(503), PersonaServerError), (answer(422), INVALID)]
)
def test_what_only_reads_leaves_nothing_unknown(request_made, outcome, error):
    last = Attempt(key_born=0.0, number=POLICY.attempts, maybe_done=True)
    assert after(request_made, outcome, last) is error
    assert after(request_made, answer(401), last) is AUTH


def test_what_is_unresolved_after_an_answer_can_be_traced():
    last = answer(503, Request_Id="req_1")
    request_made = Request("set-status-for-a-case", "POST", "/api/v1/cases/case_1/set-status")
    decision = decide(request_made, last, Attempt(key_born=0.0, number=POLICY.attempts), 10.0, POLICY)
    assert isinstance(decision, Unresolved)
    assert (decision.error.status, decision.error.request_id) == (503, "req_1")


def test_the_delays_are_those_of_the_policy_lengthened_by_the_jitter():
    policy = RetryPolicy(delays=(1.0, 5.0), jitter=0.2)
    first = decide(MOVE, SILENT, Attempt(key_born=0.0), 0.0, policy, chance=0.5)
    second = decide(MOVE, SILENT, Attempt(key_born=0.0, number=2), 0.0, policy, chance=0.0)
    assert isinstance(first, SendAgain)
    assert isinstance(second, SendAgain)
    assert (first.after, second.after) == (pytest.approx(1.1), 5.0)


@pytest.mark.parametrize(
    ("request_made", "age", "meaning"),
    [
        (CREATE, KEY_GOOD_FOR - 2, "same key"),
        (CREATE, KEY_GOOD_FOR + 1, "unresolved"),
        (MOVE, KEY_GOOD_FOR - 2, "same key"),
        (MOVE, KEY_GOOD_FOR + 1, "next key"),
        (ATTACH, 0, "unresolved"),
    ],
)
def test_an_old_key_is_not_trusted_to_be_remembered(request_made, age, meaning):
    assert after(request_made, SILENT, now=age) == meaning


@pytest.mark.parametrize("outcome", [UNSENT, ok(201, b"x"), answer(429, ratelimit_reset="600")])
def test_nor_is_it_when_the_silence_was_earlier(outcome):
    doubtful = Attempt(key_born=0.0, number=2, maybe_done=True)
    late = KEY_GOOD_FOR - 0.5
    assert isinstance(decide(CREATE, outcome, doubtful, late, POLICY), Unresolved)
    decision = decide(MOVE, outcome, doubtful, late, POLICY)
    assert isinstance(decision, SendAgain)
    assert (decision.attempt.generation, decision.attempt.key_born) == (1, late + decision.after)


@pytest.mark.parametrize(
    ("outcome", "meaning"),
    [
        (UNSENT, "unresolved"),
        (answer(401), "unresolved"),
        (answer(302), "unresolved"),
        (answer(429, ratelimit_reset="86400"), "unresolved"),
        (answer(404), GONE),  # the first answer, kept under the key
        (answer(422), INVALID),
    ],
)
def test_after_a_silence_only_an_answer_about_the_effect_says_that_it_did_not_happen(outcome, meaning):
    doubtful = Attempt(key_born=0.0, number=POLICY.attempts, maybe_done=True)
    assert after(CREATE, outcome, doubtful) == meaning


def test_a_silence_is_remembered_and_a_failed_connection_is_not():
    assert decide(CREATE, SILENT, Attempt(key_born=0.0), 0.0, POLICY).attempt.maybe_done
    assert not decide(CREATE, UNSENT, Attempt(key_born=0.0), 0.0, POLICY).attempt.maybe_done


def test_a_file_need_not_be_json():
    assert after(FILE, ok(200, b"%PDF")) == "done"


def test_an_unreadable_answer_to_an_attachment_leaves_its_outcome_open():
    assert after(ATTACH, ok(200, b"x")) == "unresolved"


def test_a_new_generation_is_born_now_and_the_same_key_keeps_its_birth():
    anew = decide(MOVE, answer(500), Attempt(key_born=3.0), 20.0, POLICY)
    again = decide(MOVE, SILENT, Attempt(key_born=3.0), 20.0, POLICY)
    assert isinstance(anew, SendAgain)
    assert isinstance(again, SendAgain)
    assert (anew.attempt.key_born, again.attempt.key_born) == (20.0, 3.0)


def test_an_exchange_changes_its_key_with_the_generation_only():
    exchange = Exchange(MOVE, "run row", POLICY, now=0.0)
    first = exchange.idempotency_key
    exchange.conclude(SILENT, 1.0)
    exchange.conclude(answer(429, ratelimit_reset="5"), 2.0)
    assert exchange.idempotency_key == first
    exchange.conclude(answer(500), 8.0)
    assert exchange.idempotency_key not in (None, first)
    assert exchange.attempt.generation == 1
    assert exchange.attempt.number == 3


def test_an_exchange_carried_on_after_a_restart_has_the_key_it_had():
    before = Exchange(MOVE, "run row", POLICY, now=0.0)
    before.conclude(answer(500), 1.0)
    assert Exchange(MOVE, "run row", POLICY, now=0.0, generation=1).idempotency_key == before.idempotency_key


@pytest.mark.parametrize("request_made", [READ, PATCH])
def test_only_a_post_has_a_key(request_made):
    assert Exchange(request_made, "x", POLICY, now=0.0).idempotency_key is None


@pytest.mark.parametrize("request_made", [MOVE, CREATE], ids=lambda request: request.operation_id)
def test_a_conflict_after_a_silence_may_be_about_the_key_and_tells_nothing(request_made):
    silence = decide(request_made, SILENT, Attempt(key_born=0.0), 5.0, POLICY)
    assert isinstance(silence, SendAgain)
    conflict = decide(request_made, answer(409, "Conflict"), silence.attempt, 6.0, POLICY)
    assert isinstance(conflict, SendAgain)
    assert conflict.is_under_way
    assert conflict.attempt.generation == 0
    last = replace(silence.attempt, number=POLICY.attempts)
    assert after(request_made, answer(409, "Conflict"), last) == "unresolved"


@pytest.mark.parametrize(
    ("title", "move", "create"), [("Stale object error", "next key", CLASH), ("Record not unique", CLASH, CLASH)]
)
def test_a_conflict_about_the_object_means_the_same_after_a_silence(title, move, create):
    silent = Attempt(key_born=0.0, number=2, maybe_done=True, maybe_under_way=True)
    assert [after(request, answer(409, title), silent) for request in (MOVE, CREATE)] == [move, create]


REDACT = replace(PATCH, operation_id="redact-a-case", method="DELETE", body=None)


@pytest.mark.parametrize("refusal", [answer(404), answer(409, "Record not unique"), answer(422), answer(403)])
@pytest.mark.parametrize("doubt", [SILENT, answer(503)], ids=["silence", "503"])
@pytest.mark.parametrize("request_made", [MOVE, PATCH, REDACT], ids=lambda request: request.operation_id)
def test_a_refusal_tells_of_the_attempts_under_its_own_key_only(request_made, doubt, refusal):
    """Persona refuses to redact what the attempt before has redacted, or to approve what it has approved."""
    first = decide(request_made, doubt, Attempt(key_born=0.0), 5.0, POLICY)
    assert isinstance(first, SendAgain)
    is_told = first.attempt.generation == 0  # the refusal is the stored answer to that very attempt
    found = after(request_made, refusal, first.attempt)
    assert (found != "unresolved") is is_told
    if is_told:
        second = decide(request_made, answer(503), first.attempt, 6.0, POLICY)
        third = decide(request_made, doubt, second.attempt, 7.0, POLICY)
        assert after(request_made, refusal, third.attempt) == "unresolved"


@pytest.mark.parametrize(
    "refusal",
    [answer(422, body=HTML), answer(413, body=HTML), answer(403, "Forbidden", "API key lacks case.write")],
    ids=["a page", "a page for its size", "a key that lost a permission"],
)
def test_a_refusal_that_comes_before_persona_looks_tells_of_no_attempt(refusal):
    silence = decide(MOVE, SILENT, Attempt(key_born=0.0), 5.0, POLICY)
    assert after(MOVE, refusal, silence.attempt) == "unresolved"


def test_a_refusal_after_a_restart_tells_of_the_first_key_only():
    for generation, meaning in ((0, Failed), (1, Unresolved)):
        exchange = Exchange(MOVE, "run row", POLICY, 0.0, generation=generation, maybe_done=True)
        assert isinstance(exchange.conclude(answer(422), 1.0), meaning)


def test_a_conflict_under_the_next_key_is_about_the_object():
    silence = decide(MOVE, SILENT, Attempt(key_born=0.0), 5.0, POLICY)
    anew = decide(MOVE, answer(503), silence.attempt, 6.0, POLICY)
    assert after(MOVE, answer(409, "Conflict"), anew.attempt) == "next key"
