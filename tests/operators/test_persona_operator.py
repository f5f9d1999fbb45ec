"""`PersonaOperator` and what it shares with the named operators, through Airflow and against a simulated Persona."""

from __future__ import annotations

import importlib
import itertools
import json
import logging
import sqlite3
from contextlib import ExitStack
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from airflow_provider_persona.api.answers import AnswerKind
from airflow_provider_persona.api.errors import PersonaError
from airflow_provider_persona.api.operations import BadCallError, catalogue
from airflow_provider_persona.api.retry import RetryPolicy
from airflow_provider_persona.hooks.persona import PersonaHook
from airflow_provider_persona.operators.operation import PersonaOperator
from airflow_provider_persona.storage.errors import StoreError
from airflow_provider_persona.tasks.private_templates import PrivateTemplate
from airflow_provider_persona.version_compat import DAG, AirflowFailException, task
from tests.airflow_process import run_program
from tests.client.raw_server import RawServer, always, answer

# Put together here, because Airflow keeps the source of this file in its database.
SURNAME = "Vogel" + "sang"  # looked for alone too, since a URL would write the blank before it otherwise
NAME = f"Canaria {SURNAME}"
BIRTHDATE = "1971-" + "02-03"
TEMPLATE = {"data": {"attributes": {"inquiry-template-id": "itmpl_kyc"}}}
STATUS = {"meta": {"status": "Approved"}}


def _dag(**arguments):
    start = datetime(2026, 1, 1, tzinfo=UTC)
    return DAG("any_operation", schedule=None, start_date=start, catchup=False, **arguments)


@pytest.fixture
def call(run_dag, persona_connection):
    """Run the operator in a Dag; returns the task instance's state and what it returned."""

    def run(operation_id, **arguments):
        with _dag() as dag:
            PersonaOperator(task_id="call", operation_id=operation_id, **{"retries": 0, **arguments})
        instance = run_dag(dag).get_task_instance("call")
        return str(instance.state), instance.xcom_pull(task_ids="call")

    return run


def _ti(**changes):
    """A task instance, as far as the operator looks at it."""
    known = {"dag_id": "d", "run_id": "r", "task_id": "call", "map_index": -1, "try_number": 1, "max_tries": 0}
    return SimpleNamespace(**{**known, **changes})


class Quick(PersonaOperator):
    """Its attempts follow one another at once."""

    def hook(self):
        return PersonaHook(self.persona_conn_id, policy=RetryPolicy(delays=(0.0, 0.0), jitter=0.0))


def _execute(operation_id, ti=None, **arguments):
    context = {"ti": ti or _ti(), "dag_run": SimpleNamespace(start_date=datetime.now(UTC))}
    return Quick(task_id="call", operation_id=operation_id, **arguments).execute(context)


def _made(persona, operation):
    return [effect.object_id for effect in persona.journal() if effect.operation == operation]


# ---------------------------------------------------------------------- what is checked when the Dag is parsed


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"operation_id": "aprove-an-inquiry"}, ["aprove-an-inquiry", "approve-an-inquiry"]),
        ({"operation_id": "approve-an-inquiry"}, ["approve-an-inquiry", "inquiry-id"]),
        ({"operation_id": "approve-an-inquiry", "path": {"inquiry": "inq_1"}}, ["approve-an-inquiry", "inquiry-id"]),
        ({"operation_id": "list-all-cases", "path": {"case-id": "case_1"}}, ["list-all-cases", "case-id"]),
        ({"operation_id": "set-status-for-a-case", "path": {"case-id": "c"}}, ["set-status-for-a-case", "meta.status"]),
        (
            {"operation_id": "set-status-for-a-case", "path": {"case-id": "c"}, "body": {"meta": {"state": "x"}}},
            ["set-status-for-a-case", "meta.status"],
        ),
        (
            {"operation_id": "set-status-for-a-case", "path": {"case-id": "c"}, "body": {"meta": {"status": None}}},
            ["set-status-for-a-case", "meta.status"],
        ),
        ({"operation_id": "print-report-pdf", "path": {"report-id": "r"}}, ["print-report-pdf", "output_path"]),
        ({"operation_id": "list-all-cases", "result": "status"}, ["result", "attributes"]),
        ({"operation_id": "list-all-cases", "result": []}, ["result"]),
        ({"operation_id": "list-all-cases", "deliver": print}, ["list-all-cases", "secret"]),
        (
            {"operation_id": "create-an-api-key", "body": {"data": {"attributes": {"name": "k"}}}},
            ["create-an-api-key", "deliver"],
        ),
        (
            {
                "operation_id": "create-an-api-key",
                "body": {"data": {"attributes": {"name": "k"}}},
                "deliver": print,
                "result": ["id", "value"],
            },
            ["create-an-api-key", "result"],
        ),
    ],
)
def test_a_call_that_cannot_be_right_is_an_error_when_the_dag_is_parsed(arguments, words):
    with pytest.raises(BadCallError) as told, _dag():
        PersonaOperator(task_id="call", **arguments)
    assert [word for word in words if word not in str(told.value)] == []


