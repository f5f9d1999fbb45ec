"""What a task returns of answers without an object, and what Airflow keeps of a call's path."""

from __future__ import annotations

import json
import sqlite3
from datetime import UTC, datetime

import pytest

from airflow_provider_persona.api.errors import PersonaAnswerError
from airflow_provider_persona.api.operations import BadCallError
from airflow_provider_persona.decorators.persona import PersonaDecoratedOperator
from airflow_provider_persona.operators import accounts, webhooks
from airflow_provider_persona.operators.operation import PersonaOperator
from airflow_provider_persona.version_compat import DAG, AirflowFailException
from tests.operators.test_persona_operator import _ti

CLAIMING = {"Persona-Relay-Secret": "secret-of-relay_sim000001", "Authorization": "PrivateToken token=Zm9vYmFy"}
RELAY = {"claim-type": "age", "encryption-key-pem": None}


def _execute(operation_id, **arguments):
    return PersonaOperator(task_id="call", operation_id=operation_id, **arguments).execute({"ti": _ti()})


def test_names_are_looked_up_in_an_answer_without_an_object(persona_connection):
    challenge = {"operation_id": "request-a-relay-challenge", "body": {"claim-type": "age"}}
    assert _execute(**challenge, result=["challenge", "nothing"]) == {"challenge": "c2ltdWxhdGVk", "nothing": None}
    assert _execute("create-a-relay", body=RELAY, result=["relay-token"]) == {"relay-token": "relay_sim000001"}


@pytest.mark.parametrize("result", ["body", ["relay-secret"]])
def test_secrets_of_such_an_answer_are_delivered_and_in_the_result_only_by_name(persona_connection, result):
    taken = []
    returned = _execute("create-a-relay", body=RELAY, result=result, deliver=taken.append)
    assert taken[0]["relay-token"] == "relay_sim000001"
    assert returned == ({} if result == "body" else {"relay-secret": "secret-of-relay_sim000001"})


def test_a_claim_goes_out_under_its_privacy_pass_and_not_under_the_key(persona_connection):
    relay = {"operation_id": "generate-a-relay-claim", "path": {"relay-token": "relay_sim000001"}}
    _execute("create-a-relay", body=RELAY, result="none")
    assert _execute(**relay, headers=CLAIMING, result=["token-consumed"]) == {"token-consumed": True}
    request = persona_connection.requests()[-1]
    assert (request.path, request.key) == ("/api/privacy/v1/relays/relay_sim000001/generate-claim", "privacy-pass")


@pytest.mark.parametrize("headers", [None, {}, {"Authorization": CLAIMING["Authorization"]}])
def test_a_claim_without_its_headers_is_refused_when_the_dag_is_parsed(headers):
    with pytest.raises(BadCallError, match="generate-a-relay-claim needs Persona-Relay-Secret"):
        PersonaOperator(
            task_id="claim", operation_id="generate-a-relay-claim", path={"relay-token": "x"}, headers=headers
        )


def test_of_a_path_ids_are_kept_and_tokens_and_names_are_not(run_dag, persona_connection, tmp_path, caplog, capfd):
    from airflow.configuration import conf

    relay, name = "relay_" + "sim000001", "Quitten" + "baum passport.png"
    _execute("create-a-relay", body=RELAY, result="none")
    _execute("retrieve-a-generic-document", path={"document-id": "doc_generic"}, result="none")
    params = {"relay": [relay[:6], relay[6:]], "name": [name[:5], name[5:]], "case": ["case_", "sim000001"]}
    start = datetime(2026, 1, 1, tzinfo=UTC)
    with DAG("path", schedule=None, start_date=start, catchup=False, params=params) as dag:
        for task_id, operation_id, path in (
            ("claim", "generate-a-relay-claim", {"relay-token": "{{ params.relay | join }}"}),
            ("fetch", "download-a-file", {"file-token": "file000001", "filename": "{{ params.name | join }}"}),
            ("read", "retrieve-case", {"case-id": "{{ params.case | join }}"}),
        ):
            PersonaOperator(
                task_id=task_id,
                operation_id=operation_id,
                path=path,
                headers=CLAIMING if task_id == "claim" else None,
                result="none",
                output_path=f"{tmp_path}/fetched",
            )
    run = run_dag(dag)
    states = {task_id: str(run.get_task_instance(task_id).state) for task_id in dag.task_ids}
    assert states == dict.fromkeys(("claim", "fetch", "read"), "success")
    assert (tmp_path / "fetched").exists()
    with sqlite3.connect(conf.get("database", "sql_alchemy_conn").removeprefix("sqlite:///")) as db:
        kept = "\n".join(str(row) for row in db.execute("SELECT rendered_fields FROM rendered_task_instance_fields"))
        told = kept + caplog.text + "".join(capfd.readouterr()) + "\n".join(db.iterdump())
    assert "case_sim000001" in kept
    assert relay not in kept
    assert "token=Zm9v" not in kept
    assert "Quitten" + "baum" not in told


