"""The pages on a real API app of Airflow, over what real tasks have left: who may see what, and what is shown of it."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from airflow_provider_persona.version_compat import AIRFLOW_V_3_1_PLUS, AIRFLOW_V_3_3_PLUS
from persona_simulator import SANDBOX_KEY, SimulatorServer

if not AIRFLOW_V_3_1_PLUS:
    pytest.skip("Airflow before 3.1 has no place for the pages", allow_module_level=True)

from airflow.api_fastapi.app import get_auth_manager, init_auth_manager, init_plugins
from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
from airflow.models.dag import DagModel
from airflow.models.taskinstance import TaskInstance
from airflow.models.xcom import XComModel
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.utils.session import create_session
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import delete, insert, select, update

from airflow_provider_persona.bulk.ledger.row_index import RowIndex
from airflow_provider_persona.bulk.plan.file import read_plan
from airflow_provider_persona.operators.plans import PersonaApplyPlanOperator, PersonaPlanCaseUpdatesOperator
from airflow_provider_persona.pages.headers import HEADERS
from airflow_provider_persona.pages.task_records import REVERT_DAG
from tests.airflow_fixtures import put_into_database
from tests.operators.plan_runs import new_dag

DAG_ID, OTHER = "looked_at", "another_dag"
MARKUP = '<img src=x onerror="alert(1)">'
FORMULA = "=HYPERLINK(0)"
NOTE = "canary of a private field"
WEB = ["/persona/task/", "/persona/data/task/", "/persona/data/rows/", "/persona/csv/plan/", "/persona/csv/ledger/"]


@dataclass(frozen=True)
class Seen:
    """What the tests look at.

    :param client: a client of Airflow's API app.
    :param runs: run by Dag.
    :param state: the state path.
    """

    client: TestClient
    runs: Mapping[str, str]
    state: Path

    def path(self, task_id: str = "apply", dag_id: str = DAG_ID, map_index: str = "-1") -> str:
        return f"{dag_id}/{task_id}/{map_index}/{quote(self.runs[dag_id], safe='')}"

    def get(self, address: str, user: str | None = "alice", role: str = "viewer") -> Any:
        """Ask as a user, whose login stands in the cookie that Airflow's UI has."""
        self.client.cookies.clear()
        if user is not None:
            token = get_auth_manager().generate_jwt(SimpleAuthManagerUser(username=user, role=role))
            self.client.cookies.set("_token", token)
        return self.client.get(address)

    def task(self, task_id: str = "apply", dag_id: str = DAG_ID, user: str = "alice") -> Any:
        answer = self.get(f"/persona/data/task/{self.path(task_id, dag_id)}", user)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def rows(self, task_id: str = "apply", **wanted: Any) -> Any:
        words = "&".join(f"{name}={quote(str(value))}" for name, value in wanted.items())
        answer = self.get(f"/persona/data/rows/{self.path(task_id)}?{words}")
        assert answer.status_code == 200, answer.text
        return answer.json()

    def folder(self, dag_id: str = DAG_ID) -> Path:
        return next(self.state.glob(f"{dag_id}/*/plan/1"))


def _run(dag_id: str, rows: list[dict[str, Any]]) -> str:
    with new_dag(dag_id) as dag:
        planned = PersonaPlanCaseUpdatesOperator(task_id="plan", changes=rows, never_from="Approved")
        applied = PersonaApplyPlanOperator(task_id="apply", plan=planned.output)
        planned >> EmptyOperator(task_id="plain") >> applied
    put_into_database(dag)
    return str(dag.test().run_id)