def test_what_comes_from_elsewhere_is_not_judged_when_the_dag_is_parsed():
    with _dag() as dag:

        @task
        def made():
            return {}

        PersonaOperator(task_id="a", operation_id="approve-an-inquiry", path=made())
        PersonaOperator(task_id="b", operation_id="approve-an-inquiry", path="{{ params.path }}")
        PersonaOperator(
            task_id="c", operation_id="set-status-for-a-case", path={"case-id": made()}, body={"meta": made()}
        )
        PersonaOperator(
            task_id="d", operation_id="set-status-for-a-case", path={"case-id": "x"}, body={"meta": "{{ params.meta }}"}
        )
    assert dag.get_task("a").upstream_task_ids == {"made"}
    assert dag.get_task("c").upstream_task_ids == {"made__1", "made__2"}


@pytest.mark.parametrize("entry", catalogue().values(), ids=lambda entry: entry.operation_id)
def test_every_operation_of_the_catalogue_can_be_put_into_a_dag(entry):
    body: dict = {}
    for wanted in entry.required:
        holder = body
        *above, last = wanted.split("|")[0].split(".")
        for key in above:
            holder = holder.setdefault(key, {})
        holder.setdefault(last, "{{ params.x }}")
    body |= dict.fromkeys(entry.nullable)
    operator = PersonaOperator(
        task_id="call",
        operation_id=entry.operation_id,
        path=dict.fromkeys(entry.path_parameters, "{{ params.x }}"),
        query=dict.fromkeys(entry.required_query, "{{ params.x }}"),
        body=body or None,
        headers=dict.fromkeys(entry.headers, "{{ params.x }}"),
        output_path="/tmp/x" if entry.answer is AnswerKind.FILE else None,
        deliver=print if entry.secrets else None,
    )
    assert operator.body == (body or None)  # as given: what was checked is what will be rendered


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"path": {}, "body": STATUS}, "case-id"),
        ({"path": {"case-id": "case_1/../case_2"}, "body": STATUS}, "case-id"),
        ({"path": {"case-id": ".."}, "body": STATUS}, "case-id"),
        ({"path": {"case-id": "case_1?include=x"}, "body": STATUS}, "case-id"),
        ({"path": {"case-id": None}, "body": STATUS}, "case-id"),
        ({"path": {"case-id": "case_sim000001"}, "body": {"meta": {}}}, "meta.status"),
        ({"path": {"case-id": "case_sim000001"}, "body": ["meta"]}, "body"),
        ({"path": {"case-id": "case_sim000001"}, "body": "no JSON"}, "body"),
    ],
)
def test_what_turns_out_wrong_when_it_is_rendered_fails_for_good_and_sends_nothing(persona_connection, arguments, word):
    wanted = {"path": {"case-id": "{{ x }}"}, "body": STATUS}
    operator = PersonaOperator(task_id="call", operation_id="set-status-for-a-case", **wanted)
    operator.path, operator.body = arguments["path"], arguments["body"]
    with pytest.raises(AirflowFailException, match=word):
        operator.execute({"ti": _ti()})
    assert persona_connection.requests() == []


# ---------------------------------------------------------------------- what is sent, and what is returned


