"""How long an attempt waits, as tables: what is seen, what is asked, and which calls may be cut at all."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import pytest

from airflow_provider_persona.api.messages import FailurePoint, Request, Response, TransportFailure
from airflow_provider_persona.api.patience import LEAST_PATIENCE, Latencies, Patience
from airflow_provider_persona.api.retry import KEY_GOOD_FOR, NO_RETRIES, Attempt, RetryPolicy

READ = Request("retrieve-case", "GET", "/api/v1/cases/c")
FILE = replace(READ, binary=True)
MOVE = Request("set-status-for-a-case", "POST", "/api/v1/cases/c/set-status", body={})
CREATE = Request("create-a-case", "POST", "/api/v1/cases", body={}, repeatable=False)
PATCH = Request("update-a-case", "PATCH", "/api/v1/cases/c", body={})
DELETE = Request("redact-a-case", "DELETE", "/api/v1/cases/c")

POLICY = RetryPolicy()
FINE = Response(200, {})
SILENT = TransportFailure(FailurePoint.MAYBE_SENT, "no full answer in time")
READ_TIMEOUT = 60.0


def seconds(patience, request=MOVE, *, number=1, age=0.0, policy=POLICY, read_timeout=READ_TIMEOUT):
    return patience.seconds_for(request, Attempt(0.0, number=number), age, policy, read_timeout)


def seen(latencies, request=MOVE, outcome=FINE):
    patience = Patience()
    for took in latencies:
        patience.saw(request, outcome, took, READ_TIMEOUT)
    return patience


@pytest.mark.parametrize(
    ("latencies", "waits"),
    [
        ([], READ_TIMEOUT),
        ([0.08] * 19, READ_TIMEOUT),
        ([0.08] * 20, 5.0),
        ([0.0] * 20, 5.0),
        ([0.9] * 20, 5.0),
        ([1.1] * 20, 8.0),  # in the class from one to two seconds
        ([3.9] * 20, 16.0),
        ([10.0] * 20, READ_TIMEOUT),
        ([0.08] * 96 + [30.0] * 4, 5.0),
        ([0.08] * 90 + [30.0] * 10, READ_TIMEOUT),
        ([30.0] * 100 + [0.08] * 600, 5.0),
        ([1e9] * 20, READ_TIMEOUT),
    ],
    ids=[
        "nothing seen",
        "too few",
        "quick",
        "in no time",
        "four times is less than the least",
        "rounded up",
        "slow",
        "never more than the read timeout",
        "a few hang",
        "many are slow",
        "slow long ago",
        "longer than any class",
    ],
)
def test_an_attempt_waits_for_a_multiple_of_what_is_usual(latencies, waits):
    assert seconds(seen(latencies)) == waits


@pytest.mark.parametrize(
    ("request_made", "options", "is_cut"),
    [
        (READ, {}, True),
        (MOVE, {}, True),
        (CREATE, {}, True),
        (PATCH, {}, False),
        (DELETE, {}, False),
        (FILE, {}, False),
        (READ, {"number": POLICY.attempts}, False),
        (READ, {"policy": NO_RETRIES}, False),
        (READ, {"age": KEY_GOOD_FOR}, True),
        (CREATE, {"age": KEY_GOOD_FOR / 2 - READ_TIMEOUT}, True),
        (CREATE, {"age": KEY_GOOD_FOR / 2}, False),
    ],
)
def test_only_what_may_be_sent_again_under_the_same_key_is_cut(request_made, options, is_cut):
    assert (seconds(seen([0.08] * 20, request_made), request_made, **options) < READ_TIMEOUT) is is_cut


def test_each_attempt_waits_twice_as_long_and_the_last_one_for_the_whole_time():
    patience = seen([0.08] * 20)
    assert [seconds(patience, number=number) for number in range(1, POLICY.attempts + 1)] == [5, 10, 20, 40, 60, 60]


@pytest.mark.parametrize("read_timeout", [0.3, LEAST_PATIENCE, 7.0, 60.0])
def test_no_attempt_waits_longer_than_the_read_timeout(read_timeout):
    assert seconds(seen([3.0] * 50), read_timeout=read_timeout) == min(read_timeout, 16.0)


def test_operations_are_told_apart():
    patience = seen([0.08] * 20)
    for _ in range(20):
        patience.saw(READ, FINE, 3.9, READ_TIMEOUT)
    assert (seconds(patience, MOVE), seconds(patience, READ)) == (5, 16)


def test_an_operation_of_which_little_is_known_goes_by_the_others():
    patience = seen([1.9] * 30)
    patience.saw(READ, FINE, 4.0, READ_TIMEOUT)
    assert seconds(patience, READ) == 8


@pytest.mark.parametrize("outcome", [Response(429, {}), Response(503, {}), Response(401, {}), SILENT])
def test_what_fails_quickly_tells_nothing_of_the_usual_time(outcome):
    assert seconds(seen([0.01] * 50, outcome=outcome)) == READ_TIMEOUT


def test_a_service_that_becomes_slow_is_not_cut_for_long():
    patience = seen([0.08] * 1000)
    for _ in range(8):
        patience.saw(MOVE, SILENT, LEAST_PATIENCE, LEAST_PATIENCE)
    assert seconds(patience) == 32.0


@pytest.mark.parametrize("share", [0.5, 0.95, 1.0])
def test_a_quantile_is_at_most_twice_too_long(share):
    chance = random.Random(4)
    latencies, took = Latencies(), [0.02 + chance.expovariate(2.0) for _ in range(120)]
    for one in took:
        latencies.add(one)
    exact = sorted(took)[math.ceil(share * len(took)) - 1]
    assert exact < latencies.quantile(share) <= 2 * exact
