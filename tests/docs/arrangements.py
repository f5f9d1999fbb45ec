"""What the Dags of the guides are run with, and what must have come of it by the simulator's account.

One generator for each Dag, by its id: it makes what the Dag needs and yields the run's configuration; what it is sent
back is the run.
"""

from __future__ import annotations

import base64
import json
import sqlite3
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from persona_simulator import SANDBOX_KEY, SimulatorServer
from tests.snippets import snippets_of

Arrangement = Generator[dict[str, Any], Any, None]
GUIDES = Path(__file__).parents[2] / "docs" / "guides"
PDF = b"%PDF-1.4 a letter"
LAKE = "s3://aws_default@lake"
"""The object store of the guides, which is a folder here."""


@dataclass(frozen=True)
class World:
    """What a Dag meets.

    :param persona: the simulated Persona behind `persona_default`.
    :param fill: makes a table in the warehouse.
    :param folder: holds the warehouse and what stands for the object store.
    :param monkeypatch: for further connections.
    :param dag: the Dag, to be run with `run_dag`.
    :param run_dag: runs a Dag.
    """

    persona: SimulatorServer
    fill: Callable[..., None]
    folder: Path
    monkeypatch: pytest.MonkeyPatch
    dag: Any
    run_dag: Callable[..., Any]

    def cases(self, status: str, count: int) -> list[str]:
        return [case_id for case_id, now in self.persona.statuses().items() if now == status][:count]

    def changed(self) -> set[str]:
        """Return the objects that were written to, by whom that is no human."""
        return {effect.object_id for effect in self.persona.journal() if effect.actor != "human"}

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.folder / "warehouse.sqlite")) as db:
            return db.execute(sql).fetchall()

    def disputes(self, status: str = "Open") -> list[str]:
        """Fill the table of disputes: two that were lost, and one that was not."""
        opened = self.cases(status, 3)
        self.fill("disputes", "case_id, lost", [(opened[0], 1), (opened[1], 1), (opened[2], 0)])
        return opened


ARRANGEMENTS: dict[str, Callable[[World], Arrangement]] = {}


def arranged(arrangement: Callable[[World], Arrangement]) -> Callable[[World], Arrangement]:
    ARRANGEMENTS[arrangement.__name__] = arrangement
    return arrangement


def returned(run: Any, task_id: str) -> Any:
    return run.get_task_instance(task_id).xcom_pull(task_ids=task_id)


@arranged
def decline_lost_disputes(world: World) -> Arrangement:
    opened = world.disputes()
    world.persona.act_as_human(opened[1], status="Approved")
    run = yield {}
    assert world.changed() == {opened[0]}
    counts = returned(run, "decline")["counts"]
    assert (counts["updated"], counts["skipped_guard"]) == (1, 1)


@arranged
def score_cases(world: World) -> Arrangement:
    opened = world.cases("Open", 1)
    world.fill("scores", "persona_case, score, verdict", [(opened[0], 77, "Declined")])
    yield {}
    found = {case["case_id"]: case for case in world.persona.cases()}[opened[0]]
    assert (found["status"], found["fields"]["risk_score"]) == ("Declined", 77)


@arranged
def sample_first(world: World) -> Arrangement:
    opened = world.disputes()
    run = yield {}
    assert world.changed() == set(opened[:2])
    first, rest = (returned(run, name)["counts"] for name in ("first", "rest"))
    assert (first["updated"], first["planned"], rest["updated"], rest["planned"]) == (1, 1, 2, 0)


@arranged
def decide_by_reference_id(world: World) -> Arrangement:
    numbers = [case_id.removeprefix("case_") for case_id in world.cases("Open", 2)]
    rows = [(f"customer-{number}", "Declined") for number in numbers]
    world.fill("verdicts", "customer_id, verdict", [*rows * 5, ("nobody", "Declined")])
    world.dag.get_task("decide").max_invalid = 0.5
    run = yield {}
    assert world.changed() == {f"case_{number}" for number in numbers}
    counts = returned(run, "decide")["counts"]
    assert (counts["updated"], counts["invalid"]) == (2, 1)