def test_templates_and_results_of_other_tasks_become_the_call(run_dag, persona_connection):
    with _dag() as dag:

        @task
        def ids():
            return {"case-id": "case_sim000001"}

        @task
        def wanted():
            return "Declined"

        PersonaOperator(
            task_id="call",
            operation_id="set-status-for-a-case",
            path=ids(),
            body={"meta": {"status": wanted()}},
        )
        PersonaOperator(
            task_id="text",
            operation_id="set-status-for-a-case",
            path={"case-id": "{{ params.case }}"},
            body='{"meta": {"status": "{{ params.status }}"}}',
            params={"case": "case_sim000002", "status": "Declined"},
        )
    run = run_dag(dag)
    assert run.get_task_instance("call").xcom_pull(task_ids="call") == "case_sim000001"
    statuses = persona_connection.statuses()
    assert (statuses["case_sim000001"], statuses["case_sim000002"]) == ("Declined", "Declined")


def test_it_can_be_mapped_and_waits_for_what_partial_comes_from(run_dag, persona_connection):
    cases = ["case_sim000001", "case_sim000002", "case_sim000003"]
    with _dag() as dag:

        @task
        def body():
            return {"meta": {"status": "Declined"}}

        PersonaOperator.partial(task_id="a_call", operation_id="set-status-for-a-case", body=body()).expand(
            path=[{"case-id": case_id} for case_id in cases]
        )
    assert dag.get_task("a_call").upstream_task_ids == {"body"}
    assert str(run_dag(dag).state) == "success"
    assert [persona_connection.statuses()[case_id] for case_id in cases] == ["Declined"] * 3


@pytest.mark.parametrize(
    ("result", "returned"),
    [
        ("id", "inq_sim000001"),
        ("none", None),
        (["status", "fields.name-first.value"], {"status": "completed", "fields.name-first.value": "Hana"}),
        (("id", "type"), {"id": "inq_sim000001", "type": "inquiry"}),
        (["relationships.inquiry-template.data.id", "no-such-name"], None),
        (lambda inquiry: inquiry["attributes"]["status"].upper(), "COMPLETED"),
    ],
)
def test_the_result_is_what_was_asked_for_and_nothing_else(call, result, returned):
    state, got = call("retrieve-an-inquiry", path={"inquiry-id": "inq_sim000001"}, result=result)
    if isinstance(result, list) and "no-such-name" in result:
        returned = {"relationships.inquiry-template.data.id": "itmpl_kyc", "no-such-name": None}
    assert (state, got) == ("success", returned)


def test_attributes_and_the_body_come_when_asked_for(persona_connection):
    path = {"inquiry-id": "inq_sim000001"}
    attributes = _execute("retrieve-an-inquiry", path=path, result="attributes")
    body = _execute("retrieve-an-inquiry", path=path, result="body")
    assert body["data"]["attributes"] == attributes
    assert attributes["reference-id"] == "customer-sim000001"
    assert body["data"]["id"] == "inq_sim000001"


def test_a_list_is_read_to_its_end_in_the_largest_pages(call, persona):
    state, ids = call("list-all-cases")
    assert state == "success"
    assert sorted(ids) == sorted(persona.statuses())
    assert len(persona.requests(operation="list-all-cases")) == 3
    assert all("page%5Bsize%5D=100" in request.query for request in persona.requests())


def test_a_list_is_reduced_object_by_object_and_a_function_gets_it_whole(persona_connection):
    statuses = persona_connection.statuses()
    reduced = _execute("list-all-cases", query={"page[size]": 50}, result=["id", "status"])
    assert {case["id"]: case["status"] for case in reduced} == statuses
    assert len(persona_connection.requests(operation="list-all-cases")) == 6
    assert _execute("list-all-cases", result=len) == len(statuses)
    assert _execute("list-all-cases", result="none") is None
    searched = {"query": {"attribute": "status", "operator": "eq", "value": "Open"}}
    found = _execute("search-cases", body=searched, result="ids")
    assert sorted(found) == sorted(case_id for case_id, status in statuses.items() if status == "Open")


def test_a_list_that_is_longer_than_expected_fails_and_says_so(persona_connection):
    with pytest.raises(AirflowFailException, match="list-all-cases finds more than 150 objects"):
        _execute("list-all-cases", max_items=150)
    assert len(persona_connection.requests()) == 2


def test_an_unknown_body_key_is_sent_and_warned_of_once(persona_connection, caplog):
    body = {"meta": {"status": "Declined", "reason-of-mine": "x"}}
    for _ in range(2):
        _execute("set-status-for-a-case", path={"case-id": "case_sim000001"}, body=body)
    warnings = [record for record in caplog.records if "reason-of-mine" in record.getMessage()]
    assert len(warnings) == 1
    assert persona_connection.statuses()["case_sim000001"] == "Declined"


