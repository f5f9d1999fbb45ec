"""The life-cycles as data, the verdicts that follow from them, and both against the published specification."""

from __future__ import annotations

import json
import re

import pytest

from airflow_provider_persona.api.answers import AnswerKind
from airflow_provider_persona.api.errors import PersonaAnswerError, PersonaSettingsError
from airflow_provider_persona.api.lifecycle import (
    LIFECYCLES,
    CaseGoal,
    CountGoal,
    ResourceState,
    Verdict,
    labels,
    lifecycle_of,
)
from airflow_provider_persona.api.messages import Response
from airflow_provider_persona.api.models import Case
from airflow_provider_persona.api.operations import BadCallError, operation
from tests.specification import document

REACHED, FAILED, WAITING = Verdict.REACHED, Verdict.FAILED, Verdict.WAITING


@pytest.mark.parametrize("lifecycle", LIFECYCLES.values(), ids=lambda each: each.resource)
class TestEveryLifecycle:
    def test_one_request_reads_it_sparsely(self, lifecycle):
        request = lifecycle.request("id_1")
        assert operation(request.operation_id).answer is AnswerKind.OBJECT
        assert (request.method, request.body, request.path.endswith("/id_1")) == ("GET", None, True)
        asked = dict(request.query)
        assert asked.pop("include") == ""
        assert asked
        assert {value.split(",")[0] for value in asked.values()} == {"status"}
        assert len(request.target) < 1500, "firewalls refuse long queries"

    def test_an_id_that_would_leave_its_place_in_the_path_is_refused(self, lifecycle):
        with pytest.raises(BadCallError):
            lifecycle.request("../cases/case_1")

    def test_its_sets_fit_together(self, lifecycle):
        assert not lifecycle.reached & lifecycle.failed
        assert not lifecycle.final & lifecycle.passing
        assert lifecycle_of(lifecycle.resource) is lifecycle

    def test_an_unknown_status_means_not_yet(self, lifecycle):
        assert lifecycle.goal(["wanted"]).verdict(ResourceState("brand_new")) is WAITING

    def test_a_named_status_ends_it_on_either_side(self, lifecycle):
        goal = lifecycle.goal("wanted", "unwanted")
        assert goal.verdict(ResourceState("wanted")) is REACHED
        assert goal.verdict(ResourceState("unwanted")) is FAILED
        assert "unwanted" in goal.reason("unwanted")

    def test_a_status_cannot_be_on_both_sides(self, lifecycle):
        with pytest.raises(PersonaSettingsError, match="both"):
            lifecycle.goal(["wanted", "other"], ["wanted"])

    @pytest.mark.parametrize(
        "answer", [b"", b"null", b"[]", b'{"data": []}', b'{"data": {}}', b'{"data": {"attributes": {"status": 1}}}']
    )
    def test_an_answer_without_a_status_is_no_endless_wait(self, lifecycle, answer):
        with pytest.raises(PersonaAnswerError, match="blocklist"):
            lifecycle.state(Response(200, {"Request-Id": "req_1"}, answer))


@pytest.mark.parametrize(
    ("resource", "status", "verdict"),
    [
        ("inquiry", "created", WAITING),
        ("inquiry", "pending", WAITING),
        ("inquiry", "completed", REACHED),
        ("inquiry", "needs_review", REACHED),
        ("inquiry", "approved", REACHED),
        ("inquiry", "declined", FAILED),
        ("inquiry", "failed", FAILED),
        ("inquiry", "expired", FAILED),
        ("inquiry-session", "new", WAITING),
        ("inquiry-session", "active", WAITING),
        ("inquiry-session", "expired", REACHED),
        ("verification", "confirmed", WAITING),
        ("verification", "requires_retry", WAITING),
        ("verification", "tentatively_failed", WAITING),
        ("verification", "passed", REACHED),
        ("verification", "failed", FAILED),
        ("verification", "skipped", FAILED),
        ("verification", "canceled", FAILED),
        ("report", "pending", WAITING),
        ("report", "ready", REACHED),
        ("report", "errored", FAILED),
        ("workflow-run", "in_progress", WAITING),
        ("workflow-run", "errored", FAILED),
        ("importer", "pending", WAITING),
        ("importer", "ready", REACHED),
        ("importer", "errored", FAILED),
        ("document", "submitted", WAITING),
        ("document", "processed", REACHED),
        ("document", "errored", FAILED),
        ("list", "active", REACHED),
        ("list", "archived", FAILED),
        ("graph-query", "submitted", WAITING),
        ("graph-query", "completed", REACHED),
        ("graph-query", "errored", FAILED),
        ("graph-query", "cancelled", FAILED),
        ("graph-query", "timed_out", FAILED),
    ],
)
def test_what_ends_a_wait_when_nothing_is_named(resource, status, verdict):
    assert lifecycle_of(resource).goal().verdict(ResourceState(status)) is verdict


