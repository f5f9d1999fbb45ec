"""`PersonaToObjectStorageOperator`: lists and searches of a simulated Persona to files, through Airflow."""

from __future__ import annotations

import json
import stat
import sys
import time
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import pytest

from airflow_provider_persona.api.operations import BadCallError
from airflow_provider_persona.export.folder import ExportFolder, ExportState
from airflow_provider_persona.export.parts import FileFormat
from airflow_provider_persona.storage.errors import StoreError
from airflow_provider_persona.transfers.persona_to_object_storage import PersonaToObjectStorageOperator
from airflow_provider_persona.version_compat import (
    AIRFLOW_V_3_0_PLUS,
    AIRFLOW_V_3_3_PLUS,
    DAG,
    AirflowFailException,
    Asset,
)
from persona_simulator import SANDBOX_KEY, SimulatorConfig, SimulatorProcess
from tests.airflow_process import AirflowProcess, run_program

OPEN = {"query": {"attribute": "status", "operator": "eq", "value": "Open"}}


@pytest.fixture
def export(run_dag, persona_connection, tmp_path, monkeypatch):
    """Run the operator in a Dag of its own; returns the task instance."""
    monkeypatch.setenv("AIRFLOW__PERSONA__STATE_PATH", str(tmp_path / "state"))

    def run(dag_id="export", retries=0, **arguments):
        given = {"operation_id": "list-all-cases", "output_path": str(tmp_path / "out"), **arguments}
        with DAG(dag_id, schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC), catchup=False) as dag:
            PersonaToObjectStorageOperator(task_id="cases", retries=retries, **given)
        return run_dag(dag).get_task_instance("cases")

    return run


@pytest.fixture
def told(caplog, capfd):
    """Return all that was logged and printed."""
    caplog.set_level("DEBUG")
    return lambda: caplog.text + "".join(capfd.readouterr())


def _summary(instance):
    assert str(instance.state) == "success"
    return instance.xcom_pull(task_ids="cases")


def _lines(folder):
    files = sorted(Path(folder).glob("part-*.jsonl"))
    return [json.loads(line) for file in files for line in file.read_text("utf-8").splitlines()]


def _manifest(folder):
    return json.loads((Path(folder) / "_manifest.json").read_text())


# ---------------------------------------------------------------------- what is written


def test_every_case_is_in_the_parts_once_and_the_manifest_counts_them(export, persona, tmp_path):
    summary = _summary(export(fields=["status", "fields.risk_score"], pages_per_part=2))
    out = tmp_path / "out"
    written = _lines(out)
    assert {case["id"]: case["attributes"]["status"] for case in written} == persona.statuses()
    assert len(written) == 300
    assert all(set(case["attributes"]) <= {"status", "fields"} for case in written)
    assert all(set(case["attributes"].get("fields", {})) <= {"risk_score"} for case in written)
    assert sorted(path.name for path in out.iterdir()) == ["_manifest.json", "part-00001.jsonl", "part-00002.jsonl"]
    manifest = _manifest(out)
    assert [part["rows"] for part in manifest["parts"]] == [200, 100]
    assert manifest["bytes"] == sum(path.stat().st_size for path in out.glob("part-*"))
    assert {name: summary[name] for name in ("rows", "parts", "bytes", "requests", "resumed")} == {
        "rows": 300,
        "parts": 2,
        "bytes": manifest["bytes"],
        "requests": 3,
        "resumed": False,
    }
    assert summary["uri"] == str(out)
    assert summary["manifest"] == str(out / "_manifest.json")
    assert all("page%5Bsize%5D=100" in request.query for request in persona.requests())


def test_files_are_for_their_owner_only(export, tmp_path):
    _summary(export())
    for path in (tmp_path / "out").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_columns_make_flat_records_and_ask_for_no_more(export, persona, tmp_path):
    columns = {"status": "status", "score": "fields.risk_score", "accounts": "relationships.accounts", "tags": "tags"}
    _summary(export(columns=columns))
    first = _lines(tmp_path / "out")[-1]  # the oldest
    assert first["id"] == "case_sim000001"
    assert set(first) == {"id", "type", "status", "score", "accounts", "tags"}
    assert first["accounts"].startswith("act_")
    assert isinstance(first["score"], int)
    assert isinstance(first["tags"], list)
    asked = persona.requests()[0].query
    assert "fields%5Bcase%5D=status%2Cfields.risk_score%2Ctags" in asked


