"""What OpenLineage is told of a real run, by its own listener and file transport; and addresses of assets."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from airflow_provider_persona.assets.persona import create_asset
from airflow_provider_persona.operators.bulk import PersonaBulkUpdateCasesOperator
from airflow_provider_persona.operators.operation import PersonaOperator
from airflow_provider_persona.tasks.lineage import kind_of_operation
from airflow_provider_persona.version_compat import AIRFLOW_V_3_1_PLUS, Asset
from persona_simulator import SANDBOX_KEY

pytest.importorskip("airflow.providers.openlineage", reason="the extra `openlineage` is not installed")

CANARY = "Canaria Quokka"
SQL = """
WITH lost AS (SELECT case_id FROM decisions WHERE verdict <> 'CANARY')
SELECT lost.case_id, 'Declined' AS status, reviewers.name AS nobody
FROM lost LEFT JOIN main.reviewers ON reviewers.case_id = lost.case_id
""".replace("CANARY", CANARY)


@pytest.fixture
def told(persona_connection, warehouse, tmp_path):
    """Run the Dag of `lineage_run.py`; returns its last events by task, what it printed, and the ids of its cases."""
    opened = [case_id for case_id, status in persona_connection.statuses().items() if status == "Open"][:3]
    warehouse("decisions", "case_id, verdict", [(case_id, "lost") for case_id in opened])
    warehouse("reviewers", "case_id, name", [(opened[0], CANARY)])
    environment = persona_connection.config.environment_id
    given = {
        "sql": SQL,
        "case_id": opened[0],
        "asset": f"persona://{environment}/case",
        "folder": str(tmp_path / "export"),
    }
    log = tmp_path / "lineage.jsonl"
    transport = {"type": "file", "log_file_path": str(log), "append": True}
    settings = {
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{tmp_path}/airflow.db",
        "AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps(transport),
        "AIRFLOW__OPENLINEAGE__NAMESPACE": "airflow",
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("lineage_run.py")), json.dumps(given)],
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    printed = json.loads(next(line for line in done.stdout.splitlines() if line.startswith("EVENTS "))[7:])
    # `dag.test()` runs all tasks in one process, where the start of a task tells of the queries of those before it,
    # under jobs of their own. A worker has a process for each task, and the end of ours leaves no query to be told.
    lines = [line for line in log.read_text().splitlines() if ".query." not in json.loads(line)["job"]["name"]]
    text, events = "\n".join(lines), {}
    for event in map(json.loads, lines):
        if event["job"]["name"].startswith("lineage.") and event["eventType"] in ("COMPLETE", "FAIL"):
            events[event["job"]["name"].removeprefix("lineage.")] = event
    return events, printed, text, opened, environment


def _names(event, side):
    return sorted(f"{each['namespace']} {each['name']}" for each in event[side])


def test_a_real_run_tells_its_tables_persona_and_counts_and_nothing_of_a_row(told, tmp_path):
    events, printed, text, opened, environment = told
    warehouse = f"sqlite://{tmp_path}/warehouse.sqlite"
    persona, tables = f"persona://{environment} case", [f"{warehouse} decisions", f"{warehouse} main.reviewers"]
    assert {task: (_names(event, "inputs"), _names(event, "outputs")) for task, event in events.items()} == {
        "plan": ([persona, *tables], []),
        "update": (tables, [persona]),
        "wait": ([persona], []),
        "single": ([], [persona]),
        "to_table": ([persona], [f"{warehouse} cases"]),
        "to_folder": ([persona], [f"file {tmp_path}/export"]),
        "failing": ([f"{warehouse} decisions"], [persona]),
    }
    assert {task: event["eventType"] for task, event in events.items() if event["eventType"] != "COMPLETE"} == {
        "failing": "FAIL"
    }
    facet = events["update"]["run"]["facets"]["persona"]
    plan_hash = facet["planHash"]
    assert len(plan_hash) == 64
    assert (facet["environment"], facet["kind"], facet["rows"], facet["counts"]) == (
        environment,
        "case",
        3,
        {"updated": 3},
    )
    assert facet["transitions"] == {"? -> Declined": 3}
    assert events["plan"]["run"]["facets"]["persona"]["transitions"] == {"Open -> Declined": 3}
    assert events["update"]["outputs"][0]["outputFacets"]["outputStatistics"]["rowCount"] == 3
    assert events["failing"]["run"]["facets"]["persona"]["counts"] == {"failed": 3}
    assert events["to_table"]["run"]["facets"]["persona"]["rows"] == 300
    assert printed["assets"] == [
        {
            "kind": "case",
            "environment": environment,
            "rows": 3,
            "counts": {"updated": 3},
            "transitions": {"? -> Declined": 3},
            "plan_hash": plan_hash,
        }
    ]
    assert CANARY not in text
    assert SANDBOX_KEY not in text
    ours = [
        json.dumps([event["inputs"], event["outputs"], event["run"]["facets"].get("persona")])
        for event in events.values()
    ]
    assert not any(case_id in each for case_id in opened for each in ours)


def test_a_search_reads_though_it_is_a_post(persona_connection):
    query = {"attribute": "status", "operator": "eq", "value": "Open"}
    search = PersonaOperator(task_id="search", operation_id="search-cases", body={"query": query}, result="ids")
    search.execute({})
    told = search.get_openlineage_facets_on_complete(None)
    assert ([each.name for each in told.inputs], told.outputs) == (["case"], [])


@pytest.mark.parametrize(("arguments", "wrote"), [({"sample": 1}, True), ({"dry_run": True}, False), ({}, True)])
def test_a_sample_has_written_and_a_dry_run_has_not(persona_connection, tmp_path, arguments, wrote):
    opened = [case_id for case_id, status in persona_connection.statuses().items() if status == "Open"][:3]
    changes = [{"case_id": case_id, "status": "Declined"} for case_id in opened]
    operator = PersonaBulkUpdateCasesOperator(task_id="t", changes=changes, state_path=str(tmp_path), **arguments)
    names = {"dag_id": "d", "run_id": "r", "task_id": "t", "map_index": -1, "try_number": 1, "max_tries": 0}
    operator.execute({"ti": SimpleNamespace(xcom_push=lambda **_: None, **names)})
    told = operator.get_openlineage_facets_on_complete(None)
    assert ([each.name for each in told.outputs], bool(persona_connection.journal())) == (["case"] * wrote, wrote)


@pytest.mark.parametrize(
    ("connection", "namespace", "names"),
    [
        ("postgres://u:secret@127.0.0.1:9/crm", "postgres://127.0.0.1:9", ["crm.lost", "crm.risk.cases"]),
        ("mysql://u:secret@127.0.0.1/crm", "mysql://127.0.0.1:3306", ["crm.lost", "risk.cases"]),
    ],
)
def test_tables_are_named_as_the_databases_own_hook_names_them(monkeypatch, connection, namespace, names):
    from airflow_provider_persona.tasks.openlineage import tables_of

    monkeypatch.setenv("AIRFLOW_CONN_CRM", connection)
    found = tables_of("SELECT c.id FROM risk.cases c JOIN lost l ON l.id = c.id", "crm")
    assert ({each.namespace for each in found}, sorted(each.name for each in found)) == ({namespace}, names)


@pytest.mark.parametrize(
    ("address", "namespace", "name"),
    [
        ("s3://aws_default@bucket/persona/cases", "s3://bucket", "persona/cases"),
        ("gs://bucket/cases/", "gs://bucket", "cases"),
        ("/data/cases", "file", "/data/cases"),
        ("file:///data/cases", "file", "/data/cases"),
        ("/data/run #1?", "file", "/data/run #1?"),
        ("s3://bucket/run#1", "s3://bucket", "run#1"),
    ],
)
def test_a_folder_is_named_as_openlineage_names_it(address, namespace, name):
    from airflow_provider_persona.tasks.openlineage import folder_at

    found = folder_at(address)
    assert (found.namespace, found.name) == (namespace, name)


@pytest.mark.parametrize(
    ("operation_id", "kind"),
    [("list-all-cases", "case"), ("list-all-inquiries", "inquiry"), ("create-an-email-address-list-item", "list-item")],
)
def test_a_kind_is_named_by_its_operation(operation_id, kind):
    assert kind_of_operation(operation_id) == kind


def test_airflow_knows_the_addresses_of_assets():
    asset = create_asset(environment="env_AbC", kind="case", extra={"team": "risk"})
    assert (asset.uri, asset.extra) == ("persona://env_AbC/case", {"team": "risk"})
    assert Asset("persona://env_AbC/case/").uri == asset.uri


@pytest.mark.skipif(not AIRFLOW_V_3_1_PLUS, reason="earlier Airflows warn instead of refusing")
@pytest.mark.parametrize(
    "uri", ["persona://", "persona://env_1", "persona://env_1/case/case_1", "persona://env_1/case?a=b"]
)
def test_an_address_that_names_no_kind_or_more_than_one_is_refused(uri):
    with pytest.raises(ValueError, match="persona://<environment>/<kind>"):
        Asset(uri)


def test_an_asset_is_a_dataset_of_openlineage():
    from airflow_provider_persona.assets.persona import convert_asset_to_openlineage

    dataset = convert_asset_to_openlineage(create_asset(environment="env_1", kind="case"), None)
    assert (dataset.namespace, dataset.name) == ("persona://env_1", "case")