@pytest.mark.parametrize(
    ("status", "ended", "named", "verdict"),
    [
        ("in_progress", False, None, WAITING),
        (None, False, None, WAITING),
        ("whatever", True, None, REACHED),
        (None, True, None, REACHED),
        ("errored", True, None, FAILED),
        ("completed", False, "completed", REACHED),
        ("whatever", True, "completed", FAILED),
    ],
)
def test_a_workflow_run_is_judged_by_its_end(status, ended, named, verdict):
    goal = lifecycle_of("workflow-run").goal(named)
    assert goal.verdict(ResourceState(status, ended)) is verdict


@pytest.mark.parametrize(
    ("named", "refused", "status", "verdict"),
    [
        (["approved", "declined"], None, "declined", REACHED),
        (["approved", "declined"], None, "expired", FAILED),
        (["approved", "declined"], None, "completed", WAITING),
        ("approved", None, "declined", FAILED),
        ("approved", [], "expired", WAITING),  # it can be resumed
        ("completed", [], "approved", FAILED),  # it is not completed after that
    ],
)
def test_what_is_named_goes_before_what_is_usual(named, refused, status, verdict):
    goal = lifecycle_of("inquiry").goal(named, refused)
    assert goal.verdict(ResourceState(status)) is verdict
    assert status in goal.reason(status)


def test_the_reason_names_what_cannot_be_reached_any_more():
    assert lifecycle_of("report").goal("reviewed").reason("ready") == (
        "ended with status ready, which none of reviewed follows"
    )


@pytest.mark.parametrize("given", ["Approved", "needs-review", "Needs Review", "APPROVED"])
def test_a_misspelt_status_is_an_error_and_no_endless_wait(given):
    with pytest.raises(PersonaSettingsError, match="did you mean"):
        lifecycle_of("inquiry").goal(given)
    with pytest.raises(PersonaSettingsError, match="did you mean"):
        lifecycle_of("inquiry").goal(None, ["failed", given])


def test_statuses_of_a_transaction_are_taken_as_they_are():
    goal = lifecycle_of("transaction").goal("Settled", ["Charged Back"])
    verdicts = [goal.verdict(ResourceState(status)) for status in ("created", "Settled", "Charged Back")]
    assert verdicts == [WAITING, REACHED, FAILED]
    with pytest.raises(PersonaSettingsError, match="name those"):
        lifecycle_of("transaction").goal()


def test_a_resource_without_a_life_cycle_is_refused_by_name():
    with pytest.raises(PersonaSettingsError, match="graph-query"):
        lifecycle_of("webhook")


@pytest.mark.parametrize(
    ("resource", "attributes", "state"),
    [
        (
            "report",
            {"status": "ready", "has-match": True, "name": "Canaria"},
            ResourceState("ready", facts={"has-match": True}),
        ),
        ("report", {"status": "ready", "has-match": "Canaria"}, ResourceState("ready", facts={"has-match": None})),
        (
            "importer",
            {"status": "ready", "successful-count": 3, "error-count": 1},
            ResourceState("ready", facts={"successful-count": 3, "duplicate-count": None, "error-count": 1}),
        ),
        ("workflow-run", {"completed-at": None}, ResourceState(None)),
        ("workflow-run", {"status": "done", "completed-at": "2026-01-01"}, ResourceState("done", ended=True)),
    ],
)
def test_of_an_answer_only_the_state_is_kept(resource, attributes, state):
    answer = json.dumps({"data": {"id": "x_1", "attributes": attributes}}).encode()
    assert lifecycle_of(resource).state(Response(200, {}, answer)) == state