def test_a_column_that_no_object_has_is_told_of(export, told):
    _summary(export(columns={"state": "stauts"}))
    assert "which stay empty: state" in told()


@pytest.mark.parametrize("columns", [None, {"status": "status", "score": "fields.risk_score", "tags": "tags"}])
def test_parquet_parts_are_one_table_of_text(export, persona, tmp_path, columns):
    parquet = pytest.importorskip("pyarrow.parquet")
    _summary(export(columns=columns, file_format="parquet", pages_per_part=2))
    files = sorted((tmp_path / "out").glob("part-*.parquet"))
    assert len(files) == 2
    table = parquet.read_table([str(file) for file in files]).to_pylist()
    assert {row["id"] for row in table} == set(persona.statuses())
    row = next(row for row in table if row["id"] == "case_sim000001")
    assert row["type"] == "case"
    if columns is None:
        assert set(row) == {"id", "type", "attributes", "relationships"}
        assert json.loads(row["attributes"])["status"] == persona.statuses()["case_sim000001"]
    else:
        assert set(row) == {"id", "type", "status", "score", "tags"}
        assert row["score"].isdecimal()
        assert isinstance(json.loads(row["tags"]), list)


def test_parquet_without_pyarrow_says_what_to_install_before_it_reads(export, persona, told, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    assert str(export(file_format="parquet").state) == "failed"
    assert "airflow-provider-persona[parquet]" in told()
    assert persona.requests() == []


def test_path_query_and_body_may_be_the_text_that_a_template_renders_to(export, persona, tmp_path):
    query, body = "{{ {'filter[status]': 'Open'} | tojson }}", f"{{{{ {OPEN} | tojson }}}}"
    wanted = list(persona.statuses().values()).count("Open")
    assert _summary(export(query=query))["rows"] == wanted
    assert _summary(export(operation_id="search-cases", body=body))["rows"] == wanted


def test_a_search_is_written_with_its_body_on_every_page(export, persona, tmp_path):
    summary = _summary(export(operation_id="search-cases", body=OPEN, query={"page[size]": 40}))
    opened = {case_id for case_id, status in persona.statuses().items() if status == "Open"}
    assert {case["id"] for case in _lines(tmp_path / "out")} == opened
    assert summary["requests"] == -(-len(opened) // 40)


@pytest.fixture
def memory_store():
    """An object store in memory, known to Airflow under `memory://`."""
    from fsspec.implementations.memory import MemoryFileSystem

    attach = import_module("airflow.sdk.io" if AIRFLOW_V_3_0_PLUS else "airflow.io.store").attach
    MemoryFileSystem.store.clear()
    attach(protocol="memory", fs=MemoryFileSystem())


def test_an_object_store_gets_whole_objects_and_no_record_of_progress_stays(export, memory_store):
    summary = _summary(export(output_path="memory://shelf/cases", pages_per_part=1))
    from airflow_provider_persona.version_compat import ObjectStoragePath

    names = sorted(path.name for path in ObjectStoragePath("memory://shelf/cases").iterdir())
    assert names == ["_manifest.json", *(f"part-{number:05d}.jsonl" for number in (1, 2, 3))]
    assert (summary["rows"], summary["parts"]) == (300, 3)
    assert summary["uri"].replace("///", "//") == "memory://shelf/cases"  # older paths show an empty host


def test_nothing_found_is_a_manifest_with_no_parts(export, tmp_path):
    summary = _summary(export(query={"filter[status]": "Nowhere"}))
    assert (summary["rows"], summary["parts"]) == (0, 0)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["_manifest.json"]


def test_an_earlier_export_and_nothing_else_is_replaced(export, tmp_path):
    _summary(export(pages_per_part=1))
    (tmp_path / "out" / "notes.txt").write_text("mine")
    summary = _summary(export(dag_id="another", query={"filter[status]": "Pending"}))
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"_manifest.json", "part-00001.jsonl", "notes.txt"}
    assert len(_lines(tmp_path / "out")) == summary["rows"]


# ---------------------------------------------------------------------- going on after a failure


def test_a_failed_attempt_leaves_whole_parts_and_no_manifest(export, persona, tmp_path):
    persona.script_fault("redirect", skip=2)
    instance = export(pages_per_part=1)
    assert str(instance.state) == "failed"
    assert not (tmp_path / "out" / "_manifest.json").exists()
    assert len(_lines(tmp_path / "out")) == 200


def test_the_next_attempt_of_a_run_begins_after_the_last_part(persona, persona_connection, tmp_path):
    persona.script_fault("redirect", skip=2)
    with_retry = _attempts(tmp_path, attempts=2)
    assert with_retry["resumed"]
    assert with_retry["rows"] == 300
    assert with_retry["requests"] == 1
    assert {case["id"] for case in _lines(tmp_path / "out")} == set(persona.statuses())
    assert len(_lines(tmp_path / "out")) == 300


def _attempts(tmp_path, attempts):
    """Run `execute` as the attempts of one task do; returns what the last returned."""
    ti = SimpleNamespace(dag_id="d", run_id="r", task_id="t", map_index=-1)
    for number in range(attempts):
        operator = PersonaToObjectStorageOperator(
            task_id="t", operation_id="list-all-cases", output_path=str(tmp_path / "out"), pages_per_part=1
        )
        try:
            return operator.execute({"ti": ti})
        except AirflowFailException:
            assert number + 1 < attempts
    return None


def test_a_kept_page_that_persona_refuses_begins_the_export_again_once(persona, persona_connection, tmp_path):
    """The object behind the cursor may be gone; each further attempt would be refused as well."""
    persona.script_fault("redirect", skip=2)
    with pytest.raises(AirflowFailException, match="302"):
        _execute(tmp_path, pages_per_part=1)
    kept = tmp_path / "out" / "_progress.json"
    kept.write_text(json.dumps({**json.loads(kept.read_text()), "after": "case_gone"}))
    again = _execute(tmp_path, pages_per_part=1)
    assert (again["rows"], again["resumed"], again["parts"]) == (300, False, 3)
    assert sorted(case["id"] for case in _lines(tmp_path / "out")) == sorted(persona.statuses())


@pytest.mark.parametrize("harm", ["gone", "cut", "after", "deep", "name"])
def test_a_part_or_a_record_that_was_damaged_meanwhile_begins_the_export_again(
    persona, persona_connection, tmp_path, harm
):
    persona.script_fault("redirect", skip=2)
    with pytest.raises(AirflowFailException, match="302"):
        _execute(tmp_path, pages_per_part=1)
    part, kept = tmp_path / "out" / "part-00001.jsonl", tmp_path / "out" / "_progress.json"
    record = json.loads(kept.read_text())
    if harm == "gone":
        part.unlink()
    elif harm == "cut":
        part.write_bytes(part.read_bytes()[:-100])
    elif harm == "deep":
        kept.write_text("[" * 100_000)
    elif harm == "after":
        kept.write_text(json.dumps({**record, "after": [1]}))
    else:
        record["parts"][0]["name"] = "../../etc/passwd"
        kept.write_text(json.dumps(record))
    again = _execute(tmp_path, pages_per_part=1)
    assert (again["rows"], again["resumed"], again["parts"]) == (300, False, 3)
    assert sorted(case["id"] for case in _lines(tmp_path / "out")) == sorted(persona.statuses())


def test_a_list_that_persona_refuses_is_not_begun_again(persona_connection, tmp_path):
    with pytest.raises(AirflowFailException, match="Persona answered 4"):
        _execute(tmp_path, query={"page[after]": "case_gone"})
    assert len(persona_connection.requests()) == 1


def test_a_killed_process_is_gone_on_with(tmp_path):
    """`kill -9` while parts are being written; the next attempt reads only what is missing."""
    with SimulatorProcess(SimulatorConfig(cases=6000, limit=1_000_000, latency_ms=5)) as persona:
        script = Path(__file__).with_name("killed_export.py")
        arguments = [persona.url, SANDBOX_KEY, str(tmp_path)]
        with AirflowProcess(script, arguments) as first:
            deadline = time.monotonic() + 60
            while len(list((tmp_path / "out").glob("part-*"))) < 3 and time.monotonic() < deadline:
                time.sleep(0.01)
            first.kill()
        read = len(persona.requests())
        assert not (tmp_path / "out" / "_manifest.json").exists()
        assert 15 <= read < 60
        done = run_program(script, arguments)
        assert done.returncode == 0, done.stderr
        summary = json.loads(_said(done.stdout, "summary"))
        assert summary["resumed"]
        assert summary["rows"] == 6000
        assert summary["requests"] <= 60 - 10  # it may have been killed before the third part was recorded
        ids = [case["id"] for case in _lines(tmp_path / "out")]
        assert len(ids) == len(set(ids)) == 6000
        assert list(tmp_path.rglob("*.part")) == []


def test_memory_stays_the_same_however_long_the_list(tmp_path):
    """Growth of a process that exports 10,000 full cases after some; all of them are some 50 MB in memory."""
    script = Path(__file__).with_name("export_memory.py")
    with SimulatorProcess(SimulatorConfig(cases=10_000, limit=1_000_000)) as persona:
        for file_format in ("jsonl", "parquet"):
            done = run_program(script, [persona.url, SANDBOX_KEY, str(tmp_path), file_format])
            assert done.returncode == 0, done.stderr
            assert float(_said(done.stdout, "grown")) < 25


def _said(text, word):
    """Return what a script printed after a word; Airflow logs there too."""
    return next(line.partition(" ")[2] for line in text.splitlines() if line.startswith(f"{word} "))


# ---------------------------------------------------------------------- incremental


def _new_case(persona):
    import requests

    body = {"data": {"attributes": {"case-template-id": "ctmpl_kyc"}}}
    headers = {"Authorization": f"Bearer {SANDBOX_KEY}"}
    answer = requests.post(f"{persona.url}/api/v1/cases", json=body, headers=headers, timeout=5)
    return answer.json()["data"]["id"]


def test_an_incremental_list_brings_what_was_made_since(export, persona, tmp_path):
    given = {"incremental": True, "fields": ["status"], "lookback": 0}
    first = _summary(export(**given))
    made = [_new_case(persona) for _ in range(3)]
    persona.act_as_human("case_sim000001", status="Declined")  # a change, which lists cannot be followed by
    out = tmp_path / "second"
    second = _summary(export(**given, output_path=str(out)))
    third = _summary(export(**given, output_path=str(tmp_path / "third")))
    assert (first["rows"], second["rows"], third["rows"]) == (300, 3, 0)
    assert [case["id"] for case in _lines(out)] == made[::-1]
    assert (second["requests"], third["requests"]) == (1, 1)


def test_another_filter_has_a_mark_of_its_own(export, persona, tmp_path):
    _summary(export(incremental=True))
    pending = _summary(export(incremental=True, query={"filter[status]": "Pending"}, output_path=str(tmp_path / "p")))
    assert pending["rows"] == sum(status == "Pending" for status in persona.statuses().values())


def test_an_incremental_list_whose_newest_is_gone_stops_by_time(export, persona, tmp_path):
    """The mark's object is not found any more (another filter result, a deletion): its time stops the walk."""
    _summary(export(incremental=True))
    (mark,) = (tmp_path / "state" / "marks").rglob("*.json")
    kept = json.loads(mark.read_text())
    mark.write_text(json.dumps({**kept, "id": "case_gone"}))
    made = _new_case(persona)
    second = _summary(export(incremental=True, output_path=str(tmp_path / "second")))
    ids = [case["id"] for case in _lines(tmp_path / "second")]
    assert ids[0] == made
    assert second["rows"] <= 2  # the mark's namesake of the same moment may come again


def test_an_incremental_search_brings_changes(export, persona, tmp_path):
    arguments = {"operation_id": "search-cases", "incremental": True, "fields": ["status"], "lookback": 0}
    first = _summary(export(**arguments))
    persona.act_as_human("case_sim000007", status="Declined")
    made = _new_case(persona)
    second = _summary(export(**arguments, output_path=str(tmp_path / "second")))
    assert first["rows"] == 300
    # The clause is "from the mark on", so what has the mark's time comes again.
    ids = {case["id"] for case in _lines(tmp_path / "second")}
    assert {made, "case_sim000007"} <= ids
    assert len(ids) <= 4
    assert second["requests"] == 1


def test_an_incremental_search_keeps_the_users_query(export, persona, tmp_path):
    _summary(export(operation_id="search-cases", body=OPEN, incremental=True))
    opened = {case_id for case_id, status in persona.statuses().items() if status == "Open"}
    assert {case["id"] for case in _lines(tmp_path / "out")} == opened


def test_a_failed_incremental_read_leaves_the_mark(export, persona, tmp_path):
    persona.script_fault("redirect", skip=1)
    assert str(export(incremental=True).state) == "failed"
    assert not list((tmp_path / "state").rglob("*.json"))
    assert _summary(export(incremental=True))["rows"] == 300


def test_a_damaged_mark_stops_the_read_and_says_what_to_do(export, persona, tmp_path, told):
    _summary(export(incremental=True))
    (mark,) = (tmp_path / "state" / "marks").rglob("*.json")
    mark.write_text("{")
    before = len(persona.requests())
    assert str(export(incremental=True, retries=2).state) == "failed"
    assert "delete it to read everything again" in told()
    assert len(persona.requests()) == before


def test_a_cleared_incremental_task_reads_what_it_had_read(persona, persona_connection, tmp_path, monkeypatch):
    monkeypatch.setenv("AIRFLOW__PERSONA__STATE_PATH", str(tmp_path / "state"))

    def execute(run_id):
        operator = PersonaToObjectStorageOperator(
            task_id="t",
            operation_id="list-all-cases",
            output_path=str(tmp_path / run_id),
            incremental=True,
            lookback=0,
        )
        return operator.execute({"ti": SimpleNamespace(dag_id="d", run_id=run_id, task_id="t", map_index=-1)})

    assert execute("monday")["rows"] == 300
    _new_case(persona)
    assert execute("tuesday")["rows"] == 1
    assert execute("tuesday")["rows"] == 1  # cleared: not an empty export in place of a good one
    assert execute("wednesday")["rows"] == 0


@pytest.mark.skipif(not AIRFLOW_V_3_3_PLUS, reason="assets keep state from Airflow 3.3 on")
def test_with_an_outlet_asset_the_mark_is_kept_there(export, persona, tmp_path):
    given = {"incremental": True, "outlets": [Asset("x-lake://cases")], "lookback": 0}
    first = _summary(export(**given))
    made = _new_case(persona)
    second = _summary(export(**given, output_path=str(tmp_path / "second")))
    assert (first["rows"], second["rows"]) == (300, 1)
    assert _lines(tmp_path / "second")[0]["id"] == made
    assert not (tmp_path / "state").exists()


@pytest.mark.skipif(not AIRFLOW_V_3_0_PLUS, reason="assets keep state from Airflow 3.3 on")
def test_two_tasks_with_the_same_outlet_asset_have_marks_of_their_own(run_dag, persona, persona_connection, tmp_path):
    with DAG("two", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC), catchup=False) as dag:
        for task_id in ("lake", "archive"):
            PersonaToObjectStorageOperator(
                task_id=task_id,
                operation_id="list-all-cases",
                output_path=str(tmp_path / task_id),
                incremental=True,
                lookback=0,
                outlets=[Asset("x-lake://both")],
            )
        dag.get_task("lake") >> dag.get_task("archive")
    run = run_dag(dag)
    rows = [run.get_task_instance(name).xcom_pull(task_ids=name)["rows"] for name in ("lake", "archive")]
    assert rows == [300, 300]


