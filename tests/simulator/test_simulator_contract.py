"""Every kind of answer of the operations about cases against Persona's published specification."""

from __future__ import annotations

from functools import cache
from typing import Any

import jsonschema
import pytest
import requests

from airflow_provider_persona.api.operations import catalogue
from persona_simulator import READ_ONLY_KEY, SimulatorConfig
from persona_simulator.resources.table import OWN_RESOURCES
from tests.specification import document

pytestmark = pytest.mark.contract
BODILY = {
    "create-a-case": {"data": {"attributes": {"case-template-id": "ctmpl_kyc"}}},
    "search-cases": {"page": {"size": 3}},
    "update-a-case": {"data": {"attributes": {"fields": {"risk_score": 4}}}},
    "add-persona-objects": {"meta": {"object-ids": ["act_sim000003", "txn_sim000005"]}},
    "remove-persona-objects": {"meta": {"object-ids": ["act_sim000001"]}},
    "assign-a-case": {"meta": {"user-email-address": "ana.reviewer@example.com"}},
    "set-status-for-a-case": {"meta": {"status": "Approved"}},
    "add-tag": {"meta": {"tag-name": "vip"}},
    "remove-tag": {"meta": {"tag-name": "vip"}},
    "set-tags": {"meta": {"tag-name": ["vip", "batch"]}},
}
SPOILT = {
    "list-all-cases": (400, "?page[size]=0", None),
    "search-cases": (400, "", {"query": {"or": 1}}),
    "create-a-case": (422, "", {"data": {"attributes": {"case-template-id": "ctmpl_kyc", "fields": {"nope": 1}}}}),
    "retrieve-case": (400, "?include=nothing", None),
    "update-a-case": (422, "", {"data": {"attributes": {"fields": {"nope": 1}}}}),
    "add-persona-objects": (400, "", {}),
    "remove-persona-objects": (400, "", {}),
    "assign-a-case": (422, "", {"meta": {"user-email-address": "nobody@example.com"}}),
    "set-status-for-a-case": (422, "", {"meta": {"status": "Never"}}),
    "add-tag": (400, "", {}),
    "remove-tag": (400, "", {}),
    "set-tags": (400, "", {}),
}
OPERATIONS = sorted(each.operation_id for each in catalogue().values() if each.resource in OWN_RESOURCES)
READS = {"list-all-cases", "search-cases", "retrieve-case", "retrieve-a-case-template", "list-all-rate-limits"}


def _resolved(value: Any) -> Any:
    while isinstance(value, dict) and "$ref" in value:
        found = document()
        for part in value["$ref"].removeprefix("#/").split("/"):
            found = found[part.replace("~1", "/").replace("~0", "~")]
        value = found
    return value


@cache
def _published() -> dict[str, tuple[str, str, dict[str, Any]]]:
    found = {}
    for path, item in document()["paths"].items():
        for method, operation in item.items():
            if isinstance(operation, dict) and operation.get("operationId") in OPERATIONS:
                found[operation["operationId"]] = (method.upper(), path, operation["responses"])
    return found


def _check(operation: str, answer: requests.Response) -> None:
    """Hold an answer against what is published for its operation and status: body and headers."""
    responses = _published()[operation][2]
    assert str(answer.status_code) in responses, f"{answer.status_code} is not declared: {answer.text}"
    declared = _resolved(responses[str(answer.status_code)])
    for name, header in declared.get("headers", {}).items():
        kind = _resolved(header)["schema"]["type"]
        text = answer.headers[name]
        jsonschema.validate(int(text) if kind == "integer" else text, {"type": kind})
    schema = _resolved(declared["content"]["application/json"]["schema"])
    whole = {"components": document()["components"], "$ref": "#/x", "x": schema}
    validator = jsonschema.Draft202012Validator(whole, format_checker=jsonschema.FormatChecker())
    problems = [
        f"{'/'.join(map(str, error.absolute_path))}: {error.message[:300]}"
        for error in validator.iter_errors(answer.json())
    ]
    assert not problems, "\n".join(problems)