@pytest.mark.parametrize(
    "status", ["\x1b[31mapproved", "approved\u202e", "approved\n", "x" * 1_000_000, ["approved"], 5]
)
@pytest.mark.parametrize("resource", ["inquiry", "transaction", "report"])
def test_a_status_that_is_no_label_is_none(resource, status):
    answer = json.dumps({"data": {"id": "x_1", "attributes": {"status": status}}}).encode()
    with pytest.raises(PersonaAnswerError, match="shows no status") as caught:
        lifecycle_of(resource).state(Response(200, {}, answer))
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("goal", "attributes", "verdict"),
    [
        (CaseGoal(frozenset({"Done"})), {"status": "Done"}, REACHED),
        (CaseGoal(frozenset({"Done"}), frozenset({"Bad"})), {"status": "Bad"}, FAILED),
        (CaseGoal(frozenset({"Done"})), {"status": "done"}, WAITING),
        (CaseGoal(resolved=True), {"status": "Open", "resolved-at": "2026-01-01T00:00:00Z"}, REACHED),
        (CaseGoal(resolved=True), {"status": "Open", "resolved-at": None}, WAITING),
    ],
)
def test_verdicts_on_cases(goal, attributes, verdict):
    assert goal.verdict(Case.from_resource({"id": "case_1", "attributes": attributes})) is verdict


@pytest.mark.parametrize(
    ("goal", "seen", "verdict", "enough"),
    [
        (CountGoal(at_most=0), 0, REACHED, 1),
        (CountGoal(at_most=0), 1, WAITING, 1),
        (CountGoal(at_most=2), 2, REACHED, 3),
        (CountGoal(at_least=2), 1, WAITING, 2),
        (CountGoal(at_least=2), 2, REACHED, 2),
    ],
)
def test_verdicts_on_numbers_of_cases(goal, seen, verdict, enough):
    assert (goal.verdict(seen), goal.enough) == (verdict, enough)


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (None, set()),
        ("ready", {"ready"}),
        (["ready", "errored"], {"ready", "errored"}),
        ("['ready', 'errored']", {"ready", "errored"}),
        (" ready\n", {"ready"}),
        (["ready ", "errored"], {"ready", "errored"}),
    ],
)
def test_statuses_as_arguments_and_templates_give_them(given, found):
    assert labels(given) == found


@pytest.mark.parametrize(
    "given",
    [
        "",
        " ",
        "ready, errored",
        "ready;errored",
        "ready\nerrored",
        "[ready",
        [1],
        [""],
        "{{ 'ready' }}",
        "[" + "-" * 99999,
    ],
)
def test_statuses_that_lost_their_form_are_refused(given):
    with pytest.raises(PersonaSettingsError):
        labels(given)


# ------------------------------------------------------------------ against the published specification


def _read_schemas(lifecycle):
    """Return the schemas of the objects that the resource's read may answer with."""

    def resolved(node):
        while "$ref" in node:
            found = document()
            for key in node["$ref"].split("/")[1:]:
                found = found[key]
            node = found
        return node

    path = next(path for path in document()["paths"] if path.endswith(operation(lifecycle.operation_id).path))
    answer = resolved(document()["paths"][path]["get"]["responses"]["200"])
    data = resolved(resolved(next(iter(answer["content"].values()))["schema"])["properties"]["data"])
    for schema in map(resolved, data.get("oneOf") or data.get("anyOf") or [data]):
        attributes = resolved(schema["properties"]["attributes"])
        parts = [attributes, *map(resolved, attributes.get("allOf", []))]
        names = {name: value for part in parts for name, value in part.get("properties", {}).items()}
        yield schema["properties"]["type"].get("const"), names


@pytest.mark.contract
@pytest.mark.parametrize("lifecycle", LIFECYCLES.values(), ids=lambda each: each.resource)
def test_the_published_states_and_kinds_are_known(lifecycle):
    schemas = list(_read_schemas(lifecycle))
    assert schemas
    for _, attributes in schemas:
        assert {"status", *lifecycle.facts, *filter(None, [lifecycle.ended_at])} <= set(attributes)
        published = set(re.findall(r"^- (\w+)", attributes["status"].get("description", ""), re.MULTILINE))
        assert published <= lifecycle.known
    kinds = {kind for kind, _ in schemas}
    assert set(lifecycle.kinds) <= kinds
    if lifecycle.resource in ("report", "importer", "document"):
        assert set(lifecycle.kinds) == kinds