def test_an_incremental_list_may_bring_what_was_made_shortly_before(export, persona, tmp_path):
    _summary(export(incremental=True))
    made = _new_case(persona)
    _summary(export(incremental=True, output_path=str(tmp_path / "second")))
    _summary(export(incremental=True, output_path=str(tmp_path / "third")))
    assert [case["id"] for case in _lines(tmp_path / "second")][:1] == [made]
    assert made in [case["id"] for case in _lines(tmp_path / "third")]


# ---------------------------------------------------------------------- lists of all kinds


def test_a_list_whose_objects_have_no_id_can_be_exported(export, persona, tmp_path):
    summary = _summary(export(operation_id="list-all-rate-limits"))
    assert summary["rows"] == len(_lines(tmp_path / "out")) > 0


def test_columns_of_a_list_that_gives_its_objects_in_full(export, persona, tmp_path):
    query = {"filter[inquiry-session-id]": "iqse_none"}
    _summary(export(operation_id="list-all-devices", query=query, columns={"status": "status"}))
    (request,) = persona.requests()
    assert "fields" not in request.query


# ---------------------------------------------------------------------- after an interruption


def test_a_part_that_was_put_and_not_recorded_does_not_stay_behind_the_manifest(persona, persona_connection, tmp_path):
    persona.script_fault("redirect", skip=2)
    context = {"ti": SimpleNamespace(dag_id="d", run_id="r", task_id="t", map_index=-1)}
    given = {"task_id": "t", "operation_id": "list-all-cases", "output_path": str(tmp_path / "out")}
    with pytest.raises(AirflowFailException):
        PersonaToObjectStorageOperator(**given, pages_per_part=1).execute(context)
    for name in ("part-00003.jsonl", "part-00004.jsonl"):  # put by an attempt that was killed before it recorded them
        (tmp_path / "out" / name).write_text("{}\n")
    PersonaToObjectStorageOperator(**given, pages_per_part=1).execute(context)
    parts = sorted(path.name for path in (tmp_path / "out").glob("part-*"))
    assert parts == [part["name"] for part in _manifest(tmp_path / "out")["parts"]]
    assert len(_lines(tmp_path / "out")) == 300