# ---------------------------------------------------------------------- files


def test_a_pdf_goes_into_a_file_and_only_its_address_into_xcom(call, tmp_path):
    path = {"inquiry-id": "inq_sim000001"}
    state, got = call("print-an-inquiry-pdf", path=path, output_path=f"{tmp_path}/prints/")
    written = tmp_path / "prints" / "inq_sim000001.pdf"
    assert state == "success"
    assert got == {"uri": str(written), "size": written.stat().st_size, "content_type": "application/pdf"}
    assert written.read_bytes().startswith(b"%PDF")
    assert written.stat().st_mode & 0o077 == 0
    assert [each.name for each in written.parent.iterdir()] == ["inq_sim000001.pdf"]


@pytest.fixture
def object_store():
    """A store in memory that Airflow knows under `memory://`, for want of a real one."""
    import fsspec

    from airflow_provider_persona.version_compat import AIRFLOW_V_3_0_PLUS

    store = fsspec.filesystem("memory")
    stores = importlib.import_module("airflow.sdk.io" if AIRFLOW_V_3_0_PLUS else "airflow.io.store")
    stores.attach("memory", fs=store)
    return store


def test_a_file_can_go_to_an_object_store(persona_connection, object_store):
    path = {"report-id": "rep_sim000001"}
    got = _execute("print-report-pdf", path=path, output_path="memory://prints/today/")
    assert got["uri"].endswith("prints/today/rep_sim000001.pdf")
    assert object_store.cat("/prints/today/rep_sim000001.pdf").startswith(b"%PDF")


def test_a_place_that_no_file_can_go_to_is_named(persona_connection, tmp_path):
    path = {"report-id": "rep_sim000001"}
    (tmp_path / "file").write_text("in the way")
    for place in ("nosuchstore://prints/a.pdf", f"{tmp_path}/file/a.pdf"):
        with pytest.raises(StoreError, match="check") as told:  # a store may be there later: left to the retries
            _execute("print-report-pdf", path=path, output_path=place)
        assert place in str(told.value)


def test_a_file_that_is_too_large_is_not_kept(persona_connection, tmp_path):
    target = tmp_path / "report.pdf"
    with pytest.raises(AirflowFailException, match="larger than 10 bytes"):
        _execute("print-report-pdf", path={"report-id": "rep_sim000001"}, output_path=str(target), max_bytes=10)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_came_in_part_is_fetched_again(persona_connection, tmp_path):
    persona_connection.script_fault("truncated", operation="print-report-pdf")
    target = tmp_path / "report.pdf"
    got = _execute("print-report-pdf", path={"report-id": "rep_sim000001"}, output_path=str(target))
    assert target.stat().st_size == got["size"]
    assert target.read_bytes().startswith(b"%PDF")
    assert len(persona_connection.requests(operation="print-report-pdf")) == 2


def test_a_print_that_cannot_be_made_yet_is_left_to_the_retries(persona_connection, tmp_path):
    with pytest.raises(PersonaError) as told:  # and not AirflowFailException
        _execute("print-an-inquiry-pdf", path={"inquiry-id": "inq_sim000005"}, output_path=str(tmp_path / "x.pdf"))
    assert (told.value.status, told.value.retryable) == (409, True)


@pytest.mark.parametrize(("content_type", "body"), [("text/html", b"<p>log in</p>"), ("application/pdf", b"")])
def test_a_file_of_another_type_than_promised_is_refused(tmp_path, monkeypatch, content_type, body):
    """A proxy that answers 200 with a page of its own, which no simulated Persona does."""
    with _server(content_type, body) as url:
        connection = {"conn_type": "persona", "host": url, "password": "persona_sandbox_x"}
        monkeypatch.setenv("AIRFLOW_CONN_PERSONA_DEFAULT", json.dumps(connection))
        with pytest.raises(AirflowFailException, match="print-report-pdf is"):
            _execute("print-report-pdf", path={"report-id": "rep_1"}, output_path=str(tmp_path / "report.pdf"))
    assert list(tmp_path.iterdir()) == []


