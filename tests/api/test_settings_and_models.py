"""Settings checked without showing a value, models that tolerate what is new, goals and the environment guard."""

from __future__ import annotations

import pytest

from airflow_provider_persona.api.environment import EnvironmentGuard
from airflow_provider_persona.api.errors import PersonaAnswerError, PersonaSettingsError
from airflow_provider_persona.api.lifecycle import CaseGoal, CountGoal, Verdict
from airflow_provider_persona.api.limits import WindowState, window_state
from airflow_provider_persona.api.messages import Response
from airflow_provider_persona.api.models import Case
from airflow_provider_persona.api.operations import operation
from airflow_provider_persona.api.rate_limit import WindowBudget
from airflow_provider_persona.api.settings import PersonaSettings

KEY = "persona_sandbox_0123"


def checked(**values):
    return PersonaSettings.checked(**{"api_key": KEY, **values})


@pytest.mark.parametrize(
    ("given", "origin"),
    [
        (None, "https://api.withpersona.com"),
        ("", "https://api.withpersona.com"),
        ("api.withpersona.com", "https://api.withpersona.com"),
        ("https://withpersona.com/", "https://withpersona.com"),
        ("https://withpersona.com/api/v1", "https://withpersona.com"),
        ("https://withpersona.com/api/v1/", "https://withpersona.com"),
        (" https://withpersona.com:8443 ", "https://withpersona.com:8443"),
        ("http://localhost:8790", "http://localhost:8790"),
        ("http://127.0.0.1:8790/api/v1", "http://127.0.0.1:8790"),
        ("http://127.9.9.9", "http://127.9.9.9"),
        ("http://[::1]:80", "http://[::1]:80"),
    ],
)
def test_a_host_becomes_an_origin(given, origin):
    assert checked(host=given).host == origin


@pytest.mark.parametrize(
    "host",
    [
        "http://api.withpersona.com", "http://10.0.0.1", "http://localhost.evil.example", "http://127.0.0.1.evil.example",
        "ftp://localhost", "https://", "https://canary@host", "https://user:canary", "https://host:99999",
        "https://host/canary", "https://host/?canary", "https://host/#canary", "https://[canary", "https://host/api/v2",
        "https://can ary", "https://host\\canary", "https://host\uff0ecanary", "host:", "::1",
    ],
)  # fmt: skip
def test_a_host_that_would_leak_or_mislead_is_refused_without_showing_it(host):
    with pytest.raises(PersonaSettingsError, match="host: ") as caught:
        checked(host=host)
    assert "canary" not in str(caught.value)
    assert "99999" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("key", [None, ""])
def test_without_a_key_it_says_where_to_put_it(key):
    with pytest.raises(PersonaSettingsError, match="no API key; put it into the connection's password"):
        PersonaSettings.checked(api_key=key)


@pytest.mark.parametrize("key", ["  ", "can ary", "canary\nX-Evil: 1", "canäry", "canary\x00"])
def test_a_key_that_no_header_can_carry_is_refused_without_showing_it(key):
    with pytest.raises(PersonaSettingsError, match="api_key: ") as caught:
        checked(api_key=key)
    assert "can" not in str(caught.value).replace("cannot", "")


def test_a_key_copied_with_its_line_end_is_taken():
    assert checked(api_key=f" {KEY}\n").authorization() == f"Bearer {KEY}"


def test_nothing_shows_the_key():
    settings = checked()
    assert (
        KEY not in f"{settings!r} {settings} {settings.model_dump()} {settings.model_dump_json()} {settings.headers()}"
    )


@pytest.mark.parametrize(
    ("key", "kind"), [(KEY, "sandbox"), ("persona_production_1", "production"), ("other", "unknown")]
)
def test_the_kind_of_key_is_told_from_how_it_starts(key, kind):
    assert checked(api_key=key).key_kind == kind