def test_a_column_that_earlier_parts_had_is_not_called_empty(rogue, tmp_path, told):
    def page(case_id, attributes, following):
        return {"data": [{"type": "case", "id": case_id, "attributes": attributes}], "links": {"next": following}}

    first = page("case_2", {"note": "only here"}, "/api/v1/cases?page%5Bafter%5D=case_2")
    rogue.give("/api/v1/cases", [first, {"data": ["no object"]}, page("case_1", {}, None)])
    given = {"columns": {"note": "note"}, "pages_per_part": 1}
    with pytest.raises(AirflowFailException):
        _execute(tmp_path, **given)
    assert _execute(tmp_path, **given)["resumed"]
    assert [case["note"] for case in _lines(tmp_path / "out")] == ["only here", None]
    assert "which stay empty" not in told()


# ---------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"operation_id": "list-all-casses"}, "did you mean list-all-cases"),
        ({"operation_id": "retrieve-case"}, "is no list or search"),
        ({"operation_id": "search-cases"}, "needs query in its body"),
        ({"operation_id": "accounts-list-all-relations"}, "lacks account-id"),
        ({"operation_id": "list-all-workflow-versions"}, "needs filter"),
        ({"operation_id": "list-all-rate-limits", "incremental": True}, "has no pages"),
        ({"operation_id": "expire-inquiry-sessions", "body": {"meta": {"inquiry-ids": ["i"]}}}, "is no list or search"),
    ],
)
def test_a_call_that_cannot_be_made_fails_when_the_dag_is_parsed(arguments, said):
    with pytest.raises(BadCallError, match=said):
        PersonaToObjectStorageOperator(task_id="t", output_path="out", **arguments)