def test_a_list_answer_that_is_none_is_refused(monkeypatch):
    with _server("application/json", b'{"data": ["case_1"]}') as url:
        connection = {"conn_type": "persona", "host": url, "password": "persona_sandbox_x"}
        monkeypatch.setenv("AIRFLOW_CONN_PERSONA_DEFAULT", json.dumps(connection))
        with pytest.raises(AirflowFailException, match="list-all-cases holds no list"):
            _execute("list-all-cases")


@pytest.mark.parametrize(("result", "returned"), [("id", "case_1"), ("none", None), ("body", None), (["status"], None)])
def test_a_deletion_that_is_answered_with_nothing_is_done(serve_raw, result, returned):
    serve_raw(answer(b"", "204 No Content"))
    assert _execute("redact-a-case", path={"case-id": "case_1"}, result=result) == returned
    assert PersonaHook().redact_case("case_1").id == "case_1"


@pytest.fixture
def serve_raw(monkeypatch):
    """Return a function that lets the connection lead to a server with one answer."""
    with ExitStack() as servers:

        def start(content):
            server = RawServer(always(content))
            servers.callback(server.close)
            connection = {"conn_type": "persona", "host": server.url, "password": "persona_sandbox_x"}
            monkeypatch.setenv("AIRFLOW_CONN_PERSONA_DEFAULT", json.dumps(connection))

        yield start


@pytest.mark.parametrize(
    ("links", "words"),
    [
        (["/api/v1/api-keys"], "has no cursor"),
        (["/api/v1/cases?page%5Bafter%5D=a", "/api/v1/cases?page%5Bafter%5D=b"], "leads back to an earlier page"),
    ],
    ids=["no cursor", "a circle of empty pages"],
)
def test_a_link_without_a_cursor_or_in_a_circle_is_not_followed(monkeypatch, links, words):
    with _server("application/json", b"") as url:
        around = itertools.cycle(json.dumps({"data": [], "links": {"next": link}}).encode() for link in links)
        monkeypatch.setattr(_Answer, "bodies", around)
        connection = {"conn_type": "persona", "host": url, "password": "persona_sandbox_x"}
        monkeypatch.setenv("AIRFLOW_CONN_PERSONA_DEFAULT", json.dumps(connection))
        with pytest.raises(AirflowFailException, match=words):
            _execute("list-all-cases")


def test_no_list_is_the_answer_to_what_may_not_be_done_twice():
    """Pages are read without an identity, which is right as long as this holds."""
    lists = [each for each in catalogue().values() if each.answer in (AnswerKind.COLLECTION, AnswerKind.FILE)]
    assert [each.operation_id for each in lists if not each.repeatable] == []


class _Answer:
    content_type = ""
    body = b""
    bodies = None