def test_null_and_empty_mean_unset_and_zero_and_false_do_not():
    names = ("version", "reserve", "connect_timeout", "read_timeout", "proxies", "verify", "expected_environment_id")
    assert checked(**dict.fromkeys(names)) == checked(**dict.fromkeys(names, "")) == checked()
    assert checked(reserve=0).reserve == 0
    assert checked(verify=False).verify is False


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("version", "latest"), ("version", "2025-12-08; canary"),
        ("reserve", 1), ("reserve", -0.1), ("reserve", "canary"),
        ("connect_timeout", 0), ("read_timeout", -1), ("read_timeout", float("inf")), ("read_timeout", float("nan")),
        ("proxies", "canary"), ("proxies", {"https": 7}), ("proxies", {"http://user:canary@proxy": 7}),
    ],
)  # fmt: skip
def test_a_setting_that_cannot_be_used_is_named_and_not_shown(name, value):
    with pytest.raises(PersonaSettingsError, match=f"cannot be used: {name}") as caught:
        checked(**{name: value})
    assert "canary" not in str(caught.value)


def test_numbers_kept_as_text_by_an_older_form_are_read():
    assert checked(read_timeout="7.5", reserve="0.3").read_timeout == 7.5


def test_every_request_names_version_and_inflection():
    assert checked(version="2023-01-05").headers() == {
        "Accept": "application/json", "Persona-Version": "2023-01-05", "Key-Inflection": "kebab"
    }  # fmt: skip


# ------------------------------------------------------------------ models


def test_a_case_tolerates_what_is_new():
    case = Case.from_resource(
        {
            "type": "case/v9",
            "id": "case_" + "x" * 500,
            "brand-new": 1,
            "attributes": {
                "status": "Invented last week",
                "resolved-at": None,
                "shiny": {"a": 1},
                "assignee-id": "a@b.c",
            },
            "relationships": {"accounts": {"data": [{"type": "account/v2", "id": "act_1", "more": 1}]}, "odd": None},
        }
    )
    assert case.status == "Invented last week"
    assert case.attributes.assignee_id == "a@b.c"
    assert not case.is_resolved
    assert [pointer.id for pointer in case.related("accounts")] == ["act_1"]
    assert case.related("odd") == case.related("unheard-of") == []


def test_null_and_odd_members_cost_nothing_else():
    pointers = [None, {"type": "account", "id": 7}, {"id": {"x": 1}}, {"id": "act_1"}]
    case = Case.from_resource(
        {
            "id": "case_1",
            "attributes": {"status": "Open", "tags": [None, "vip"]},
            "relationships": {"accounts": {"data": pointers}},
        }
    )
    assert case.attributes.tags == ["vip"]
    assert [pointer.id for pointer in case.related("accounts")] == ["7", "act_1"]
    for odd in (None, []):
        case = Case.from_resource({"id": "case_1", "attributes": odd, "relationships": odd})
        assert (case.status, case.related("accounts")) == (None, [])


def test_a_sparse_case_is_a_case():
    case = Case.from_resource({"id": "case_1"})
    assert (case.status, case.attributes.fields, case.relationships) == (None, None, {})


@pytest.mark.parametrize(
    ("resource", "place"),
    [
        (None, "data"),
        ([], "data"),
        ({}, "id"),
        ({"id": 7}, "id"),
        ({"id": "c", "type": "inquiry"}, "type"),
        ({"id": "c", "type": "case-template/canary"}, "type"),
        ({"id": "c", "attributes": {"status": ["canary"]}}, "status"),
    ],
)
def test_what_is_no_case_is_refused_by_place_not_by_value(resource, place):
    with pytest.raises(
        PersonaAnswerError, match=rf"answer to some-op does not look like a case \(at .*{place}\)"
    ) as caught:
        Case.from_resource(resource, "some-op")
    assert "canary" not in str(caught.value)


# ------------------------------------------------------------------ goals


def case(status, resolved=None):
    return Case.from_resource({"id": "c", "attributes": {"status": status, "resolved-at": resolved}})


NOW = "2026-01-01T00:00:00.000Z"