def test_a_single_text_in_place_of_a_list_of_attributes_fails_when_the_dag_is_parsed():
    with pytest.raises(BadCallError, match="fields is a list"):
        PersonaToObjectStorageOperator(task_id="t", operation_id="list-all-cases", output_path="out", fields="status")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"file_format": "csv"}, "file_format is jsonl or parquet, not 'csv'"),
        *(({"pages_per_part": odd}, "pages_per_part is a number of pages, 1 or more") for odd in (0, None, "2", 1.5)),
    ],
)
def test_other_arguments_are_checked_too(arguments, said):
    with pytest.raises(ValueError, match=said):
        PersonaToObjectStorageOperator(task_id="t", operation_id="list-all-cases", output_path="out", **arguments)


@pytest.mark.parametrize("nothing", ["", " ", "None", None, 5])
def test_an_output_path_that_renders_to_nothing_is_no_folder_of_the_worker(
    persona_connection, tmp_path, monkeypatch, nothing
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(AirflowFailException, match="the address of a file or folder is empty; a template may have"):
        _execute(tmp_path, output_path=nothing)
    assert persona_connection.requests() == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"operation_id": "list-all-reports", "fields": ["status"]}, "of several types"),
        (
            {"operation_id": "list-all-devices", "query": {"filter[inquiry-session-id]": "i"}, "fields": ["a"]},
            "in full",
        ),
        ({"columns": {"a b": "status"}}, "plain letters"),
        ({"columns": {"id": "status"}}, "leave it out of columns"),
        ({"operation_id": "search-cases", "incremental": True, "body": {"sort": {"attribute": "x"}}}, "leave out sort"),
        ({"operation_id": "search-cases", "incremental": True, "body": {"query": {"not": {"or": []}}}}, "one level"),
    ],
)
def test_arguments_that_cannot_be_used_fail_before_the_first_request(export, persona, told, arguments, said):
    instance = export(retries=2, **arguments)
    assert (str(instance.state), instance.try_number) == ("failed", 1)
    assert said in told()
    assert persona.requests() == []