@arranged
def decline_with_approval(world: World) -> Arrangement:
    opened = world.disputes()
    run = yield {}
    assert returned(run, "plan")["transitions"] == {"Open -> Declined": 2}
    shown = world.dag.asked["body"]
    assert "| Open -\\> Declined | 2 |" in shown
    assert returned(run, "plan")["hash"] in shown
    assert returned(run, "apply")["approval"]["reason"] == "as agreed"
    assert world.changed() == set(opened[:2])


@arranged
def decide_inquiries(world: World) -> Arrangement:
    ids = {"inq_good": "completed", "inq_bad": "needs_review", "inq_open": "pending"}
    world.persona.add_objects(*ids)
    for object_id, status in ids.items():
        world.persona.change_object(object_id, status=status)
    verdicts = [("inq_good", "approved", "low risk"), ("inq_bad", "declined", "fraud"), ("inq_open", "approved", "x")]
    world.fill("verdicts", "inquiry_id, verdict, reason", verdicts)
    run = yield {}
    assert returned(run, "plan")["outcomes"] == {"change": 2, "skipped_guard": 1}
    assert sum(returned(run, "plan")["irreversible"].values()) == 2
    assert "approved is a decision" in world.dag.asked["body"]
    found = {object_id: world.persona.object(object_id) for object_id in ids}
    assert [each["status"] for each in found.values()] == ["approved", "declined", "pending"]
    assert found["inq_bad"]["attributes"]["reviewer-comment"] == "fraud"


@arranged
def dismiss_matches(world: World) -> Arrangement:
    ids = ["rep_first", "rep_second", "rep_other"]
    world.persona.add_objects(*ids)
    for object_id in ids:
        world.persona.change_object(object_id, status="ready", attributes={"has-match": True})
    world.fill("cleared_matches", "report_id, reason", [(object_id, "another person") for object_id in ids[:2]])
    yield {}
    assert [world.persona.object(object_id)["attributes"]["has-match"] for object_id in ids] == [False, False, True]
    assert world.persona.object("rep_first")["attributes"]["tags"] == ["cleared"]


@arranged
def take_back(world: World) -> Arrangement:
    from airflow_provider_persona.operators.bulk import PersonaBulkUpdateCasesOperator
    from airflow_provider_persona.version_compat import DAG

    opened = world.cases("Open", 2)
    rows = [{"case_id": case_id, "status": "Declined"} for case_id in opened]
    with DAG("done_before", schedule=None) as before:
        PersonaBulkUpdateCasesOperator(task_id="decline", changes=rows, only_from="Open")
    report = returned(world.run_dag(before), "decline")
    world.persona.act_as_human(opened[1], status="Approved")
    yield {"report": report}
    assert [world.persona.statuses()[case_id] for case_id in opened] == ["Open", "Approved"]


@arranged
def audited(world: World) -> Arrangement:
    opened = world.disputes()
    yield {}
    updated, left = (world.query(snippet.text) for snippet in snippets_of(GUIDES / "resume-and-audit.md", "sql"))
    assert {line[:4] for line in updated} == {(case_id, "Open", "Declined", "updated") for case_id in opened[:2]}
    assert left == []
    told = next(line for line in (GUIDES / "resume-and-audit.md").read_text().split("| column | holds |")[1:])
    for (name,) in world.query("SELECT name FROM pragma_table_info('persona_ledger')"):
        assert f"`{name}`" in told


@arranged
def at_night(world: World) -> Arrangement:
    opened = world.disputes()
    yield {}
    assert world.changed() == set(opened[:2])


@arranged
def bulk_calls(world: World) -> Arrangement:
    world.fill("customers", "account_id, segment", [("act_sim000001", "gold"), ("act_sim000002", None)])
    world.fill("fraudsters", "email", [("a@example.com",), ("b@example.com",), ("b@example.com",)])
    run = yield {"list_id": "lst_email_address"}
    tagged = [effect.object_id for effect in world.persona.journal() if effect.operation == "accounts-add-tag"]
    assert tagged == ["act_sim000001"]
    assert returned(run, "tag_accounts")["counts"]["invalid"] == 0
    assert returned(run, "block_addresses")["counts"]["updated"] == 2