def _ask(
    call: Any, operation: str, query: str = "", body: Any = None, case_id: str = "case_sim000001", **options: Any
) -> Any:
    method, path, _ = _published()[operation]
    filled = path.replace("{case-id}", case_id).replace("{case-template-id}", options.pop("template", "ctmpl_kyc"))
    return call(method, filled + query, body, **options)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_good_answers(call, operation) -> None:
    answer = _ask(call, operation, body=BODILY.get(operation))
    assert answer.status_code in (200, 201)
    _check(operation, answer)


@pytest.mark.parametrize("case_id", [f"case_sim{number:06d}" for number in range(1, 16)])
def test_cases_of_every_sort_with_everything_included(call, case_id) -> None:
    everything = "accounts,inquiries,reports,verifications,txns,case-template,case-queue,case-comments"
    answer = _ask(call, "retrieve-case", f"?include={everything}", case_id=case_id)
    assert len(answer.json()["included"]) >= 4
    _check("retrieve-case", answer)


def test_a_case_after_everything_was_done_to_it(call) -> None:
    for operation in ("add-persona-objects", "assign-a-case", "set-tags", "set-status-for-a-case"):
        _ask(call, operation, body=BODILY[operation])
    file = {"filename": "a.pdf", "data": "AAAA"}
    body = {"data": {"attributes": {"attachments": [file]}}, "meta": {"sla-expires-in-seconds": 60}}
    _check("update-a-case", _ask(call, "update-a-case", body=body))
    _check("redact-a-case", _ask(call, "redact-a-case"))
    _check("update-a-case", _ask(call, "update-a-case", body=body))


def test_pages_and_sparse_lists(call) -> None:
    _check("list-all-cases", call("GET", "/cases?page[size]=100"))
    _check("list-all-cases", call("GET", "/cases?page[size]=2&page[after]=case_sim000030&fields[case]=status"))
    _check("search-cases", call("POST", "/cases/search?page[size]=2&page[after]=case_sim000030", {}))


@pytest.mark.parametrize("operation", sorted(SPOILT))
def test_refused_parameters(call, operation) -> None:
    status, query, body = SPOILT[operation]
    answer = _ask(call, operation, query, body)
    assert answer.status_code == status
    _check(operation, answer)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_refused_keys(call, operation) -> None:
    answer = _ask(call, operation, body=BODILY.get(operation), key="persona_sandbox_wrong")
    assert answer.status_code == 401
    _check(operation, answer)


@pytest.mark.parametrize("operation", sorted(set(OPERATIONS) - READS))
def test_missing_permissions(call, operation) -> None:
    answer = _ask(call, operation, body=BODILY.get(operation), key=READ_ONLY_KEY)
    assert answer.status_code == 403
    _check(operation, answer)


@pytest.mark.parametrize(
    "operation", sorted(set(OPERATIONS) - {"list-all-cases", "search-cases", "create-a-case", "list-all-rate-limits"})
)
def test_what_is_not_there(call, operation) -> None:
    answer = _ask(call, operation, body=BODILY.get(operation), case_id="case_none", template="ctmpl_none")
    assert answer.status_code == 404
    _check(operation, answer)


def test_limits_of_every_operation(simulate) -> None:
    call = simulate(SimulatorConfig(cases=10, limit=0))
    for operation in OPERATIONS:
        answer = _ask(call, operation, body=BODILY.get(operation))
        assert answer.status_code == 429
        _check(operation, answer)


def test_conflicts_and_idempotency_errors(call, server) -> None:
    server.script_fault("stale_409")
    stale = _ask(call, "set-status-for-a-case", body=BODILY["set-status-for-a-case"], idempotency_key="k")
    assert stale.status_code == 409
    _check("set-status-for-a-case", stale)
    other = _ask(call, "set-status-for-a-case", body={"meta": {"status": "Open"}}, idempotency_key="k")
    assert other.status_code == 400
    _check("set-status-for-a-case", other)
    server.script_fault("http_503")
    unavailable = _ask(call, "create-a-case", body=BODILY["create-a-case"])
    assert unavailable.status_code == 503
    _check("create-a-case", unavailable)


def test_quota_answers(simulate) -> None:
    for status in (429, 403):
        call = simulate(SimulatorConfig(cases=1, create_quota=0, quota_status=status))
        answer = _ask(call, "create-a-case", body=BODILY["create-a-case"])
        assert answer.status_code == status
        _check("create-a-case", answer)