def _server(content_type, body):
    """A server that answers everything with 200 and the same."""
    import contextlib
    import threading
    from http.server import BaseHTTPRequestHandler, HTTPServer

    _Answer.content_type, _Answer.body = content_type, body

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            body = next(_Answer.bodies) if _Answer.bodies else _Answer.body
            self.send_response(200)
            self.send_header("Content-Type", _Answer.content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    @contextlib.contextmanager
    def running():
        with HTTPServer(("127.0.0.1", 0), Handler) as server:
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
            thread.start()
            try:
                yield f"http://127.0.0.1:{server.server_port}"
            finally:
                server.shutdown()
                thread.join()

    return running()


# ---------------------------------------------------------------------- once, and what becomes of failures


def test_a_retry_of_a_creation_gets_the_first_tries_answer(run_dag, persona_connection):
    """The first try is cut off after Persona had done it."""

    class CutOff(PersonaOperator):
        def execute(self, context):
            result = super().execute(context)
            if context["ti"].try_number == 1:
                raise RuntimeError("the worker died")
            return result

    with _dag() as dag:
        CutOff(task_id="call", operation_id="create-an-inquiry", body=TEMPLATE, retries=1, retry_delay=0)
    instance = run_dag(dag).get_task_instance("call")
    assert (str(instance.state), instance.try_number) == ("success", 2)
    assert _made(persona_connection, "create-an-inquiry") == [instance.xcom_pull(task_ids="call")]
    sent = persona_connection.requests(operation="create-an-inquiry")
    assert [request.replayed for request in sent] == [False, True]


def test_mapped_and_other_runs_create_each_their_own(run_dag, persona_connection):
    with _dag() as dag:
        PersonaOperator.partial(task_id="call", operation_id="create-an-inquiry").expand(body=[TEMPLATE, TEMPLATE])
    run_dag(dag)
    _execute("create-an-inquiry", ti=_ti(run_id="another"), body=TEMPLATE)
    _execute("create-an-inquiry", ti=_ti(run_id="a third"), body=TEMPLATE)
    assert len(_made(persona_connection, "create-an-inquiry")) == 4


def test_clearing_a_creation_does_it_anew_and_its_retries_do_not(persona_connection):
    first = _execute("create-an-inquiry", body=TEMPLATE)
    assert _execute("create-an-inquiry", ti=_ti(try_number=2), body=TEMPLATE) == first
    cleared = _execute("create-an-inquiry", ti=_ti(try_number=3, max_tries=2), body=TEMPLATE)
    assert cleared != first
    assert _execute("create-an-inquiry", ti=_ti(try_number=4, max_tries=2), body=TEMPLATE) == cleared
    assert len(_made(persona_connection, "create-an-inquiry")) == 2


@pytest.mark.parametrize("fault", ["http_503", "http_503_after"])
def test_an_unknown_outcome_of_a_creation_fails_for_good(run_dag, persona_connection, caplog, capfd, fault):
    persona_connection.script_fault(fault, operation="create-an-inquiry")
    with _dag() as dag:
        PersonaOperator(task_id="call", operation_id="create-an-inquiry", body=TEMPLATE, retries=3)
    instance = run_dag(dag).get_task_instance("call")
    assert (str(instance.state), instance.try_number) == ("failed", 1)
    assert len(persona_connection.requests()) == 1
    told = caplog.text + "".join(capfd.readouterr())
    assert "look before doing it again" in told
    assert "mark this task as success; if it was not, clear it" in told


def test_after_an_unknown_outcome_a_clear_does_it_anew(persona_connection):
    persona_connection.script_fault("http_503", operation="create-an-inquiry")
    for try_number in (1, 2):  # the second finds the failure kept under the same key
        with pytest.raises(AirflowFailException, match="unknown"):
            _execute("create-an-inquiry", ti=_ti(try_number=try_number), body=TEMPLATE)
    assert _made(persona_connection, "create-an-inquiry") == []
    assert _execute("create-an-inquiry", ti=_ti(try_number=3, max_tries=2), body=TEMPLATE).startswith("inq_")


def test_a_creation_whose_answer_was_lost_is_made_once(persona_connection):
    persona_connection.script_fault("reset_after", operation="create-an-inquiry")
    inquiry = _execute("create-an-inquiry", body=TEMPLATE)
    assert _made(persona_connection, "create-an-inquiry") == [inquiry]


def test_a_repeatable_call_is_not_answered_by_a_failure_that_is_kept(persona_connection):
    persona_connection.script_fault("http_503", operation="approve-an-inquiry", times=3)
    arguments = {"operation_id": "approve-an-inquiry", "path": {"inquiry-id": "inq_sim000001"}}
    with pytest.raises(PersonaError):
        _execute(**arguments)
    assert _execute(ti=_ti(try_number=2), **arguments) == "inq_sim000001"
    assert persona_connection.object("inq_sim000001")["status"] == "approved"


@pytest.mark.parametrize("quota_status", [403, 429])
def test_a_retry_is_not_bound_to_a_used_up_quota(persona_connection, quota_status):
    persona_connection.configure(create_quota=0, quota_status=quota_status)
    monthly = {"ti": _ti(max_tries=2), "retries": 2, "body": TEMPLATE}
    persona_connection.configure(window_seconds=10_000)  # a refusal says to wait longer than anybody would
    with pytest.raises(PersonaError) as told:
        _execute("create-an-inquiry", **monthly)
    assert told.value.retryable
    persona_connection.configure(create_quota=5, window_seconds=60)
    assert _execute("create-an-inquiry", **{**monthly, "ti": _ti(max_tries=2, try_number=2)}).startswith("inq_")


@pytest.mark.parametrize(
    ("operation", "path", "word"),
    [("create-a-face-list", None, "face lists"), ("retrieve-a-face-list-item", {"list-item-id": "lif_face"}, "face")],
)
def test_a_403_of_a_withdrawn_operation_says_what_it_means(persona_connection, operation, path, word):
    persona_connection.configure(restricted=True)
    body = {"data": {"attributes": {"name": "x"}}} if path is None else None
    with pytest.raises(AirflowFailException) as told:
        _execute(operation, path=path, body=body)
    assert "403" in str(told.value)
    assert word in str(told.value)
    assert catalogue()[operation].withdrawn in str(told.value)


def test_a_403_of_a_restricted_operation_says_what_it_means(persona_connection, monkeypatch):
    from persona_simulator.config import READ_ONLY_KEY

    connection = {"conn_type": "persona", "host": persona_connection.url, "password": READ_ONLY_KEY}
    monkeypatch.setenv("AIRFLOW_CONN_PERSONA_DEFAULT", json.dumps(connection))
    with pytest.raises(AirflowFailException, match="off by default"):
        _execute("expire-an-api-key", path={"api-key-id": "api_1"}, body={"meta": {"expires-in-seconds": 0}})
    with pytest.raises(AirflowFailException) as told:  # and one that is neither says nothing of the kind
        _execute("approve-an-inquiry", path={"inquiry-id": "inq_sim000001"})
    assert "default" not in str(told.value)


@pytest.mark.parametrize("operation", ["approve-an-inquiry", "retrieve-an-inquiry"])
def test_an_unknown_object_fails_without_retries(run_dag, persona_connection, operation):
    with _dag() as dag:
        PersonaOperator(task_id="call", operation_id=operation, path={"inquiry-id": "inq_none"}, retries=2)
    instance = run_dag(dag).get_task_instance("call")
    assert (str(instance.state), instance.try_number) == ("failed", 1)
    assert len(persona_connection.requests()) == 1


# ---------------------------------------------------------------------- secrets and personal data


def test_a_secret_is_delivered_and_in_the_result_only_where_it_is_named(persona_connection):
    path, got = {"inquiry-id": "inq_sim000003"}, []
    whole = _execute("generate-a-one-time-link", path=path, result="body", deliver=got.append)
    link = got[0]["one-time-link"]
    assert got[0]["id"] == "inq_sim000003"
    assert link.startswith("https://")
    assert link not in json.dumps(whole)
    named = _execute("generate-a-one-time-link", ti=_ti(run_id="2"), path=path, result=["id", "meta.one-time-link"])
    assert named["meta.one-time-link"].startswith("https://")
    listed = _execute("list-all-webhooks", result="attributes")
    assert listed[0]["name"] == "Backoffice"
    assert [name for name in listed[0] if name.startswith("secret")] == []


def _metadata():
    """Return all text in Airflow's metadata database but its encrypted Variables: XCom, rendered fields, Dag runs."""
    from airflow.configuration import conf

    path = conf.get("database", "sql_alchemy_conn").removeprefix("sqlite:///")
    with sqlite3.connect(path) as db:
        return "\n".join(line for line in db.iterdump() if not line.startswith('INSERT INTO "variable"'))


def test_no_personal_data_and_no_key_in_xcom_rendered_templates_or_logs(run_dag, persona_connection, caplog, capfd):
    from persona_simulator import SANDBOX_KEY

    caplog.set_level(logging.DEBUG)
    macros = {"name": lambda: NAME, "born": lambda: BIRTHDATE}
    fields = {"name-first": "{{ name() }}", "birthdate": "{{ born() }}"}
    searched = {"query": {"attribute": "reference_id", "operator": "eq", "value": "{{ name() }}"}}
    with _dag(user_defined_macros=macros) as dag:
        make = PersonaOperator(
            task_id="make", operation_id="create-an-account", body={"data": {"attributes": {"fields": fields}}}
        )
        read = PersonaOperator(
            task_id="read", operation_id="retrieve-an-account", path={"account-id": make.output}, result=["created-at"]
        )
        find = PersonaOperator(
            task_id="find", operation_id="list-all-accounts", query={"filter[reference-id]": "{{ name() }}"}
        )
        look = PersonaOperator(task_id="look", operation_id="search-inquiries", body=searched)
        bad = PersonaOperator(
            task_id="bad", operation_id="create-an-account", body={"data": {"attributes": {"fields": "{{ name() }}"}}}
        )
        read >> find >> look >> bad
    run = run_dag(dag)
    assert str(run.get_task_instance("look").state) == "success"
    made = run.get_task_instance("make").xcom_pull(task_ids="make")
    assert NAME in json.dumps(persona_connection.object(made))
    told = caplog.text + "".join(capfd.readouterr()) + _metadata()
    assert made in told  # so that it is known that the right place was searched
    assert [canary for canary in (SURNAME, BIRTHDATE, SANDBOX_KEY) if canary in told] == []


def test_query_and_body_are_private_templates_and_templates_of_all_are_listed():
    private = {"query", "body", "headers"}
    assert set(PersonaOperator.template_fields) == {"path", *private, "output_path", "persona_conn_id"}
    assert all(isinstance(getattr(PersonaOperator, name), PrivateTemplate) for name in private)


def test_an_operator_in_a_dag_file_costs_little():
    program = (
        "import sys\n"
        "from tests.call_counts import CallCount\n"
        "from airflow_provider_persona.version_compat import DAG, BaseOperator, DecoratedOperator\n"
        "class Plain(BaseOperator): pass\n"
        "with DAG('warm'): Plain(task_id='warm')\n"
        "before = set(sys.modules)\n"
        "with CallCount() as parsing:\n"
        "    from airflow_provider_persona.operators.operation import PersonaOperator\n"
        "    from airflow_provider_persona.operators.inquiries import PersonaApproveInquiryOperator\n"
        "    from airflow_provider_persona.decorators.persona import persona_task\n"
        "    with DAG('d'): PersonaOperator(task_id='x', operation_id='list-all-cases')\n"
        "print(parsing.calls, sorted({'pydantic', 'requests', 'aiohttp', 'pandas'} & (set(sys.modules) - before)))"
    )
    done = run_program(program)
    assert done.returncode == 0, done.stderr
    calls, heavy = done.stdout.strip().splitlines()[-1].split(" ", 1)
    assert heavy == "[]"
    assert int(calls) < 75_000


# ---------------------------------------------------------------------- @task.persona


def test_a_function_says_what_is_sent_and_nothing_of_it_is_kept(run_dag, persona_connection, caplog, capfd):
    from airflow_provider_persona.decorators.persona import persona_task

    caplog.set_level(logging.DEBUG)
    with _dag(user_defined_macros={"name": lambda: NAME}) as dag:

        @task
        def customer():
            return "customer-7"

        @persona_task(operation_id="create-an-account", result=["reference-id"])
        def account(reference: str, name: str, ds=None) -> dict[str, dict]:
            assert ds
            return {"body": {"data": {"attributes": {"reference-id": reference, "fields": {"name-first": name}}}}}

        account(customer(), "{{ name() }}")
    assert dag.get_task("account").upstream_task_ids == {"customer"}
    run = run_dag(dag)
    assert str(run.state) == "success"
    assert run.get_task_instance("account").xcom_pull(task_ids="account") == {"reference-id": "customer-7"}
    made = _made(persona_connection, "create-an-account")
    assert NAME in json.dumps(persona_connection.object(made[0]))
    assert SURNAME not in caplog.text + "".join(capfd.readouterr()) + _metadata()


def test_a_function_can_be_mapped(run_dag, persona_connection):
    from airflow_provider_persona.decorators.persona import persona_task

    cases = ["case_sim000001", "case_sim000002"]
    with _dag() as dag:

        @persona_task(operation_id="set-status-for-a-case")
        def decide(case_id):
            return {"path": {"case-id": case_id}, "body": {"meta": {"status": "Declined"}}}

        decide.expand(case_id=cases)
    assert str(run_dag(dag).state) == "success"
    assert [persona_connection.statuses()[case_id] for case_id in cases] == ["Declined"] * 2


@pytest.mark.parametrize("made", [None, {"case-id": "case_sim000001"}, {"path": {}}])
def test_a_function_that_says_something_else_fails_for_good(run_dag, persona_connection, made):
    from airflow_provider_persona.decorators.persona import persona_task

    with _dag() as dag:

        @persona_task(operation_id="retrieve-case", retries=2)
        def look():
            return made

        look()
    instance = run_dag(dag).get_task_instance("look")
    assert (str(instance.state), instance.try_number) == ("failed", 1)
    assert persona_connection.requests() == []


def test_the_operation_of_a_function_is_checked_when_the_dag_is_parsed():
    from airflow_provider_persona.decorators.persona import persona_task

    with _dag():

        @persona_task(operation_id="retreive-case")
        def look():
            return {}

        with pytest.raises(BadCallError, match="retrieve-case"):
            look()
