"""`PersonaFilesToObjectStorageOperator`: files of an object, downloaded by the task that reads it, through Airflow."""

from __future__ import annotations

import base64
import json
import stat
from datetime import UTC, datetime

import pytest
import requests
from rogue_persona import RoguePersona

from airflow_provider_persona.api.operations import BadCallError
from airflow_provider_persona.export.files import _is_of_a_file
from airflow_provider_persona.transfers.persona_files_to_object_storage import PersonaFilesToObjectStorageOperator
from airflow_provider_persona.version_compat import DAG
from persona_simulator import SANDBOX_KEY

CASE = "case_sim000001"
PDF, PNG = b"%PDF-1.4 a letter", b"\x89PNG a photo"
NAME = "Zyanya-Canary"


@pytest.fixture
def files(run_dag, persona_connection, tmp_path):
    """Run the operator in a Dag of its own; returns the task instance."""

    def run(retries=0, **arguments):
        given = {
            "operation_id": "retrieve-case",
            "path": {"case-id": CASE},
            "output_path": str(tmp_path / "out"),
            **arguments,
        }
        with DAG("files", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC), catchup=False) as dag:
            PersonaFilesToObjectStorageOperator(task_id="files", retries=retries, **given)
        return run_dag(dag).get_task_instance("files")

    return run


@pytest.fixture
def told(caplog, capfd):
    """Return all that was logged and printed."""
    caplog.set_level("DEBUG")
    return lambda: caplog.text + "".join(capfd.readouterr())


@pytest.fixture
def attached(persona):
    """Two files on a case, a letter and a photo."""
    given = [(f"{NAME}.pdf", PDF), ("photo.png", PNG)]
    attachments = [{"filename": name, "data": base64.b64encode(data).decode()} for name, data in given]
    body = {"data": {"attributes": {"attachments": attachments}}}
    headers = {"Authorization": f"Bearer {SANDBOX_KEY}"}
    answer = requests.patch(f"{persona.url}/api/v1/cases/{CASE}", json=body, headers=headers, timeout=5)
    assert answer.status_code == 200


def _summary(instance):
    assert str(instance.state) == "success"
    return instance.xcom_pull(task_ids="files")


def test_every_file_is_downloaded_under_a_name_that_tells_nothing(files, persona, attached, tmp_path):
    summary = _summary(files())
    letter, photo = tmp_path / "out" / f"{CASE}-1.pdf", tmp_path / "out" / f"{CASE}-2.png"
    assert (letter.read_bytes(), photo.read_bytes()) == (PDF, PNG)
    assert {stat.S_IMODE(path.stat().st_mode) for path in (letter, photo)} == {0o600}
    assert summary == {
        "count": 2,
        "bytes": len(PDF) + len(PNG),
        "files": [
            {
                "uri": str(letter),
                "bytes": len(PDF),
                "content_type": "application/pdf",
                "attribute": "attachments.0.url",
            },
            {"uri": str(photo), "bytes": len(PNG), "content_type": "image/png", "attribute": "attachments.1.url"},
        ],
    }
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [letter.name, photo.name]


def test_the_key_goes_to_the_api_only(files, persona, attached):
    _summary(files())
    assert [each["carried_key"] for each in persona.downloads()] == [False, False]
    assert {request.key for request in persona.requests(operation="retrieve-case")} == {"full"}


def test_done_again_it_gives_the_same_files(files, persona, attached, tmp_path):
    assert _summary(files()) == _summary(files())
    assert len(list((tmp_path / "out").iterdir())) == 2


def test_a_documents_files(files, persona, tmp_path):
    encoded = {"data": base64.b64encode(PDF).decode(), "filename": f"{NAME}.pdf"}
    answer = requests.post(
        f"{persona.url}/api/v1/document/generics",
        json={"data": {"attributes": {"kind": "letter", "files": [encoded]}}},
        headers={"Authorization": f"Bearer {SANDBOX_KEY}"},
        timeout=5,
    )
    document = answer.json()["data"]["id"]
    summary = _summary(files(operation_id="retrieve-a-document", path={"document-id": document}))
    assert (summary["count"], summary["bytes"]) == (1, len(PDF))
    assert (tmp_path / "out" / f"{document}-1.pdf").read_bytes() == PDF


@pytest.fixture
def other_host():
    """A host that is none of Persona's, in the network that the task runs in; yields its address and what it saw."""
    with RoguePersona() as server:
        yield server


def test_an_address_of_another_host_in_a_text_is_not_followed(files, persona, attached, other_host):
    persona.act_as_human(CASE, fields={"name-first": f"{other_host.url}/admin?access_token=x"})
    assert _summary(files())["count"] == 2
    assert other_host.paths == []


def test_a_host_of_files_can_be_named(files, persona, other_host, tmp_path):
    persona.act_as_human(CASE, fields={"name-first": f"{other_host.url}/a?access_token=x"})
    host = other_host.url.removeprefix("http://")
    given = {"file_hosts": [host], "attributes": ["fields.name-first"], "content_types": ["application/json"]}
    assert _summary(files(**given))["count"] == 1
    assert other_host.paths == ["/a?access_token=x"]
    assert "authorization" not in other_host.headers[0]


def test_the_hosts_of_files_are_a_list(files, persona, told):
    assert str(files(file_hosts="files.example.com", retries=1).state) == "failed"
    assert "file_hosts is a list of names" in told()
    assert persona.requests() == []