def test_a_folder_that_cannot_be_written_to_fails_before_the_first_request(export, persona, tmp_path):
    (tmp_path / "file").write_text("")
    assert str(export(output_path=str(tmp_path / "file" / "out")).state) == "failed"
    assert persona.requests() == []


@pytest.fixture
def rogue(monkeypatch):
    """A server in Persona's place that gives the scripted pages; the key must not be seen anywhere else."""
    from rogue_persona import RoguePersona

    with RoguePersona() as server:
        connection = {"conn_type": "persona", "host": server.url, "password": SANDBOX_KEY}
        monkeypatch.setenv("AIRFLOW_CONN_PERSONA_DEFAULT", json.dumps(connection))
        yield server


def _page(ids, following):
    items = [{"type": "case", "id": each, "attributes": {"created-at": "2026-01-01T00:00:00Z"}} for each in ids]
    return {"data": items, "links": {"next": following}}


@pytest.mark.parametrize(
    ("pages", "said"),
    [
        ([{"data": ["case_1"]}], "holds no list of objects"),
        ([_page(["a"], "/api/v1/cases?page%5Bsize%5D=100")], "has no cursor"),
        (
            [_page([letter], f"/api/v1/cases?page%5Bafter%5D={letter}") for letter in "abc"],
            "back to an earlier page",
        ),
        ([_page(["a"], "http://[::1/api")], "has no cursor"),
    ],
)
def test_answers_that_cannot_be_trusted_end_the_read(run_dag, rogue, tmp_path, told, pages, said):
    rogue.give("/api/v1/cases", pages)
    with DAG("rogue", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC), catchup=False) as dag:
        PersonaToObjectStorageOperator(
            task_id="cases", operation_id="list-all-cases", output_path=str(tmp_path / "out"), incremental=False
        )
    instance = run_dag(dag).get_task_instance("cases")
    assert str(instance.state) == "failed"
    text = told()
    assert said in text
    assert SANDBOX_KEY not in text
    assert not (tmp_path / "out" / "_manifest.json").exists()
    assert len(rogue.paths) < 20