@pytest.mark.parametrize(
    ("goal", "seen", "verdict"),
    [
        (CaseGoal(frozenset({"Approved"})), case("Approved"), Verdict.REACHED),
        (CaseGoal(frozenset({"Approved"})), case("approved"), Verdict.WAITING),
        (CaseGoal(frozenset({"Approved"})), case("Never heard of"), Verdict.WAITING),
        (CaseGoal(frozenset({"Approved"})), case(None), Verdict.WAITING),
        (CaseGoal(frozenset({"Approved"}), frozenset({"Declined"})), case("Declined"), Verdict.FAILED),
        (CaseGoal(frozenset({"A"}), frozenset({"A"})), case("A"), Verdict.FAILED),
        (CaseGoal(resolved=True), case("x", NOW), Verdict.REACHED),
        (CaseGoal(resolved=True), case("x"), Verdict.WAITING),
        (CaseGoal(failure_statuses=frozenset({"Declined"}), resolved=True), case("Declined", NOW), Verdict.FAILED),
        (CaseGoal(frozenset({"Approved"})), case("x", NOW), Verdict.WAITING),
    ],
)
def test_where_a_wait_for_a_case_stands(goal, seen, verdict):
    assert goal.verdict(seen) is verdict


@pytest.mark.parametrize(
    ("goal", "enough", "reached", "waiting"),
    [
        (CountGoal(at_most=0), 1, [0], [1]),
        (CountGoal(at_most=5), 6, [0, 5], [6]),
        (CountGoal(at_least=1), 1, [1], [0]),
        (CountGoal(at_least=5), 5, [5], [0, 4]),
    ],
)
def test_where_a_wait_for_a_count_stands(goal, enough, reached, waiting):
    assert goal.enough == enough
    assert {goal.verdict(seen) for seen in reached} == {Verdict.REACHED}
    assert {goal.verdict(seen) for seen in waiting} == {Verdict.WAITING}


@pytest.mark.parametrize("odd", [{}, {"at_most": 1, "at_least": 1}, {"at_most": -1}, {"at_least": 0}])
def test_a_count_that_makes_no_sense_is_refused(odd):
    with pytest.raises(ValueError, match="at_most"):
        CountGoal(**odd)


# ------------------------------------------------------------------ environment, headers of the window


WRITE = operation("set-status-for-a-case").bind({"case-id": "c"}, body={"meta": {"status": "x"}})
READ = operation("retrieve-case").bind({"case-id": "c"})


def from_environment(name):
    return Response(200, {"Persona-Environment-Id": name} if name else {})


def test_without_an_expectation_nothing_is_asked():
    guard = EnvironmentGuard(None)
    assert guard.question_before(WRITE) is None
    guard.check(from_environment("env_any"))
    guard.require_known()


def test_the_first_write_is_preceded_by_a_question_and_a_read_is_not():
    guard = EnvironmentGuard("env_1")
    assert guard.question_before(READ) is None
    question = guard.question_before(WRITE)
    assert question is not None
    assert question.method == "GET"
    guard.check(from_environment("env_1"))
    assert guard.question_before(WRITE) is None


def test_another_environment_is_refused_and_stays_refused():
    guard = EnvironmentGuard("env_1")
    for _ in range(2):
        assert guard.question_before(WRITE) is not None
        with pytest.raises(
            PersonaSettingsError, match="belongs to environment env_2, but the connection expects env_1"
        ):
            guard.check(from_environment("env_2"))


def test_an_answer_that_names_no_environment_is_not_enough_to_write():
    guard = EnvironmentGuard("env_1")
    guard.check(from_environment(None))
    with pytest.raises(PersonaSettingsError, match="the answers name none"):
        guard.require_known()


@pytest.mark.parametrize(
    ("headers", "state"),
    [
        (("300", "299", "60"), WindowState(300, 299, 60)),
        (("300", "299", None), None),
        (("300", "-1", "60"), None),
        (("many", "299", "60"), None),
    ],
)
def test_the_window_is_read_from_three_headers(headers, state):
    names = ("ratelimit-limit", "ratelimit-remaining", "ratelimit-reset")
    assert window_state({n: v for n, v in zip(names, headers, strict=True) if v is not None}) == state


@pytest.mark.parametrize("reserve", [-0.1, 1, 1.5])
def test_a_reserve_that_leaves_nothing_is_refused(reserve):
    with pytest.raises(ValueError, match="reserve is the share"):
        WindowBudget(reserve)
