"""What should be true of a case becomes the least number of calls, and their answers are checked."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from airflow_provider_persona.api.case_change import LONGEST_SLA, CaseChange
from airflow_provider_persona.api.errors import PersonaAnswerError
from airflow_provider_persona.api.models import Case
from airflow_provider_persona.api.operations import BadCallError

FILE = {"filename": "a.pdf", "data": "eA=="}
EVERYTHING = CaseChange(
    status="Approved",
    fields={"risk": 1},
    case_queue_id="cqueue_1",
    sla_expires_in=60,
    attachments=[FILE],
    assignee="a@b.c",
    add_tags=("x", "y"),
    remove_tags=("z",),
    add_objects=("inq_1",),
    remove_objects=("act_1",),
)


def case(queue=None, accounts=(), **attributes):
    relationships = {
        "case-queue": {"data": {"type": "case-queue", "id": queue} if queue else None},
        "accounts": {"data": [{"type": "account", "id": name} for name in accounts]},
    }
    attributes = {name.replace("_", "-"): value for name, value in attributes.items()}
    return Case.from_resource({"id": "case_1", "attributes": attributes, "relationships": relationships})


def calls(change, current=None):
    return [step.operation_id for step in change.steps(current)]


def test_everything_takes_one_call_for_each_part_and_the_status_comes_last():
    assert calls(EVERYTHING) == [
        "update-a-case", "add-persona-objects", "remove-persona-objects", "add-tag", "add-tag", "remove-tag",
        "assign-a-case", "set-status-for-a-case",
    ]  # fmt: skip


def test_one_patch_carries_all_that_a_patch_can():
    body = EVERYTHING.steps()[0].body
    assert body == {
        "data": {"attributes": {"fields": {"risk": 1}, "attachments": [FILE], "case-queue-id": "cqueue_1"}},
        "meta": {"sla-expires-in-seconds": 60},
    }


@pytest.mark.parametrize(
    ("change", "body"),
    [
        ({"status": "A"}, {"meta": {"status": "A"}}),
        ({"assignee": "a@b.c"}, {"meta": {"user-email-address": "a@b.c"}}),
        ({"tags": ("a", "b")}, {"meta": {"tag-name": ["a", "b"]}}),
        ({"tags": ()}, {"meta": {"tag-name": []}}),
        ({"add_tags": ("a",)}, {"meta": {"tag-name": "a"}}),
        ({"add_objects": ("inq_1",)}, {"meta": {"object-ids": ["inq_1"]}}),
        ({"case_queue_id": None}, {"data": {"attributes": {"case-queue-id": None}}}),
        ({"sla_expires_in": None}, {"meta": {"sla-expires-in-seconds": None}}),
    ],
)
def test_what_one_wish_sends(change, body):
    (step,) = CaseChange(**change).steps()
    request = step.request("case_1")
    assert request.body == body
    assert request.query[0][0] == "fields[case]"
    assert "status" in request.query[0][1].split(",")


def test_nothing_wished_is_nothing_to_do():
    assert CaseChange().is_empty
    assert not CaseChange(case_queue_id=None).is_empty
    assert CaseChange().steps() == ()


@pytest.mark.parametrize(
    ("change", "current", "left"),
    [
        ({"status": "Open"}, case(status="Open"), []),
        ({"status": "Open"}, case(status="open"), ["set-status-for-a-case"]),
        ({"status": "Open"}, case(), ["set-status-for-a-case"]),
        ({"fields": {"a": 1}}, case(fields={"a": 1, "b": 2}), []),
        ({"fields": {"a": 1}}, case(fields={"b": 2}), ["update-a-case"]),
        ({"fields": {"a": None}}, case(fields={}), ["update-a-case"]),
        ({"fields": {"a": 1}}, case(), ["update-a-case"]),
        ({"case_queue_id": "q"}, case(queue="q"), []),
        ({"case_queue_id": "q"}, case(queue="p"), ["update-a-case"]),
        ({"case_queue_id": None}, case(), []),
        ({"case_queue_id": None}, case(queue="p"), ["update-a-case"]),
        ({"sla_expires_in": None}, case(), []),
        ({"sla_expires_in": None}, case(sla_expires_at="2026-01-01T00:00:00Z"), ["update-a-case"]),
        ({"sla_expires_in": 5}, case(sla_expires_at="2026-01-01T00:00:00Z"), ["update-a-case"]),
        ({"attachments": [FILE]}, case(), ["update-a-case"]),
        ({"assignee": "A@b.c"}, case(assignee_id="a@B.c"), []),
        ({"assignee": "a@b.c"}, case(), ["assign-a-case"]),
        ({"tags": ("a", "b")}, case(tags=["b", "a"]), []),
        ({"tags": ("a",)}, case(tags=["b", "a"]), ["set-tags"]),
        ({"tags": ()}, case(tags=[]), []),
        ({"add_tags": ("a", "b")}, case(tags=["a"]), ["add-tag"]),
        ({"remove_tags": ("a", "b")}, case(tags=["a"]), ["remove-tag"]),
        ({"remove_tags": ("a",)}, case(), ["remove-tag"]),
        ({"add_objects": ("act_1",)}, case(accounts=["act_1", "act_2"]), []),
        ({"add_objects": ("act_1", "act_3")}, case(accounts=["act_1"]), ["add-persona-objects"]),
        ({"remove_objects": ("act_1",)}, case(), ["remove-persona-objects"]),
    ],
)
def test_what_is_already_so_is_left_out(change, current, left):
    assert calls(CaseChange(**change), current) == left


@pytest.mark.parametrize(
    ("change", "answered"),
    [
        ({"status": "Open"}, case(status="Closed")),
        ({"status": "Open"}, case()),
        ({"assignee": "a@b.c"}, case(assignee_id="x@y.z")),
        ({"tags": ("a",)}, case(tags=["a", "b"])),
        ({"add_tags": ("a",)}, case(tags=["b"])),
        ({"remove_tags": ("a",)}, case(tags=["a"])),
        ({"fields": {"a": 1}}, case(fields={"b": 1})),
        ({"fields": {"a": 1}}, case()),
    ],
)
def test_an_answer_that_does_not_show_the_wish_is_a_failure(change, answered):
    (step,) = CaseChange(**change).steps()
    with pytest.raises(PersonaAnswerError, match=rf"answer does not show the wanted {step.part} \[req_1\]"):
        step.check(answered, "req_1")


@pytest.mark.parametrize(
    ("change", "answered"),
    [
        ({"status": "Open"}, case(status="Open")),
        ({"fields": {"day": "2026-1-2"}}, case(fields={"day": "2026-01-02"})),  # another spelling
        ({"add_objects": ("doc_1",)}, case()),  # documents do not show
        ({"remove_objects": ("act_1",)}, case()),
        ({"sla_expires_in": 9}, case()),
        ({"tags": ()}, case()),
    ],
)
def test_an_answer_that_shows_it_or_cannot_show_it_is_taken(change, answered):
    (step,) = CaseChange(**change).steps()
    step.check(answered)


@pytest.mark.parametrize(
    "odd",
    [
        {"status": ""}, {"status": "  "}, {"assignee": " "}, {"sla_expires_in": 0}, {"sla_expires_in": LONGEST_SLA + 1},
        {"tags": ("a",), "add_tags": ("b",)}, {"tags": (), "remove_tags": ("b",)},
        {"add_tags": ("a",), "remove_tags": ("a",)},
        {"staus": "Open"}, {"attachments": [{"filename": "", "data": "x"}]}, {"attachments": [{"filename": "a"}]},
    ],
)  # fmt: skip
def test_a_wish_that_makes_no_sense_is_refused(odd):
    with pytest.raises(ValidationError):
        CaseChange(**odd)


def test_neither_a_wish_nor_its_refusal_shows_personal_data():
    change = CaseChange(
        fields={"name-first": "Canary"}, assignee="canary@b.c", attachments=[{"filename": "f", "data": "canary"}]
    )
    assert "canary" not in f"{change!r} {change.steps()!r}".lower()
    with pytest.raises(ValidationError) as caught:
        CaseChange(fields="canary")
    assert "canary" not in str(caught.value)


def test_a_case_id_that_cannot_be_put_into_a_path_is_refused():
    (step,) = CaseChange(status="Open").steps()
    with pytest.raises(BadCallError, match="case-id cannot be put into a path"):
        step.request("case_1/../case_2")