@pytest.mark.parametrize(
    "text",
    [
        "/signed-files/none/a.pdf?access_token=made-up",
        "/api/v1/files/none/a.pdf",
        "/api/v1/files/../cases",
        "/api/v1/cases?access_token=x",
        "/somewhere?access_token=x",
    ],
)
def test_a_text_that_looks_like_a_link_stops_neither_the_task_nor_the_files(files, persona, attached, told, text):
    persona.act_as_human(CASE, fields={"name-first": f"{persona.url}{text}", "decision-note": "http://[?access_token="})
    before = len(persona.requests())
    summary = _summary(files(retries=1))
    assert [file["attribute"] for file in summary["files"]] == ["attachments.0.url", "attachments.1.url"]
    assert [file["uri"].rpartition("-")[2] for file in summary["files"]] == ["1.pdf", "2.png"]
    with_key = [request.path for request in persona.requests()[before:] if request.key == "full"]
    assert set(with_key) <= {f"/api/v1/cases/{CASE}", "/api/v1/files/none/a.pdf"}
    assert "made-up" not in told()


def test_a_text_does_not_count_as_a_file_too_many(files, persona, attached):
    persona.act_as_human(CASE, fields={"name-first": f"{persona.url}/signed-files/none/a.pdf?access_token=x"})
    assert _summary(files(max_files=2))["count"] == 2


def test_an_attribute_that_is_named_must_hold_a_file(files, persona, told):
    persona.act_as_human(CASE, fields={"name-first": f"{persona.url}/signed-files/none/a.pdf?access_token=x"})
    assert str(files(attributes=["fields.name-first"]).state) == "failed"
    assert f"the link to fields.name-first of {CASE} does not work" in told()


def test_tasks_for_some_of_the_files_each_do_not_overwrite_one_another(files, persona, attached, tmp_path):
    _summary(files(attributes=["attachments.0"]))
    _summary(files(attributes=["attachments.1"]))
    written = sorted((tmp_path / "out").iterdir())
    assert [path.name for path in written] == [f"{CASE}-1.pdf", f"{CASE}-2.png"]
    assert [path.read_bytes() for path in written] == [PDF, PNG]


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("url", True),
        ("attachments.0.url", True),
        ("selfie-photo-url", True),
        ("video-url", True),
        ("photo-urls.0.url", True),
        ("photo-urls.0.normalized-url", True),
        ("photo-urls.0.original-urls.1", True),
        ("fields.selfie.value.url", True),
        ("fields.url", False),
        ("fields.name-first", False),
        ("fields.homepage.value", False),
        ("website-url", False),
        ("fields.photo-url", False),
    ],
)
def test_places_of_files_are_told_from_texts(place, expected):
    assert _is_of_a_file(place) is expected


def test_arguments_may_be_the_text_that_a_template_renders_to(files, persona, attached):
    """As the text it was, `attributes` would name no attribute: no file, and a task that succeeds."""
    path, attributes = f"{{{{ {{'case-id': '{CASE}'}} | tojson }}}}", "{{ ['attachments'] }}"
    assert _summary(files(path=path, attributes=attributes, file_hosts="{{ [] }}"))["count"] == 2
    assert _summary(files(path=path, attributes=attributes, file_hosts="{{ none }}"))["count"] == 2


def test_an_object_without_files_is_a_success_with_none(files, persona):
    assert _summary(files()) == {"count": 0, "bytes": 0, "files": []}


def test_only_the_attributes_that_were_named(files, persona, attached):
    assert _summary(files(attributes=["attachments.1"]))["count"] == 1
    assert _summary(files(attributes=["attach"]))["count"] == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"max_bytes": 5}, f"attachments.0.url of {CASE} is larger than 5 bytes"),
        ({"content_types": ["application/pdf"]}, f"attachments.1.url of {CASE} came as image/png"),
        ({"max_files": 1}, f"{CASE} has 2 files, more than 1"),
        ({"path": {"case-id": "case_unknown"}}, "404"),
        ({"path": {"case-id": "../accounts"}}, "cannot be put into a path"),
    ],
)
def test_what_must_not_be_downloaded_fails_for_good(files, persona, attached, told, tmp_path, arguments, said):
    instance = files(retries=2, **arguments)
    assert (str(instance.state), instance.try_number) == ("failed", 1)
    assert said in told()
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names <= {f"{CASE}-1.pdf"}


def test_links_that_have_ended_are_read_anew_by_the_next_attempt(files, persona, attached, told):
    persona.configure(file_link_seconds=0)
    assert str(files().state) == "failed"
    assert "read the object again" in told()
    persona.configure(file_link_seconds=3600)
    assert _summary(files())["count"] == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"operation_id": "list-all-cases"}, "does not read one object"),
        ({"operation_id": "redact-a-case"}, "does not read one object"),
        ({"operation_id": "print-report-pdf", "path": {"report-id": "r"}}, "does not read one object"),
        ({"operation_id": "retrieve-a-document", "path": {"case-id": "c"}}, "lacks document-id"),
        ({"operation_id": "retrieve-a-documnt"}, "did you mean retrieve-a-document"),
    ],
)
def test_a_call_that_cannot_be_made_fails_when_the_dag_is_parsed(arguments, said):
    with pytest.raises(BadCallError, match=said):
        PersonaFilesToObjectStorageOperator(
            task_id="t", **{"operation_id": "retrieve-case", "path": {"case-id": CASE}, "output_path": "o", **arguments}
        )


def test_neither_key_nor_names_nor_links_are_logged_or_returned(files, persona, attached, told):
    summary = _summary(files())
    searched = (told() + json.dumps(summary)).splitlines()
    for canary in (SANDBOX_KEY, NAME, "access_token"):
        assert [line for line in searched if canary in line] == []
