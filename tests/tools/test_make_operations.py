"""The script that makes the catalogue of operations, on a small specification and on the one that Persona published."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from copy import deepcopy
from pathlib import Path

import pytest
from make_operations import CATALOGUE, NOTES, main

from tests.specification import SPECIFICATION

SCRIPT = Path(__file__).parents[2] / "tools" / "make_operations.py"

NOTES_TEXT = """
[resources]
"Shape Lists" = "shapes"

[phrases]
gone = "Left in May. An account may answer 403."

[operations.list-all-shapes]
summary = "List shapes, newest first."
since = "2024-01-01"

[operations.create-a-shape]
summary = "Draw a shape."
whole = ["data.attributes.look"]
needs = ["data.attributes.kind|data.attributes.kind-id"]
secrets = ["meta.link"]
since = "2024-01-01"
note = "Once only."

[operations.tag-a-shape]
summary = "Tag a shape."
repeatable = true
appends = ["meta.tags"]
since = "2024-02-01"

[operations.erase-a-shape]
summary = "Erase a shape."
resource = "shapes"
method = "DELETE"
path = "/shapes/{shape-id}"
since = "2024-01-01"
withdrawn = "@gone"

[operations.print-a-shape]
summary = "Print a shape."
since = "2024-01-01"

[operations.create-a-token]
summary = "Exchange a code for a token."
since = "2024-01-01"
"""


def text(**more):
    return {"type": "string", **more}


def mapping(members, required=(), **more):
    return {"type": "object", "properties": members, "required": list(required), "additionalProperties": False, **more}


def answers(status, schema, kind="application/json"):
    return {status: {"content": {kind: {"schema": schema}}}, "404": {"$ref": "#/components/responses/not-found"}}


def called(operation_id, tag, **more):
    return {"operationId": operation_id, "tags": [tag], "summary": f"Do {operation_id}", "responses": {}, **more}


def takes(schema, *kinds):
    return {"content": {kind: {"schema": schema} for kind in kinds or ("application/json",)}}


SHAPE = {"$ref": "#/components/schemas/shape"}
FIELDS = {
    "in": "query",
    "name": "fields",
    "style": "deepObject",
    "schema": {"type": "object", "additionalProperties": {"type": "string"}},
}
FILTER = {
    "in": "query",
    "name": "filter",
    "required": True,
    "schema": mapping({"kind": text(), "made": mapping({"start": text()})}, ["kind"]),
}
DRAWING = mapping(
    {
        "data": mapping(
            {
                "attributes": {
                    "allOf": [
                        mapping(
                            {"kind": text(), "kind-id": text(), "key-pem": {"type": ["string", "null"]}}, ["key-pem"]
                        ),
                        mapping(
                            {
                                "name": text(),
                                "photo": mapping({"data": text(), "filename": text()}),
                                "look": mapping({"colour": text(), "size": text()}, ["size"]),
                                "fields": mapping({"example": text()}, additionalProperties=True),
                                "query": {"oneOf": [mapping({"and": text()}), mapping({"or": text()})]},
                                "sides": {"type": "array", "items": mapping({"length": text()})},
                            },
                            ["name"],
                        ),
                    ]
                }
            }
        ),
    },
    ["data"],
)


@pytest.fixture
def specification():
    """A specification with one operation for each rule by which a fact is read from it."""
    return {
        "paths": {
            "/shapes": {
                "parameters": [{"$ref": "#/components/parameters/page"}, {"in": "header", "name": "Persona-Version"}],
                "get": called(
                    "list-all-shapes",
                    "Shape Lists",
                    parameters=[FIELDS, FILTER],
                    responses=answers("200", mapping({"data": {"type": "array", "items": SHAPE}, "links": {}})),
                ),
                "post": called(
                    "create-a-shape",
                    "Shape Lists",
                    requestBody=takes(DRAWING, "multipart/form-data", "application/json"),
                    responses=answers("201", mapping({"data": SHAPE, "meta": mapping({})})),
                ),
            },
            "/shapes/{shape-id}/tag": {
                "post": called(
                    "tag-a-shape",
                    "Shape Lists",
                    requestBody=takes(mapping({"meta": mapping({"tags": text()}, ["tags"])})),
                    responses=answers("200", mapping({"data": SHAPE})),
                )
            },
            "/shapes/{shape-id}/print": {
                "get": called("print-a-shape", "Shape Lists", responses=answers("200", {}, "application/pdf"))
            },
            "/tokens": {
                "post": called(
                    "create-a-token",
                    "Tokens",
                    requestBody=takes(mapping({"code": text()}, ["code"]), "application/x-www-form-urlencoded"),
                    responses=answers("200", mapping({"access-token": text()})),
                )
            },
        },
        "components": {
            "parameters": {
                "page": {"in": "query", "name": "page", "schema": mapping({"after": text(), "size": text()})}
            },
            "responses": {"not-found": {"content": {"application/json": {"schema": mapping({"errors": text()})}}}},
            "schemas": {"shape": mapping({"id": text()})},
        },
    }


@pytest.fixture
def run(tmp_path, capsys):
    """Run the script on a specification and notes, and return its exit status, what it printed and what it wrote."""

    def call(specification, *options, notes=NOTES_TEXT):
        files = {name: tmp_path / name for name in ("spec.json", "notes.toml", "operations.json")}
        files["spec.json"].write_text(json.dumps(specification), "utf-8")
        files["notes.toml"].write_text(notes, "utf-8")
        places = ("--spec", files["spec.json"], "--notes", files["notes.toml"], "--output", files["operations.json"])
        status = main([*map(str, places), *options])
        made = files["operations.json"]
        entries = {each["id"]: each for each in json.loads(made.read_text("utf-8"))} if made.exists() else None
        printed = capsys.readouterr()
        return status, printed.out + printed.err, entries

    return call


@pytest.fixture
def entries(run, specification):
    """The catalogue that the small specification and its notes make."""
    return run(specification)[2]


def test_every_fact_of_a_list_is_read_from_the_specification(entries):
    assert entries["list-all-shapes"] == {
        "id": "list-all-shapes",
        "resource": "shapes",
        "method": "GET",
        "path": "/shapes",
        "summary": "List shapes, newest first.",
        "query": ["page[after]", "page[size]", "fields[TYPE]", "filter[kind]", "filter[made][start]"],
        "required_query": ["filter[kind]"],
        "body": [],
        "required": [],
        "success": [200],
        "answer": "collection",
        "paged": True,
        "repeatable": True,
        "since": "2024-01-01",
        "withdrawn": None,
    }


def test_a_body_is_read_as_far_as_callers_name_its_keys(entries):
    made = entries["create-a-shape"]
    assert made["body"] == [
        "data.attributes.kind",
        "data.attributes.kind-id",
        "data.attributes.key-pem",
        "data.attributes.name",
        "data.attributes.photo",
        "data.attributes.look",
        "data.attributes.fields.*",
        "data.attributes.query.*",
        "data.attributes.sides",
    ]
    assert made["required"] == ["data.attributes.name", "data.attributes.kind|data.attributes.kind-id"]
    assert made["nullable"] == ["data.attributes.key-pem"]


def test_what_the_notes_say_is_added(entries):
    made, tagged = entries["create-a-shape"], entries["tag-a-shape"]
    assert (made["repeatable"], made["secrets"], made["note"]) == (False, ["meta.link"], "Once only.")
    assert (tagged["repeatable"], tagged["appends"], tagged["required"]) == (True, ["meta.tags"], ["meta.tags"])


def test_kinds_of_bodies_and_answers_are_read_from_the_specification(entries):
    made, printed, token = (entries[each] for each in ("create-a-shape", "print-a-shape", "create-a-token"))
    assert (made["answer"], made["success"], made["multipart"]) == ("object", [201], True)
    assert (printed["answer"], printed["paged"], printed["repeatable"]) == ("file", False, True)
    assert (token["answer"], token["form"], token["resource"]) == ("plain", True, "tokens")


def test_an_operation_that_is_not_published_comes_from_its_note_alone(entries):
    erased = entries["erase-a-shape"]
    assert (erased["method"], erased["path"]) == ("DELETE", "/shapes/{shape-id}")
    assert (erased["success"], erased["repeatable"]) == ([200], True)
    assert erased["withdrawn"] == "Left in May. An account may answer 403."


def test_the_order_is_that_of_the_notes_with_an_unnoted_operation_behind_its_resource(run, specification):
    specification["paths"]["/shapes/{shape-id}"] = {"patch": called("update-a-shape", "Shape Lists")}
    assert list(run(specification)[2]) == [
        *("list-all-shapes", "create-a-shape", "tag-a-shape", "erase-a-shape", "print-a-shape", "update-a-shape"),
        "create-a-token",
    ]


def test_a_check_of_what_was_written_passes_and_a_second_run_changes_nothing(run, specification):
    assert run(specification)[0] == 0
    assert run(specification, "--check")[:2] == (0, "operations.json: as its sources make it, 6 operations\n")
    assert "unchanged, 6 operations" in run(specification)[1]


def test_a_check_writes_nothing_and_names_what_differs(run, specification):
    status, printed, written = run(specification, "--check")
    assert (status, written) == (1, None)
    assert "tag-a-shape: not in the file" in printed

    run(specification)
    changed = deepcopy(specification)
    tag = changed["paths"]["/shapes/{shape-id}/tag"]["post"]
    tag["requestBody"] = takes(mapping({"meta": mapping({"labels": text(), "tags": text()})}))
    status, printed, written = run(changed, "--check")
    assert status == 1
    assert "tag-a-shape: body +meta.labels; required -meta.tags" in printed
    assert "meta.labels" not in written["tag-a-shape"]["body"]
    assert "list-all-shapes" not in printed


def test_a_check_sees_a_file_of_the_same_operations_in_another_format(run, specification, tmp_path):
    run(specification)
    file = tmp_path / "operations.json"
    file.write_text(json.dumps(json.loads(file.read_text("utf-8")), indent=1), "utf-8")
    status, printed, _ = run(specification, "--check")
    assert status == 1
    assert "The operations are the same; their order or the file's format is not." in printed


def test_a_new_operation_is_written_with_care_and_stays_open_until_it_has_a_note(run, specification):
    run(specification)
    specification["paths"]["/shapes/{shape-id}"] = {"patch": called("update-a-shape", "Shape Lists")}
    status, printed, written = run(specification)
    assert status == 0
    assert "New operations without a note" in printed
    assert "update-a-shape: PATCH /shapes/{shape-id}" in printed
    assert written["update-a-shape"]["summary"] == "Do update-a-shape."
    assert not written["update-a-shape"]["repeatable"]

    assert run(specification, "--check")[0] == 1
    noted = NOTES_TEXT + '\n[operations.update-a-shape]\nsummary = "Redraw a shape."\nsince = "2024-03-01"\n'
    run(specification, notes=noted)
    assert run(specification, "--check", notes=noted)[0] == 0


def test_a_vanished_operation_stops_the_script_and_gives_the_note_to_write(run, specification):
    before = run(specification)[2]
    del specification["paths"]["/shapes/{shape-id}/tag"]
    status, printed, written = run(specification)
    assert (status, written) == (1, before)
    assert "Nothing was written" in printed

    lines = [line.strip() for line in printed.splitlines()]
    begin, end = lines.index("[operations.tag-a-shape]") + 1, lines.index('withdrawn = "…"') + 1
    notes = NOTES_TEXT.replace("[operations.tag-a-shape]", "\n".join(["[operations.tag-a-shape]", *lines[begin:end]]))
    status, _, written = run(specification, notes=notes)
    assert status == 0
    assert written["tag-a-shape"] == before["tag-a-shape"] | {"withdrawn": "…"}
    assert run(specification, "--check", notes=notes)[0] == 0


@pytest.mark.parametrize(
    ("place", "line", "reported"),
    [
        ("print-a-shape", 'path = "/shapes/{shape-id}/print"', "print-a-shape: path"),
        ("print-a-shape", "repeatable = true", "print-a-shape: repeatable"),
        ("print-a-shape", "repeatable = false", None),
        ("print-a-shape", 'withdrawn = "@gone"', "print-a-shape: withdrawn"),
        ("tag-a-shape", "paged = false", "tag-a-shape: paged"),
        ("tag-a-shape", 'needs = ["meta.tags"]', "tag-a-shape: needs meta.tags"),
        ("tag-a-shape", 'whole = ["meta.tags"]', "tag-a-shape: whole meta.tags"),
        ("erase-a-shape", "success = [200]", "erase-a-shape: success"),
        ("erase-a-shape", "success = [202]", None),
    ],
)
def test_a_note_that_changes_nothing_is_reported(run, specification, place, line, reported):
    notes = NOTES_TEXT.replace(f"[operations.{place}]", f"[operations.{place}]\n{line}")
    run(specification, notes=notes)
    status, printed, _ = run(specification, "--check", notes=notes)
    assert status == (1 if reported else 0)
    assert (reported or "as its sources make it") in printed


@pytest.mark.parametrize(
    ("old", "new", "reported"),
    [
        ("[phrases]", '[phrases]\nidle = "Said by nobody."', "phrases: idle"),
        ("[resources]", '[resources]\nTokens = "tokens"', "resources: Tokens"),
        ("[resources]", '[resources]\nGhosts = "spirits"', "resources: Ghosts"),
    ],
)
def test_a_phrase_or_resource_that_nothing_uses_is_reported(run, specification, old, new, reported):
    notes = NOTES_TEXT.replace(old, new)
    run(specification, notes=notes)
    status, printed, _ = run(specification, "--check", notes=notes)
    assert status == 1
    assert reported in printed


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("secrets = ", "secret = ", "the note of create-a-shape has an unknown key secret"),
        ('secrets = ["meta.link"]', 'secrets = "meta.link"', "a list is wanted"),
        ('summary = "Draw a shape."', 'summary = ""', "a str is wanted"),
        ('since = "2024-02-01"', 'since = "soon"', "a date is wanted"),
        ('"@gone"', '"@lost"', "the notes have no phrase @lost"),
        ("[phrases]", "[phrases", "notes.toml is no TOML"),
    ],
)
def test_notes_that_cannot_be_used_are_refused(run, specification, old, new, message):
    assert old in NOTES_TEXT
    status, printed, written = run(specification, notes=NOTES_TEXT.replace(old, new))
    assert (status, written) == (2, None)
    assert message in printed


def test_two_operations_of_one_id_are_refused(run, specification):
    specification["paths"]["/other"] = {"get": called("list-all-shapes", "Shape Lists")}
    status, printed, _ = run(specification)
    assert status == 2
    assert "the specification has two operations list-all-shapes" in printed


def test_a_path_with_servers_of_its_own_has_their_prefix(run, specification):
    specification["servers"] = [{"url": "https://api.example/api/v1"}]
    specification["paths"]["/shapes"]["servers"] = [{"url": "https://api.example/api/other/v1"}]
    specification["paths"]["/tokens"]["servers"] = [{"url": "https://api.example/api/v1"}]
    written = run(specification)[2]
    assert {name: entry["prefix"] for name, entry in written.items() if "prefix" in entry} == dict.fromkeys(
        ("list-all-shapes", "create-a-shape"), "/api/other/v1"
    )


def test_headers_and_logins_of_a_single_operation_are_read(run, specification):
    secret = {"in": "header", "name": "Shape-Secret", "required": True}
    draw = specification["paths"]["/shapes"]["post"]
    draw |= {"parameters": [secret], "security": [{"pass": []}]}
    header = {"type": "apiKey", "in": "header", "name": "Authorization", "x-fern-header": {"prefix": "Pass token="}}
    specification["components"]["securitySchemes"] = {"pass": header}
    written = run(specification)[2]
    wanted = {"Shape-Secret": "", "Authorization": "Pass token="}
    assert {name: entry["headers"] for name, entry in written.items() if "headers" in entry} == {
        "create-a-shape": wanted
    }


def test_an_operation_on_another_host_is_refused(run, specification):
    specification["servers"] = [{"url": "https://api.example/api/v1"}]
    specification["paths"]["/shapes"]["servers"] = [{"url": "https://other.example/api/v1"}]
    status, printed, written = run(specification)
    assert (status, written) == (2, None)
    assert "has operations on another host: https://other.example/api/v1" in printed


def test_the_notes_have_each_operation_of_the_catalogue_in_its_order():
    noted = tomllib.loads(NOTES.read_text("utf-8"))["operations"]
    assert list(noted) == [entry["id"] for entry in json.loads(CATALOGUE.read_text("utf-8"))]


@pytest.mark.contract
def test_the_shipped_catalogue_is_what_its_sources_make(tmp_path):
    made = tmp_path / "operations.json"
    command = [sys.executable, str(SCRIPT), "--spec", str(SPECIFICATION)]
    subprocess.run([*command, "--output", str(made)], check=True, capture_output=True)
    assert made.read_bytes() == CATALOGUE.read_bytes()
    checked = subprocess.run([*command, "--check"], check=False, capture_output=True, text=True)
    assert (checked.returncode, checked.stdout) == (0, "operations.json: as its sources make it, 275 operations\n")