def _execute(tmp_path, **arguments):
    given = {"task_id": "t", "operation_id": "list-all-cases", "output_path": str(tmp_path / "out"), **arguments}
    ti = SimpleNamespace(dag_id="d", run_id="r", task_id="t", map_index=-1)
    return PersonaToObjectStorageOperator(**given).execute({"ti": ti})


def test_strange_entries_cost_themselves_and_nothing_else(rogue, tmp_path, caplog):
    case = {"type": "case", "id": "case_1", "attributes": None, "relationships": {"accounts": {"data": [None, {}]}}}
    rogue.give("/api/v1/cases", [{"data": [None, case, "case_2", {"type": "case", "id": "case_3"}]}])
    columns = {"status": "status", "accounts": "relationships.accounts"}
    assert _execute(tmp_path, columns=columns)["rows"] == 2
    assert [line["id"] for line in _lines(tmp_path / "out")] == ["case_1", "case_3"]
    assert [line["accounts"] for line in _lines(tmp_path / "out")] == [None, None]
    assert "Left out 2 entries of list-all-cases that are no objects" in caplog.text


def test_a_mark_needs_an_id(rogue, tmp_path):
    rogue.give("/api/v1/cases", [{"data": [{"type": "case", "attributes": {}}]}])
    with pytest.raises(AirflowFailException, match="has no id"):
        _execute(tmp_path, incremental=True, state_path=str(tmp_path / "state"))