@pytest.fixture(scope="module")
def seen(
    airflow_db: None, _running_persona: SimulatorServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Seen]:
    state = tmp_path_factory.mktemp("pages") / "state"
    connection = {"conn_type": "persona", "host": _running_persona.url, "password": SANDBOX_KEY}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW__PERSONA__STATE_PATH", str(state))
        patch.setenv("AIRFLOW_CONN_PERSONA_DEFAULT", json.dumps(connection))
        patch.setenv("AIRFLOW__API_AUTH__JWT_SECRET", 16 * "test")
        patch.setenv("AIRFLOW__CORE__AUTH_MANAGER", "tests.reader_rights.DagReaders")
        patch.setenv("AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE", str(state.parent / "passwords.json"))
        # Airflow keeps one manager for the process, and ours would refuse what later tests ask of the REST API.
        patch.setattr("airflow.api_fastapi.app._AuthManagerState.instance", None)
        _running_persona.reset()
        undecided = [case for case, now in _running_persona.statuses().items() if now == "Open"]
        guarded = [case for case, now in _running_persona.statuses().items() if now == "Approved"]
        rows: list[dict[str, Any]] = [{"case_id": case, "status": "Declined"} for case in undecided[:60]]
        rows += [{"case_id": case, "status": "Declined"} for case in guarded[:3]]
        rows[10]["fields"] = {"decision-note": NOTE}
        rows[20]["status"] = MARKUP
        rows[21]["status"] = FORMULA
        rows += [{"case_id": f"case_{MARKUP}", "status": "Declined"}, {"case_id": None, "status": "Declined"}]
        runs = {DAG_ID: _run(DAG_ID, rows), OTHER: _run(OTHER, [{"case_id": undecided[70], "status": "Declined"}])}
        yield Seen(TestClient(_api()), runs, state)


def _api() -> FastAPI:
    """Airflow's API app as far as plugins and logins go; its own routes would take ten seconds to build."""
    app = FastAPI()
    init_plugins(app)
    init_auth_manager(app)
    return app


@pytest.fixture
def kept(seen: Seen) -> Iterator[Seen]:
    """The same, for tests that change what the tasks have left; it is put back."""
    copy = seen.state.with_name("copy")
    shutil.copytree(seen.state, copy)
    with create_session() as session:
        xcoms = [dict(row) for row in session.execute(select(XComModel.__table__)).mappings()]
        states = session.execute(select(TaskInstance.id, TaskInstance.state)).all()
    yield seen
    shutil.rmtree(seen.state)
    copy.rename(seen.state)
    with create_session() as session:
        session.execute(delete(XComModel))
        session.execute(insert(XComModel.__table__), xcoms)
        for ti_id, state in states:
            session.execute(update(TaskInstance).where(TaskInstance.id == ti_id).values(state=state))


def _name(seen: Seen, **changes: Any) -> None:
    """Change what the task `apply` has pushed to XCom, as somebody who may write XCom can."""
    given = {**seen.task("plan")["plan"], "counts": {"updated": 1}, "rows": 1, **changes}
    with create_session() as session:
        report = (XComModel.dag_id == DAG_ID, XComModel.task_id == "apply", XComModel.key == "report")
        session.execute(update(XComModel).where(*report).values(key="return_value", value=given))


# --- who may see what


def test_every_route_but_the_static_files_refuses_strangers(seen: Seen) -> None:
    (mounted,) = [route for route in seen.client.app.routes if getattr(route, "path", "") == "/persona"]  # type: ignore[attr-defined]
    parts = {"{dag_id}/{task_id}/{map_index}/{run_id:path}": seen.path(), "{name}": "persona.css"}
    paths = []
    for route in mounted.app.app.routes:
        path = f"/persona{route.path}"
        for name, value in parts.items():
            path = path.replace(name, value)
        paths.append(path)
    assert len(paths) == len(WEB) + 3
    for path in paths:
        is_open = "/static/" in path
        assert seen.get(path, None).status_code == (200 if is_open else 401), path
        assert seen.get(path, "alice").status_code == 200, path
        assert seen.get(path, "nobody").status_code == (200 if is_open else 403), path
        needs_dag = DAG_ID in path
        assert seen.get(path, "mallory").status_code == (403 if needs_dag else 200), path
        for header, value in HEADERS.items():
            assert seen.get(path, "nobody").headers[header] == value, path


