"""What a person is asked about a plan, and that the answer is about that plan and no other."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from airflow_provider_persona.bulk.plan.digest import PlanDigest
from airflow_provider_persona.bulk.plan.file import read_plan
from airflow_provider_persona.operators.plans import PersonaApplyPlanOperator, PersonaPlanCaseUpdatesOperator
from airflow_provider_persona.tasks.approval import Question, escaped
from airflow_provider_persona.version_compat import (
    AIRFLOW_V_3_1_PLUS,
    AirflowFailException,
    AirflowOptionalProviderFeatureException,
)
from tests.operators.plan_runs import changed, execute, to_status, with_status

NOW = datetime(2026, 11, 27, 14, 7, tzinfo=UTC)
needs_approval = pytest.mark.skipif(not AIRFLOW_V_3_1_PLUS, reason="Airflow has no operator that waits for a person")


@pytest.fixture
def planned(persona_connection, state_path):
    """Plan rows, and return what the planning task returned with the plan."""

    def plan(rows, **arguments):
        task = PersonaPlanCaseUpdatesOperator(task_id="plan", changes=rows, **arguments)
        told = execute(task)
        return told, read_plan(Path(told["plan"]).parent)

    return plan


def _asked(told, plan, **more):
    return Question(PlanDigest.of(plan), told, NOW, **more)


def _table(body, heading):
    """Return the cells of the table whose first row begins with a heading."""
    lines = body[body.index(f"| {heading}") :].split("\n\n")[0].splitlines()
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


def test_the_question_has_what_is_needed_to_decide(planned, persona_connection):
    opened, decided = with_status(persona_connection, "Open", 14), with_status(persona_connection, "Approved", 3)
    pending = with_status(persona_connection, "Pending", 1)
    rows = to_status(opened + decided + pending) + to_status(["", "no id"]) + to_status(opened[:1], "Approved")
    told, plan = planned(rows, never_from=["Aproved", "Approved"], max_changes=50, max_invalid=0.5)
    asked = _asked(
        told,
        plan,
        dashboard="https://persona.example/d",
        pages={"All rows": "https://airflow.example/p"},
        note="*Hello*",
    )
    body = asked.body()

    changes = told["outcomes"]["change"]
    assert asked.subject == f"Change {changes} cases in Persona?"
    assert body.startswith("*Hello*")
    assert f"**{changes} of {told['rows']} rows would be changed**" in body
    assert "**Aproved**: no case and no template has this status" in body
    assert told["environment"] in body
    assert told["hash"] in body
    assert "[All rows](https://airflow.example/p)." in body
    assert dict(_table(body, "from -> to"))[r"Pending -\> Declined"] == "1"
    left_out = _table(body, "rows that stay")
    counted = {outcome: 0 for outcome in told["outcomes"] if outcome != "change"}
    for count, why in left_out:
        outcome, _, reason = why.partition(": ")
        assert reason
        counted[outcome] += int(count)
    assert counted == {outcome: n for outcome, n in told["outcomes"].items() if outcome != "change"}
    assert any(decided[0] in why for _, why in left_out)
    assert [cells[:2] for cells in _table(body, "threshold")] == [["`max_changes`", "50"], ["`max_invalid`", "0.5"]]
    sample = _table(body, "10 of the cases")
    assert len(sample) == 10
    assert any(f"[{pending[0]}](https://persona.example/d/cases/{pending[0]})" in row for row in sample), (
        "each kind of change"
    )


@pytest.mark.parametrize(
    ("estimate", "said"),
    [
        (
            {"requests": 2520, "seconds": 780, "limit": 300, "reserve": 0.2},
            "13 min, by 14:20 UTC if it is approved now",
        ),
        ({"requests": 90000, "seconds": 36000, "limit": 300, "reserve": 0.2}, "10 h, by 00:07 UTC on 28 November if"),
        ({"requests": 5, "seconds": None, "limit": None, "reserve": 0.2}, "5 requests; the request limit is unknown"),
        (None, "would be changed**"),
    ],
)
def test_it_says_when_it_would_be_done(planned, persona_connection, estimate, said):
    told, plan = planned(to_status(with_status(persona_connection, "Open", 1)))
    assert said in _asked({**told, "estimate": estimate}, plan).body()


def test_what_comes_from_a_query_never_becomes_markup(planned, persona_connection):
    evil = "[click](https://evil.example) <img src=x onerror=alert(1)> | a | b\n# heading `code` **b**"
    rows = [{"case_id": evil, "status": "Declined"}, *to_status(with_status(persona_connection, "Open", 1), evil)]
    told, plan = planned(rows)
    body = re.sub(r"\\.", "", _asked(told, plan).body())  # what is escaped is shown as it is
    for part in ("[click](", "<img", "\n# heading", "`code`", "**b**"):
        assert part not in body
    assert escaped("a_b -> c") == r"a_b -\> c"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://evil.example/a", "https:\u200b//evil.example/a"),
        ("HTTP://evil.example", "HTTP:\u200b//evil.example"),
        ("see www.evil.example", "see www\u200b.evil.example"),
        ("ana@evil.example", "ana\u200b@evil.example"),
        ("s3://aws_default@bucket/plan.jsonl", "s3://aws_default@bucket/plan.jsonl"),
        ("Approved \u202edenilceD", "Approved \ufffddenilceD"),
        ("Genehmigt – ja", "Genehmigt – ja"),
        ("_Approved_ by_a __x", r"\_Approved\_ by_a \_\_x"),
    ],
)
def test_no_status_becomes_a_link_or_stress_or_turns_the_line_around(text, shown):
    """Airflow's page makes links of bare addresses, after Markdown has taken the escapes away."""
    assert escaped(text) == shown