@pytest.mark.parametrize("columns", [None, {"name": "name", "all": "deep"}])
@pytest.mark.parametrize("file_format", ["jsonl", "parquet"])
def test_half_a_character_is_replaced(rogue, tmp_path, file_format, columns):
    if file_format == "parquet":
        pytest.importorskip("pyarrow.parquet")
    case = {"type": "case", "id": "case_1", "attributes": {"name": "a\ud83dЖ", "deep": {"b\ud83d": ["\ude00"]}}}
    rogue.give("/api/v1/cases", [{"data": [case]}])
    assert _execute(tmp_path, file_format=file_format, columns=columns)["rows"] == 1
    (part,) = (tmp_path / "out").glob("part-*")
    if file_format == "jsonl":
        assert "a\ufffdЖ" in part.read_text("utf-8")


def test_a_file_that_cannot_be_removed_or_read_is_named_in_the_error(tmp_path):
    folder = ExportFolder(tmp_path, FileFormat.JSON_LINES)
    (tmp_path / "part-00001.jsonl").mkdir()
    with pytest.raises(StoreError, match=r"part-00001\.jsonl, cannot be written to"):
        folder.clear()
    with pytest.raises(StoreError, match=r"part-00001\.jsonl, cannot be written to"):
        folder.complete(ExportState("e", "r"))
    (tmp_path / "_progress.json").mkdir()
    with pytest.raises(StoreError, match=r"_progress\.json, cannot be read"):
        folder.interrupted("e", "r")


def test_a_failed_export_to_parquet_leaves_nothing_open(persona, persona_connection, tmp_path):
    """In a process of its own: what a file says when it is collected goes past every handler."""
    pytest.importorskip("pyarrow.parquet")
    persona.script_fault("redirect", skip=1)
    script = f"""
import gc, sys
from types import SimpleNamespace
from airflow_provider_persona.transfers.persona_to_object_storage import PersonaToObjectStorageOperator
ti = SimpleNamespace(dag_id="d", run_id="r", task_id="t", map_index=-1)
operator = PersonaToObjectStorageOperator(
    task_id="t", operation_id="list-all-cases", output_path={str(tmp_path / "out")!r}, file_format="parquet"
)
try:
    operator.execute({{"ti": ti}})
except Exception as error:
    print("failed", type(error).__name__)
gc.collect()
"""
    done = run_program(script)
    assert done.returncode == 0, done.stderr
    assert "failed AirflowFailException" in done.stdout
    assert "Exception ignored" not in done.stderr


# ---------------------------------------------------------------------- what stays out of sight


def test_neither_key_nor_personal_data_leave_the_files(export, persona, tmp_path, told):
    persona.act_as_human("case_sim000001", fields={"name-first": "Zyanya-Canary"})
    name = "Canary-" + "Reference"
    summary = _summary(export(pages_per_part=1))
    _summary(export(dag_id="filtered", query={"filter[reference-id]": name}, output_path=str(tmp_path / "none")))
    _summary(export(dag_id="searched", operation_id="search-cases", output_path=str(tmp_path / "found"), body=OPEN))
    parts = [path.read_text() for path in (tmp_path / "out").glob("part-*")]
    assert any("Zyanya-Canary" in part for part in parts)
    records = [path.read_text() for path in tmp_path.rglob("_manifest.json")]
    searched = [told(), json.dumps(summary), _rendered(), *records]
    for canary in (SANDBOX_KEY, "Zyanya-Canary", name):
        assert [line for text in searched for line in text.splitlines() if canary in line] == []


def _rendered():
    """Return what Airflow kept of rendered fields and XCom."""
    import sqlite3

    from airflow.configuration import conf

    path = conf.get("database", "sql_alchemy_conn").removeprefix("sqlite:///")
    with sqlite3.connect(path) as db:
        return "\n".join(
            str(row)
            for table in ("rendered_task_instance_fields", "xcom")
            for row in db.execute(f"SELECT * FROM {table}")
        )