def test_a_token_of_somebody_else_s_making_is_refused(seen: Seen) -> None:
    seen.client.cookies.clear()
    for token in ("", "nonsense", "e30.e30.e30"):
        answer = seen.client.get(f"/persona/data/task/{seen.path()}", headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code in (401, 403)


def test_naming_another_dag_in_the_query_opens_no_door(seen: Seen) -> None:
    for path in WEB:
        assert seen.get(f"{path}{seen.path()}?dag_id={OTHER}", "mallory").status_code == 403
    assert seen.get(f"/persona/data/runs?dag_id={OTHER}", "alice").status_code == 403
    listed = seen.get(f"/persona/data/runs?dag_id={OTHER}", "mallory").json()
    assert {run["task"]["dag_id"] for run in listed["runs"]} == {OTHER}


def test_a_reader_sees_the_runs_of_the_own_dags_only(seen: Seen) -> None:
    assert {run["task"]["dag_id"] for run in seen.get("/persona/data/runs", "alice").json()["runs"]} == {DAG_ID}
    others = seen.get("/persona/data/runs", "mallory").json()
    assert others["total"] == 2
    assert {(run["task"]["dag_id"], run["task"]["task_id"]) for run in others["runs"]} == {
        (OTHER, "plan"),
        (OTHER, "apply"),
    }
    assert seen.get("/persona/data/runs?dag=nothing", "alice").json()["total"] == 0
    assert seen.get("/persona/data/runs", "nobody").status_code == 403


def test_the_tilde_of_airflow_s_api_means_no_dag_here(seen: Seen) -> None:
    for path in WEB[1:]:
        assert seen.get(f"{path}~/apply/-1/{quote(seen.runs[DAG_ID], safe='')}").status_code == 404


@pytest.mark.parametrize(
    "named",
    [
        "/etc/passwd",
        "{state}/../secret/plan.jsonl",
        "{outside}/plan.jsonl",
        "{link}/plan.jsonl",
        "{folder}/ledger-00001.jsonl",
        "file:///etc/plan.jsonl",
        "http://127.0.0.1:9/x/plan.jsonl",
        "s3://bucket/plan.jsonl",
    ],
)
def test_a_path_that_somebody_wrote_to_xcom_leads_nowhere(kept: Seen, tmp_path: Path, named: str) -> None:
    shutil.copytree(kept.folder(), tmp_path / "outside")
    (kept.state / "link").symlink_to(tmp_path / "outside")
    places = {"state": kept.state, "outside": tmp_path / "outside", "link": kept.state / "link"}
    _name(kept, plan=named.format(folder=kept.folder(), **places))
    answer = kept.task()
    assert answer["files"] is None
    assert "outside the state path" in answer["why"] or "not that of a plan" in answer["why"]
    assert kept.get(f"/persona/data/rows/{kept.path()}").status_code == 409
    assert kept.get(f"/persona/csv/plan/{kept.path()}").status_code == 409


def test_a_folder_that_is_trusted_is_read(kept: Seen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(kept.folder(), tmp_path / "outside")
    _name(kept, plan=str(tmp_path / "outside" / "plan.jsonl"))
    assert kept.task()["files"] is None
    monkeypatch.setenv("AIRFLOW__PERSONA__TRUSTED_PATHS", f"/nowhere, {tmp_path}")
    assert kept.task()["files"]["rows"] == 65


def test_the_plan_of_a_dag_that_one_may_not_read_stays_hidden(kept: Seen) -> None:
    others = kept.folder(OTHER)
    header = json.loads((others / "plan.jsonl").read_text().splitlines()[0])
    _name(kept, plan=str(others / "plan.jsonl"), hash=header["hash"])
    answer = kept.task()
    assert answer["files"] is None
    assert "another Dag" in answer["why"]
    assert kept.get(f"/persona/csv/ledger/{kept.path()}").status_code == 409


def test_segments_of_the_url_are_never_a_path(seen: Seen) -> None:
    for run_id in ("../../etc", "%2e%2e%2f%2e%2e%2fetc%2fpasswd", "..%2f..%2fplan"):
        assert seen.get(f"/persona/data/task/{DAG_ID}/apply/-1/{run_id}").status_code == 404
    for name in ("..%2fapplication.py", "%2e%2e/application.py", "task.html", "nothing.js"):
        assert seen.get(f"/persona/static/{name}").status_code == 404


# --- what is shown


def test_a_run_is_shown_with_its_counts_reasons_and_rows(seen: Seen) -> None:
    answer = seen.task()
    assert answer["why"] is None
    assert answer["task"]["state"] == "failed"
    assert answer["files"]["counts"] == {"updated": 58, "skipped_guard": 3, "invalid": 2, "failed": 2}
    assert answer["plan"]["kind"] == "case"
    assert answer["plan"]["never_from"] == ["Approved"]
    assert answer["plan"]["hash"] == seen.task("plan")["plan"]["hash"]
    assert answer["report"]["requests"] > 60
    reasons = answer["files"]["reasons"]
    assert reasons[0]["state"] == "failed"
    rows = seen.rows(reason=reasons[0]["text"])
    assert rows["total"] == reasons[0]["count"]
    assert {row["state"] for row in rows["rows"]} == {"failed"}
    first, second = seen.rows(), seen.rows(page=1)
    assert (first["total"], first["pages"], len(first["rows"]), len(second["rows"])) == (65, 2, 50, 15)
    found = seen.rows(object_id=first["rows"][5]["object_id"])["rows"]
    assert [row["row"] for row in found] == [first["rows"][5]["row"]]
    assert found[0]["link"] == f"https://app.withpersona.com/dashboard/cases/{found[0]['object_id']}"
    assert seen.rows(transition="Open -> Declined")["total"] == 58


def test_a_plan_is_shown_as_a_plan(seen: Seen) -> None:
    answer = seen.task("plan")
    assert answer["task"]["only_plans"]
    assert answer["files"]["counts"] == {"change": 60, "skipped_guard": 3, "invalid": 2}
    assert answer["plan"]["estimate"]["requests"] == 120
    assert set(answer["plan"]["unknown_statuses"]) == {MARKUP, FORMULA}
    assert seen.get(f"/persona/csv/ledger/{seen.path('plan')}").status_code == 409


def test_the_files_that_are_downloaded_hold_every_row(seen: Seen) -> None:
    for what, states in (("plan", "planned"), ("ledger", "outcome")):
        answer = seen.get(f"/persona/csv/{what}/{seen.path()}")
        assert answer.headers["content-type"] == "text/csv; charset=utf-8"
        assert answer.headers["content-disposition"] == f'attachment; filename="persona-apply-{what}.csv"'
        lines = list(csv.DictReader(io.StringIO(answer.text)))
        assert sorted(int(line["row"]) for line in lines) == list(range(1, 66))
        assert len({line[states] for line in lines}) >= 3
        wished = [line["to"] for line in lines]
        assert f"'{FORMULA}" in wished  # a spreadsheet shows it and computes nothing
        assert FORMULA not in wished


def test_markup_in_rows_goes_out_as_data_and_no_page_holds_any(seen: Seen) -> None:
    answer = seen.get(f"/persona/data/rows/{seen.path()}?page=0")
    assert answer.headers["content-type"] == "application/json"
    assert MARKUP in [row["to"] for row in answer.json()["rows"]]
    for address in (f"/persona/task/{seen.path()}", "/persona/runs"):
        page = seen.get(address)
        assert page.headers["content-type"].startswith("text/html")
        assert MARKUP not in page.text
        assert DAG_ID not in page.text


def test_nothing_private_leaves_with_any_answer(seen: Seen) -> None:
    for path in [f"{each}{seen.path(task)}" for each in WEB for task in ("plan", "apply")] + ["/persona/data/runs"]:
        said = seen.get(path).text
        assert NOTE not in said
        assert SANDBOX_KEY not in said


def test_half_of_a_character_and_no_number_break_neither_a_tab_nor_the_list_of_runs(kept: Seen) -> None:
    """A ledger line and an XCom can hold what JSON can say and UTF-8 cannot."""
    ledger = kept.folder() / "ledger-00001.jsonl"
    ledger.write_text(ledger.read_text().replace('"to":"Declined"', '"to":"\\ud83d"'))
    halved = kept.rows()["rows"][0]
    assert halved["to"] == "\ud83d"
    answer = kept.get(f"/persona/csv/ledger/{kept.path()}")
    assert "?" in [line["to"] for line in csv.DictReader(io.StringIO(answer.text))]
    odd = {"seconds": float("nan"), "limit": float("-inf")}
    _name(kept, unknown_statuses=["\ud83d"], estimate=odd, failures=[{"reason": "\udc00", "count": 1}])
    assert kept.task()["plan"]["estimate"] == {"seconds": None, "limit": None}
    listed = kept.get("/persona/data/runs").json()["runs"]
    assert "\udc00" in [reason["text"] for run in listed for reason in run["reasons"]]


@pytest.mark.parametrize("map_index", ["{MAP_INDEX}", "undefined", "-1"])
def test_airflow_s_placeholder_for_a_task_that_is_not_mapped_is_understood(seen: Seen, map_index: str) -> None:
    path = seen.path(map_index=quote(map_index))
    assert seen.get(f"/persona/data/task/{path}").json()["files"] is not None


def test_a_task_that_is_none_of_persona_s_says_so(seen: Seen) -> None:
    answer = seen.task("plain")
    assert not answer["task"]["is_of_persona"]
    assert answer["files"] is None
    assert answer["why"] == "This task has left no plan and no report"
    assert seen.get(f"/persona/data/task/{DAG_ID}/nothing/-1/x").status_code == 404


def test_the_way_back_is_offered_to_those_who_may_trigger_its_dag(seen: Seen) -> None:
    def offered(user: str, role: str) -> Any:
        return seen.get(f"/persona/data/task/{seen.path()}", user, role).json()["revert"]

    _forget(REVERT_DAG)  # tests of that Dag may have run in this process
    assert offered("olga", "user") is None, "there is no such Dag yet"
    with new_dag(REVERT_DAG) as dag:
        EmptyOperator(task_id="plan_the_way_back")
    put_into_database(dag)
    assert offered("olga", "user") == {"dag_id": REVERT_DAG, "task_id": "plan_the_way_back", "is_paused": False}
    assert offered("olga", "viewer") is None, "may read it, and not trigger it"
    assert offered("alice", "user") is None, "may not even read it"
    _forget(REVERT_DAG)
    assert offered("olga", "user") is None


def _forget(dag_id: str) -> None:
    """Do what Airflow does when a Dag's file is gone, and let it run if it comes back."""
    with create_session() as session:
        session.execute(update(DagModel).where(DagModel.dag_id == dag_id).values(is_stale=True, is_paused=False))


@pytest.mark.skipif(not AIRFLOW_V_3_3_PLUS, reason="tasks have no state before Airflow 3.3")
@pytest.mark.parametrize("is_odd", [False, True])
def test_the_use_of_the_limit_is_shown_as_it_was_noted(kept: Seen, is_odd: bool) -> None:
    noted = kept.task()["limit_use"]
    assert noted["reserve"] == 0.2
    assert len(noted["samples"]) <= 1  # at its end, if its window was not over by then; it took no 5 s
    model = import_module("airflow.models.task_state_store").TaskStateStoreModel
    samples = [[1_800_000_000 + 5 * n, n, 300, 300 - n] for n in range(50)]
    record = {"limit_use": {"reserve": MARKUP, "samples": MARKUP} if is_odd else {"reserve": 0.1, "samples": samples}}
    mine = (model.dag_id == DAG_ID, model.task_id == "apply", model.key == "persona_progress")
    with create_session() as session:
        before = session.scalar(select(model.value).where(*mine))
        session.execute(update(model).where(*mine).values(value=json.dumps(record)))
    try:
        found = kept.task()["limit_use"]
    finally:
        with create_session() as session:
            session.execute(update(model).where(*mine).values(value=before))
    assert found == ({"reserve": None, "samples": []} if is_odd else {"reserve": 0.1, "samples": samples})


# --- what is gone, damaged, or elsewhere


def test_where_the_files_cannot_be_reached_airflow_s_own_records_are_shown(kept: Seen) -> None:
    for folder in kept.state.iterdir():
        shutil.rmtree(folder)
    answer = kept.task()
    assert "no plan at" in answer["why"]
    assert "another disk" in answer["why"]
    assert answer["counts"] == {"updated": 58, "skipped_guard": 3, "invalid": 2, "failed": 2}
    assert sum(reason["count"] for reason in answer["reasons"]) == 4
    assert answer["reasons"][0]["examples"]
    assert kept.get(f"/persona/data/rows/{kept.path()}").status_code == 409


def test_a_folder_without_rights_is_said(kept: Seen, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = kept.folder() / "plan.jsonl"
    plan.unlink()
    plan.mkdir()  # root may read everything, so this stands for a file that cannot be opened
    assert "cannot read" in kept.task()["why"] or "cannot be" in kept.task()["why"]


def test_an_edited_plan_is_not_shown(kept: Seen) -> None:
    plan = kept.folder() / "plan.jsonl"
    assert kept.task()["files"] is not None
    plan.write_text(plan.read_text().replace("Declined", "Approved", 1))
    answer = kept.task()
    assert answer["files"] is None
    assert "was changed" in answer["why"]


def test_a_plan_with_another_hash_than_the_task_s_is_not_shown(kept: Seen) -> None:
    _name(kept, plan=str(kept.folder() / "plan.jsonl"), hash="0" * 64)
    assert "another hash" in kept.task()["why"]


def test_a_damaged_ledger_shows_the_rows_that_it_still_has(kept: Seen) -> None:
    ledger = kept.folder() / "ledger-00001.jsonl"
    lines = ledger.read_bytes().splitlines(keepends=True)
    outcomes = [number for number, line in enumerate(lines) if b'"outcome"' in line]
    for number in outcomes[:4]:
        lines[number] = lines[number][: len(lines[number]) // 2] + b"\n"
    ledger.write_bytes(b"".join(lines))
    plan = kept.folder() / "plan.jsonl"
    plan.touch()
    answer = kept.task()["files"]
    assert answer["damaged"] == 4
    assert answer["counts"]["open"] == 4
    assert kept.rows(state="open")["total"] == 4


def test_strange_records_break_nothing(kept: Seen) -> None:
    counts, failures = {"updated": "x", "n": -1}, [3, {"reason": 1}]
    _name(kept, counts=counts, failures=failures, rows="many", plan=7, hash=[])
    answer = kept.task()
    assert answer["reasons"] == []
    assert kept.get("/persona/data/runs").status_code == 200


@pytest.mark.parametrize(
    "strange",
    [
        {"failures": [{"reason": "invalid: x", "count": 1, "example_ids": 5}]},
        {"rows": float("inf")},
        {"rows": float("nan")},
        {"requests": float("nan")},
        {"counts": {"updated": 10**30}},
    ],
    ids=str,
)
def test_a_record_that_one_person_wrote_spoils_no_page_for_others(kept: Seen, strange: dict[str, Any]) -> None:
    _name(kept, **strange)
    assert kept.get(f"/persona/data/task/{kept.path()}").status_code == 200
    assert kept.get("/persona/data/runs").status_code == 200


@pytest.mark.parametrize("map_index", ["99999999999999999999", "9" * 5000])
def test_an_index_that_no_database_takes_is_no_task(seen: Seen, map_index: str) -> None:
    assert seen.get(f"/persona/data/task/{seen.path(map_index=map_index)}").status_code in (200, 404)


def test_a_download_has_every_row_also_when_a_retry_settles_some_meanwhile(kept: Seen) -> None:
    plan = read_plan(kept.folder())
    assert plan is not None
    index = RowIndex(plan, with_ledger=True)
    assert index.read_on(10)
    results = index.results()
    rows = {next(results).row}
    begun, *others = (kept.folder() / "ledger-00001.jsonl").read_text().splitlines()
    failed = next(line for line in others if '"outcome":"failed"' in line)
    retried = {**json.loads(failed), "outcome": "updated", "reason": ""}
    lines = [{**json.loads(begun), "segment": 2}, retried]
    (kept.folder() / "ledger-00002.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert index.read_on(10)
    assert index.counts()["failed"] == 1
    assert rows | {result.row for result in results} == set(range(1, 66))


def test_a_ledger_that_is_not_read_yet_is_no_download(kept: Seen, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airflow_provider_persona.pages.application._LONGEST", -1.0)
    (kept.folder() / "plan.jsonl").touch()  # so that it is read anew
    answer = kept.get(f"/persona/csv/ledger/{kept.path()}")
    assert answer.status_code == 409
    assert "download it again" in answer.json()["detail"]


def test_a_run_without_any_record_yet_is_found_by_its_own_folder(kept: Seen) -> None:
    """As on Airflow 3.1 and 3.2, where a running task has no state in the database."""
    with create_session() as session:
        session.execute(delete(XComModel).where(XComModel.dag_id == DAG_ID))
    assert kept.task("plan")["files"]["rows"] == 65


@pytest.mark.skipif(not AIRFLOW_V_3_3_PLUS, reason="tasks have no state before Airflow 3.3")
def test_a_running_task_is_shown_by_its_progress(kept: Seen) -> None:
    with create_session() as session:
        mine = (TaskInstance.dag_id == DAG_ID, TaskInstance.task_id == "apply")
        session.execute(delete(XComModel).where(XComModel.dag_id == DAG_ID, XComModel.task_id == "apply"))
        session.execute(update(TaskInstance).where(*mine).values(state="running"))
    answer = kept.task()
    assert answer["task"]["is_live"]
    assert "65 of 65 rows" in answer["said"]
    assert answer["files"]["counts"]["updated"] == 58
    shutil.rmtree(kept.folder())
    away = kept.task()
    assert away["why"]
    # The checkpoint counts what is settled; a failed row is not, since a further attempt takes it up.
    assert away["counts"] == {"updated": 58, "skipped_guard": 3, "invalid": 2, "open": 2}