@arranged
def screen_a_person(world: World) -> Arrangement:
    world.persona.configure(work_seconds=0, work_reads=0)
    run = yield {"first": "Ines", "last": "Castellano"}
    kept = returned(run, "keep")
    assert Path(kept["uri"]).is_relative_to(world.folder)
    assert returned(run, "ready")["status"] == "ready"


@arranged
def one_call(world: World) -> Arrangement:
    pending = world.cases("Pending", 1000)
    run = yield {}
    assert {each["id"] for each in returned(run, "pending_cases")} == set(pending)


@arranged
def tag_from_code(world: World) -> Arrangement:
    yield {"account_id": "act_sim000003", "score": "91"}
    assert world.persona.object("act_sim000003")["attributes"]["tags"][-1] == "risky"


@arranged
def mirror_cases(world: World) -> Arrangement:
    yield {}
    cases = {case["case_id"]: case for case in world.persona.cases()}
    lines = world.query("SELECT id, status FROM persona_cases")
    assert {(case_id, case["status"]) for case_id, case in cases.items()} == set(lines)


@arranged
def export_accounts(world: World) -> Arrangement:
    run = yield {}
    report = returned(run, "accounts")
    manifest = Path(report["manifest"])
    assert manifest.is_relative_to(world.folder)
    lines = [line for part in manifest.parent.glob("part-*.jsonl") for line in part.read_text().splitlines()]
    assert len(lines) == report["rows"] > 0
    assert all(set(json.loads(line)["attributes"]) <= {"created-at", "tags"} for line in lines)


@arranged
def keep_documents(world: World) -> Arrangement:
    headers = {"Authorization": f"Bearer {SANDBOX_KEY}"}
    file = {"filename": "letter.pdf", "data": base64.b64encode(PDF).decode()}
    made = requests.post(
        f"{world.persona.url}/api/v1/document/generics",
        json={"data": {"attributes": {"files": [file], "kind": "letter"}}},
        headers=headers,
        timeout=5,
    )
    assert made.status_code == 201, made.text
    run = yield {"document_id": made.json()["data"]["id"]}
    (found,) = returned(run, "files")["files"]
    assert Path(found["uri"]).read_bytes() == PDF


@arranged
def before(world: World) -> Arrangement:
    opened = world.cases("Open", 2)
    world.fill("verdicts", "case_id, status", [(case_id, "Declined") for case_id in opened])
    extra = json.dumps({"Authorization": f"Bearer {SANDBOX_KEY}"})
    connection = {"conn_type": "http", "host": world.persona.url, "extra": extra}
    world.monkeypatch.setenv("AIRFLOW_CONN_PERSONA_HTTP", json.dumps(connection))
    yield {}
    assert world.changed() == set(opened)


@arranged
def after(world: World) -> Arrangement:
    opened = world.cases("Open", 2)
    world.fill("verdicts", "case_id, status", [(case_id, "Declined") for case_id in opened])
    yield {}
    assert world.changed() == set(opened)


@arranged
def in_between(world: World) -> Arrangement:
    run = yield {}
    assert returned(run, "open_cases") > 0
    assert {request.status for request in world.persona.requests()} == {200}


@arranged
def assign_case(world: World) -> Arrangement:
    (case_id,) = world.cases("Open", 1)
    yield {"case_id": case_id, "reviewer": "ana.reviewer@example.com", "note": "called her"}
    case = {case["case_id"]: case for case in world.persona.cases()}[case_id]
    assert case["fields"]["decision-note"] == "called her"
    assert case["assignee"] == "ana.reviewer@example.com"


@arranged
def tell_assets(world: World) -> Arrangement:
    opened = world.disputes()
    yield {}
    assert world.changed() == set(opened[:2])


@arranged
def told(world: World) -> Arrangement:
    opened = world.disputes()
    yield {}
    assert world.changed() == set(opened[:2])