def test_no_value_of_a_row_is_in_the_question(planned, persona_connection):
    private = "Vogel" + "sang"
    opened = with_status(persona_connection, "Open", 3)
    told, plan = planned(to_status(opened, fields={"decision-note": private}, assignee=f"{private}@example.com"))
    assert private in (plan.folder / "values.jsonl").read_text()
    assert private not in _asked(told, plan).body()


ANSWER = {"params_input": {"reason": "ticket 7"}, "responded_at": NOW, "responded_by_user": {"id": "1", "name": "ana"}}


@needs_approval
class TestAnswers:
    def _operator(self, told, **more):
        from airflow_provider_persona.operators.approval import PersonaApprovalOperator

        return PersonaApprovalOperator(task_id="approve", plan=told, **more)

    def _answered(self, operator, chosen, plan, **event):
        asked = {"plan": plan.uri, "hash": plan.header.hash}
        return operator.execute_complete({}, {**ANSWER, "chosen_options": [chosen], **event}, asked=asked)

    def test_an_approval_is_of_the_plan_that_was_seen_whatever_was_planned_since(self, planned, persona_connection):
        opened = with_status(persona_connection, "Open", 4)
        told, seen = planned(to_status(opened[:2]))
        since, _ = planned(to_status(opened))
        answer = self._answered(self._operator(since), "Approve", seen)
        assert (answer["hash"], since["hash"] == answer["hash"]) == (told["hash"], False)
        report = execute(PersonaApplyPlanOperator(task_id="apply", plan=answer))
        assert changed(persona_connection) == sorted(opened[:2])
        kept = {"by": "ana", "at": "2026-11-27T14:07:00+00:00", "reason": "ticket 7"}
        assert report["approval"] == kept
        first = json.loads((seen.folder / "ledger-00001.jsonl").read_text().splitlines()[0])
        assert (first["plan"], first["approval"]) == (told["hash"], kept)

    def test_a_rejected_plan_is_not_applied_by_a_task_that_runs_all_the_same(self, planned, persona_connection):
        told, plan = planned(to_status(with_status(persona_connection, "Open", 2)))
        answer = self._answered(self._operator(told), "Reject", plan)
        assert not answer["approved"]
        with pytest.raises(AirflowFailException, match="rejected by ana"):
            execute(PersonaApplyPlanOperator(task_id="apply", plan=answer))
        with pytest.raises(AirflowFailException, match="rejected"):
            execute(PersonaApplyPlanOperator(task_id="apply", plan={**told, **answer}))
        assert changed(persona_connection) == []

    @pytest.mark.parametrize("reason", ["", "  "])
    def test_a_reason_can_be_asked_for(self, planned, persona_connection, reason):
        told, plan = planned(to_status(with_status(persona_connection, "Open", 1)))
        operator = self._operator(told, require_reason=True)
        with pytest.raises(AirflowFailException, match="without a reason"):
            self._answered(operator, "Approve", plan, params_input={"reason": reason})
        assert self._answered(operator, "Approve", plan)["approval"]["reason"] == "ticket 7"
        assert not self._answered(operator, "Reject", plan, params_input={"reason": reason})["approved"]

    def test_nobody_is_asked_about_a_plan_that_was_edited(self, planned, persona_connection):
        told, plan = planned(to_status(with_status(persona_connection, "Open", 2)))
        file = plan.folder / "plan.jsonl"
        file.write_text(file.read_text().replace("Declined", "Approved"))
        with pytest.raises(AirflowFailException, match="changed or cut short"):
            execute(self._operator(told))

    def test_no_file_outside_the_state_path_is_read(self, planned, persona_connection, tmp_path, monkeypatch):
        told, _ = planned(to_status(with_status(persona_connection, "Open", 2)))
        monkeypatch.setenv("AIRFLOW__PERSONA__STATE_PATH", str(tmp_path / "elsewhere"))
        with pytest.raises(AirflowFailException, match="neither below the state path"):
            execute(self._operator(told))

    @pytest.mark.parametrize("wrong", [{"samples": -1}, {"samples": True}, {"params": {"reason": "mine"}}])
    def test_what_makes_no_sense_is_an_error_at_parse(self, wrong):
        with pytest.raises(ValueError, match=r"samples|reason"):
            self._operator({}, **wrong)

    @pytest.mark.parametrize("odd", [5, "/tmp", {5: "x"}])
    def test_places_that_are_no_list_of_texts_are_trusted_in_nothing(self, planned, persona_connection, odd):
        told, _ = planned(to_status(with_status(persona_connection, "Open", 1)))
        operator = self._operator(told, trusted_paths=odd)
        with pytest.raises(AirflowFailException, match="trusted_paths is a list of names"):
            operator.execute({})

    def test_no_answer_in_time_counts_as_rejected(self):
        operator = self._operator({}, response_timeout=timedelta(hours=1))
        # The standard provider has `response_timeout` from 1.13 on; before, the task's own timeout did the same.
        limit = getattr(operator, "response_timeout", operator.execution_timeout)
        assert (operator.defaults, limit) == (["Reject"], timedelta(hours=1))


@pytest.mark.skipif(AIRFLOW_V_3_1_PLUS, reason="this Airflow can wait for a person")
def test_an_older_airflow_says_at_parse_what_is_needed():
    from airflow_provider_persona.operators.approval import PersonaApprovalOperator

    with pytest.raises(AirflowOptionalProviderFeatureException, match=r"approve.*needs Airflow 3\.1"):
        PersonaApprovalOperator(task_id="approve", plan={})
