"""What `decide` tells: which answer, which reason, what an attempt leaves open. Found by changing the code."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from retry_cases import ATTACH, CREATE, MOVE, PATCH, POLICY, READ, SILENT, UNSENT, after, answer, error_of, ok

from airflow_provider_persona.api.errors import (
    PersonaAnswerError,
    PersonaNotFoundError,
    PersonaRateLimitError,
    PersonaUnresolvedError,
    PersonaValidationError,
)
from airflow_provider_persona.api.messages import Response
from airflow_provider_persona.api.retry import KEY_GOOD_FOR, NO_RETRIES, Attempt, Unresolved, decide

NAMED = {"request_id": "req_1"}


@pytest.mark.parametrize("request_made", [READ, MOVE, CREATE], ids=lambda request: request.operation_id)
@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        (answer(404, "Not here", **NAMED), 404),
        (answer(409, "Record not unique", **NAMED), 409),
        (answer(429, "Too many", **NAMED), 429),
        (answer(429, "Too many", ratelimit_limit="0", **NAMED), 429),
        (answer(429, "Too many", ratelimit_reset="100000", **NAMED), 429),
        (answer(302, "Elsewhere", **NAMED), 302),
        (answer(503, "Away", **NAMED), 503),
        (Response(200, {"request-id": "req_1"}, b"x"), 200),
        (Response(200, {"request-id": "req_1"}, b"", damage="too large"), 200),
    ],
)
def test_an_error_names_operation_status_and_request_id(request_made, outcome, status):
    error = error_of(request_made, outcome)
    assert error.operation_id == request_made.operation_id
    assert request_made.operation_id in str(error)
    unknown = isinstance(error, PersonaUnresolvedError)
    assert error.status == status or unknown
    assert error.request_id == "req_1" or unknown or status == 302  # no log of Persona's has a redirect


def test_a_silence_is_told_with_its_reason_and_how_often_it_was_tried():
    error = error_of(READ, SILENT, Attempt(key_born=0.0, number=3), NO_RETRIES)
    assert str(error) == "Persona gave no answer to retrieve-case (reset), tried 3 times; check host, proxy and network"
    assert error.operation_id == "retrieve-case"
    assert "reset" in str(error_of(ATTACH, SILENT))


@pytest.mark.parametrize(
    ("outcome", "because"),
    [
        (SILENT, "no answer: reset"),
        (UNSENT, "no answer: refused"),
        (answer(503), "status 503"),
        (ok(200, b"x"), "unreadable answer"),
        (answer(409, "Stale object"), "stale object"),
        (answer(429, "Too many", ratelimit_reset="5"), "Too many"),
        (answer(429, body=b"", ratelimit_reset="5"), "status 429"),
    ],
)
def test_why_a_call_is_sent_again_is_told(outcome, because):
    assert decide(MOVE, outcome, Attempt(key_born=0.0), 10.0, POLICY).because == because


def test_a_damaged_answer_is_not_asked_for_again_and_may_be_mended_by_a_retry():
    damaged = Response(200, {}, b"", damage="it is larger than 64 MiB")
    error = error_of(READ, damaged, policy=POLICY)
    assert isinstance(error, PersonaAnswerError)
    assert error.retryable
    assert "a body that was not read: it is larger than 64 MiB" in str(error)
    assert after(CREATE, damaged) == "unresolved"


def test_jitter_makes_a_wait_for_the_limit_longer_and_never_shorter():
    full = answer(429, ratelimit_reset="5")
    waits = [decide(READ, full, Attempt(key_born=0.0), 10.0, POLICY, chance).after for chance in (0.0, 0.5, 1.0)]
    assert waits == [5.0, 5.0 + POLICY.jitter / 2, 5.0 + POLICY.jitter]


def test_a_limit_of_zero_says_that_nothing_can_be_sent():
    error = error_of(READ, answer(429, ratelimit_limit="0"), policy=POLICY)
    assert isinstance(error, PersonaRateLimitError)
    assert str(error).endswith(": the limit is zero, nothing can be sent")


def test_a_success_hands_over_the_answer_itself():
    response = ok()
    assert decide(MOVE, response, Attempt(key_born=0.0), 10.0, POLICY).response is response


@pytest.mark.parametrize(
    ("request_made", "status", "meaning"),
    [
        (READ, 299, "done"),
        (READ, 300, PersonaAnswerError),
        (READ, 399, PersonaAnswerError),
        (replace(READ, success=frozenset({404})), 404, "done"),
        (READ, 204, "same key"),
        (replace(READ, success=frozenset({204})), 204, "done"),
        (replace(MOVE, success=frozenset({204})), 204, "done"),
        (replace(MOVE, success=frozenset({205})), 204, "same key"),
        (replace(MOVE, method="DELETE"), 204, "done"),
        (replace(MOVE, method="DELETE"), 200, "same key"),
    ],
)
def test_which_statuses_succeed_and_which_of_them_have_no_body(request_made, status, meaning):
    assert after(request_made, ok(status, b"{}" if status in (299, 404) else b"")) == meaning


@pytest.mark.parametrize("status", [300, 399])
def test_each_redirect_is_refused(status):
    assert str(error_of(READ, answer(status))).endswith(
        f"{status}, a redirect, to retrieve-case; redirects are refused so that the key never leaves the host. "
        "Check the connection's host"
    )


@pytest.mark.parametrize("outcome", [SILENT, answer(401), answer(429, ratelimit_limit="0"), answer(302)])
def test_a_read_is_never_unresolved(outcome):
    doubtful = Attempt(key_born=0.0, number=POLICY.attempts, maybe_done=True)
    assert after(READ, outcome, doubtful) not in ("unresolved", "done")


@pytest.mark.parametrize("outcome", [answer(400), answer(404), answer(422)], ids=["400", "404", "422"])
def test_a_refusal_after_a_silence_tells_of_the_effect(outcome):
    assert after(CREATE, outcome, Attempt(key_born=0.0, number=2, maybe_done=True)) in (
        PersonaValidationError,
        PersonaNotFoundError,
    )


def test_a_call_without_a_key_knows_no_age_of_one():
    doubtful = Attempt(key_born=0.0, number=2, maybe_done=True)
    assert after(PATCH, UNSENT, doubtful, now=2 * KEY_GOOD_FOR) == "same key"


@pytest.mark.parametrize(("older", "generation"), [(0.0, 0), (0.001, 1)])
def test_a_key_is_good_to_the_second_in_which_it_would_be_used_again(older, generation):
    doubtful = Attempt(key_born=0.0, number=2, maybe_done=True, maybe_under_way=True)
    wait = POLICY.delays[1]
    decision = decide(MOVE, UNSENT, doubtful, KEY_GOOD_FOR - wait + older, POLICY)
    assert decision.attempt.generation == generation
    assert decision.attempt.maybe_under_way is (generation == 0)  # nothing can be under way under a key of its own


@pytest.mark.parametrize(
    ("outcome", "maybe_done", "maybe_under_way"),
    [
        (UNSENT, False, False),
        (SILENT, True, True),
        (answer(503), True, False),
        (answer(409, "Stale object error"), False, False),
        (ok(200, b"x"), True, True),
        (answer(429, ratelimit_reset="5"), False, False),
    ],
)
def test_what_an_attempt_leaves_open(outcome, maybe_done, maybe_under_way):
    following = decide(MOVE, outcome, Attempt(key_born=0.0), 10.0, POLICY).attempt
    assert (following.maybe_done, following.maybe_under_way) == (maybe_done, maybe_under_way)


@pytest.mark.parametrize(
    ("request_made", "outcome", "attempt", "now", "why"),
    [
        (ATTACH, SILENT, Attempt(key_born=0.0), 10.0, "reset"),
        (ATTACH, ok(200, b"x"), Attempt(key_born=0.0), 10.0, "unreadable answer"),
        (CREATE, answer(503), Attempt(key_born=0.0), 10.0, "status 503"),
        (
            CREATE,
            UNSENT,
            Attempt(key_born=0.0, number=2, maybe_done=True),
            2 * KEY_GOOD_FOR,
            "no answer: refused, and its key is too old to tell",
        ),
        (
            MOVE,
            answer(503, "Away"),
            Attempt(key_born=0.0, number=POLICY.attempts),
            10.0,
            f"tried {POLICY.attempts} times, last: Persona answered 503 (Away) to set-status-for-a-case",
        ),
        (
            CREATE,
            SILENT,
            Attempt(key_born=0.0, number=POLICY.attempts),
            10.0,
            f"tried {POLICY.attempts} times, last: Persona gave no answer to create-a-case (reset), tried",
        ),
        (
            CREATE,
            answer(401, "Who"),
            Attempt(key_born=0.0, number=2, maybe_done=True),
            10.0,
            "Persona answered 401 (Who) to create-a-case",
        ),
        (
            CREATE,
            answer(409, "Conflict"),
            Attempt(key_born=0.0, number=POLICY.attempts, maybe_done=True, maybe_under_way=True),
            10.0,
            f"tried {POLICY.attempts} times, last: Persona answered 409 (Conflict) to create-a-case",
        ),
    ],
)
def test_what_is_unresolved_says_why(request_made, outcome, attempt, now, why):
    decision = decide(request_made, outcome, attempt, now, POLICY)
    assert isinstance(decision, Unresolved)
    assert f"{request_made.operation_id} is unknown ({why}" in str(decision.error)
    assert decision.error.retryable is request_made.repeatable


def test_what_is_unresolved_after_a_refusal_names_its_answer():
    doubtful = Attempt(key_born=0.0, number=2, maybe_done=True)
    for request_made, outcome in ((CREATE, answer(401, request_id="req_1")), (CREATE, answer(503, request_id="req_1"))):
        error = decide(request_made, outcome, doubtful, 10.0, POLICY).error
        assert (error.status, error.request_id) == (outcome.status, "req_1")


def test_a_call_that_was_tried_once_says_so():
    assert "tried once, last: " in str(error_of(MOVE, answer(503)))


def test_a_conflict_of_an_attempt_under_way_is_told_as_such():
    under_way = Attempt(key_born=0.0, number=2, maybe_done=True, maybe_under_way=True)
    decision = decide(MOVE, answer(409, "Conflict"), under_way, 10.0, POLICY)
    assert decision.because == "an earlier attempt is under way"
    untitled = Response(409, {}, b'{"errors": [{}]}')
    assert decide(MOVE, untitled, under_way, 10.0, POLICY).is_under_way


def test_a_refused_login_of_its_own_is_not_the_connections():
    own = replace(MOVE, own_headers={"Authorization": "PrivateToken token=x"})
    assert str(error_of(own, answer(401))) == "Persona answered 401 (x) to set-status-for-a-case"
    assert "connection" in str(error_of(MOVE, answer(401)))


def test_a_limit_that_is_too_far_away_says_when_it_ends():
    error = error_of(READ, answer(429, ratelimit_reset="1790"), policy=POLICY)
    assert error.retry_after == 1790
    assert "it asks to wait 1790 s more, and a call waits 15 minutes for a limit at most. A retry resumes" in str(error)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"[1]", "a body that is not a JSON object"),
        (b'{"errors": [{"title": "x"}]}', "errors, although it is a success"),
        (
            b'{"data": {"id": "case_2_b"}}',
            "an object other than the one asked for; check what stands between Airflow and Persona",
        ),
    ],
)
def test_a_success_that_proves_nothing_says_why(body, why):
    error = error_of(replace(READ, data=dict, about="case_1_a"), ok(200, body))
    assert f" to retrieve-case with {why}" in str(error)


@pytest.mark.parametrize("answered", ["case_1_a", "inq_1_a", "case"])
def test_only_the_object_itself_proves_it(answered):
    request = replace(READ, data=dict, about="case_1_a")
    meaning = "done" if answered == "case_1_a" else "same key"
    assert after(request, ok(200, json.dumps({"data": {"id": answered}}).encode())) == meaning