def test_a_file_in_a_folder_has_the_name_that_persona_gives_it(persona_connection, tmp_path):
    _execute("retrieve-a-generic-document", path={"document-id": "doc_generic"}, result="none")
    path = {"file-token": "file000001", "filename": "my pässport.png"}
    got = _execute("download-a-file", path=path, output_path=f"{tmp_path}/")
    assert got["uri"] == f"{tmp_path}/my pässport.png"
    assert (tmp_path / "my pässport.png").exists()


@pytest.mark.parametrize(
    ("made", "word"),
    [
        ({"path": "inq_1"}, "path is a mapping"),
        ({"path": {"inquiry-id": "inq_1"}, "query": ["a"]}, "query is a mapping"),
        ({"path": {"inquiry-id": "inq_1"}, "body": "no JSON"}, "body is a mapping"),
        ({"path": {"inquiry-id": "inq_1"}, "body": {"meta": {"comment": float("nan")}}}, "cannot be sent"),
    ],
)
def test_a_function_that_returns_no_mappings_fails_for_good(persona_connection, made, word):
    operator = PersonaDecoratedOperator(
        task_id="call", operation_id="approve-an-inquiry", python_callable=lambda: made, op_args=[], op_kwargs={}
    )
    with pytest.raises(AirflowFailException, match=word):
        operator.execute({"ti": _ti()})
    assert persona_connection.requests() == []


def test_a_function_may_return_json_text(persona_connection):
    made = {"path": {"inquiry-id": "inq_sim000001"}, "body": json.dumps({"meta": {"comment": "seen"}})}
    operator = PersonaDecoratedOperator(
        task_id="call", operation_id="approve-an-inquiry", python_callable=lambda: made, op_args=[], op_kwargs={}
    )
    assert operator.execute({"ti": _ti()}) == "inq_sim000001"
    assert persona_connection.object("inq_sim000001")["attributes"]["reviewer-comment"] == "seen"


def test_no_tag_to_change_returns_the_id_and_asks_nothing(persona_connection):
    arguments = {"task_id": "call", "account_id": "act_sim000001", "add_tags": []}
    assert accounts.PersonaTagAccountOperator(**arguments).execute({"ti": _ti()}) == "act_sim000001"
    assert accounts.PersonaTagAccountOperator(**arguments, result="none").execute({"ti": _ti()}) is None
    assert persona_connection.requests() == []


@pytest.mark.parametrize(
    "secrets", [{"secrets": []}, {"secrets": [{"value": "old", "expires-at": "2030-01-01"}]}, {"secret": None}]
)
def test_no_secret_that_lasts_is_an_error_and_no_text(secrets):
    with pytest.raises(PersonaAnswerError, match="holds no secret that lasts"):
        webhooks.lasting_secret(secrets)


@pytest.mark.parametrize("kind", ["email-addresses", "phone-numbers"])
def test_a_confirmation_code_goes_where_it_was_asked_for_and_nowhere_else(persona_connection, kind):
    sends = {"email-addresses": "send-an-email", "phone-numbers": "send-an-sms"}[kind]
    path = {"verification-id": "ver_" + kind.removesuffix("es" if kind[0] == "e" else "s").replace("-", "_")}
    persona_connection.change_object(path["verification-id"], "initiated")
    assert "confirmation-code" not in _execute(sends, path=path, result="attributes")
    assert "271828" not in json.dumps(_execute("retrieve-a-verification", path=path, result="body"))
    named = _execute("retrieve-a-verification", path=path, result=["status", "confirmation-code"])
    assert named == {"status": "initiated", "confirmation-code": "271828"}


def test_a_search_that_says_its_own_page_size_keeps_it(persona_connection):
    query = {"query": {"attribute": "status", "operator": "eq", "value": "Open"}}
    _execute("search-cases", body={**query, "page": {"size": 30}}, result="ids")
    assert "page" not in persona_connection.requests()[0].query
    _execute("search-cases", body=query, result="ids")
    assert "page%5Bsize%5D=100" in persona_connection.requests()[-1].query
