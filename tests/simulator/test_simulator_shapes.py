"""Versions and inflections: what a header, a key's own settings, or neither, do to an answer."""

from __future__ import annotations

import pytest

from persona_simulator import SANDBOX_KEY, ApiKey, SimulatorConfig
from persona_simulator.config import API_VERSIONS, Inflection


@pytest.mark.parametrize(
    ("inflection", "created", "template"),
    [
        ("kebab", "created-at", "case-template"),
        ("camel", "createdAt", "caseTemplate"),
        ("snake", "created_at", "case_template"),
    ],
)
def test_inflection_of_answers(call, inflection, created, template) -> None:
    case = call("GET", "/cases/case_sim000001", headers={"Key-Inflection": inflection}).json()["data"]
    assert created in case["attributes"]
    assert template in case["relationships"]
    assert {"name-first", "risk_score"} <= set(case["attributes"]["fields"])


@pytest.mark.parametrize(
    ("inflection", "spelt"),
    [
        ("kebab", {"name-first", "risk-score"}),
        ("camel", {"nameFirst", "riskScore"}),
        ("snake", {"name_first", "risk_score"}),
    ],
)
def test_older_versions_inflect_fields_too(call, inflection, spelt) -> None:
    headers = {"Key-Inflection": inflection, "Persona-Version": "2023-01-05"}
    assert spelt <= set(call("GET", "/cases/case_sim000001", headers=headers).json()["data"]["attributes"]["fields"])


def test_lists_and_limits_are_inflected(call) -> None:
    camel = {"Key-Inflection": "camel"}
    assert "createdAt" in call("GET", "/cases", headers=camel).json()["data"][0]["attributes"]
    assert "secondsToReset" in call("GET", "/rate-limits", headers=camel).json()["data"][0]["attributes"]


@pytest.mark.parametrize("meta", [{"user-email-address": 0}, {"user_email_address": 0}, {"userEmailAddress": 0}])
def test_requests_may_use_any_inflection(call, open_case, meta) -> None:
    body = {"meta": dict.fromkeys(meta, "ana.reviewer@example.com")}
    assert call("POST", f"/cases/{open_case}/assign", body).status_code == 200


@pytest.mark.parametrize("version", API_VERSIONS)
def test_every_version_is_known(call, version) -> None:
    assert call("GET", "/cases/case_sim000001", headers={"Persona-Version": version}).status_code == 200


@pytest.mark.parametrize("headers", [{"Persona-Version": "2024-01-01"}, {"Key-Inflection": "shout"}])
def test_unknown_versions_and_inflections_are_refused(call, headers) -> None:
    answer = call("GET", "/cases", headers=headers)
    assert (answer.status_code, answer.json()["errors"][0]["title"]) == (400, "Bad Request")


def test_a_key_decides_when_no_header_does(simulate) -> None:
    older = ApiKey("persona_sandbox_older", version="2023-01-05", inflection=Inflection.CAMEL)
    call = simulate(SimulatorConfig(cases=5, keys=(ApiKey(SANDBOX_KEY), older)))
    plain = call("GET", "/cases/case_sim000001", key="persona_sandbox_older").json()
    assert plain["included"]
    assert "nameFirst" in plain["data"]["attributes"]["fields"]
    pinned = {"Persona-Version": "2025-12-08", "Key-Inflection": "kebab"}
    same = [call("GET", "/cases/case_sim000001", key=key, headers=pinned).json() for key in (SANDBOX_KEY, older.secret)]
    assert same[0] == same[1]
