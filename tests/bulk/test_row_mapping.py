"""From rows to wishes: which column means what, and which rows can be no change. Reasons never repeat a value."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from bulk_runs import case_rows

from airflow_provider_persona.api.operations import BadCallError
from airflow_provider_persona.bulk.errors import BulkError, MissingColumnError
from airflow_provider_persona.bulk.source.columns import ObjectRows
from airflow_provider_persona.bulk.source.rows import InvalidRow, MappedRows
from airflow_provider_persona.bulk.subjects.kinds import CASE
from airflow_provider_persona.bulk.subjects.operation import OperationCall, OperationRows
from airflow_provider_persona.bulk.subjects.subject import ObjectUpdate

CANARY = "Keiko-Lindqvist-7731"


def read(row: dict[str, Any], mapping: dict[str, Any] | None = None) -> ObjectUpdate | InvalidRow:
    return ObjectRows(CASE, mapping).reader(list(row)).read(row)


def wish(row: dict[str, Any], mapping: dict[str, Any] | None = None) -> ObjectUpdate:
    found = read(row, mapping)
    assert isinstance(found, ObjectUpdate), found
    return found


def reason(row: dict[str, Any], mapping: dict[str, Any] | None = None) -> str:
    found = read(row, mapping)
    assert isinstance(found, InvalidRow), found
    return found.reason


def test_columns_are_taken_by_our_names_without_a_mapping() -> None:
    row = {"case_id": "case_1", "status": "Approved", "expected_status": "Open", "assignee": "a@b.c", "unrelated": 1}
    found = wish(row)
    assert (found.object_id, found.expected_status) == ("case_1", "Open")
    assert found.change.model_dump(exclude_unset=True) == {"status": "Approved", "assignee": "a@b.c"}


def test_renamed_columns_replace_only_the_names_they_give() -> None:
    row = {"id": "case_1", "verdict": "Approved", "assignee": "a@b.c"}
    found = wish(row, {"case_id": "id", "status": "verdict"})
    assert (found.object_id, found.change.status, found.change.assignee) == ("case_1", "Approved", "a@b.c")


@pytest.mark.parametrize(
    ("columns", "mapping", "missing"),
    [
        (["id", "status"], None, "case_id"),
        (["case_id", "note"], None, "status"),
        (["case_id", "status"], {"status": "verdict"}, "verdict"),
        (["case_id", "status"], {"fields": {"decision-note": "note"}}, "note"),
        (["case_id", "expected_status"], None, "status"),
        ([], None, "case_id"),
    ],
)
def test_a_missing_column_is_named_beside_those_that_are_there(
    columns: list[str], mapping: dict[str, Any] | None, missing: str
) -> None:
    with pytest.raises(MissingColumnError) as error:
        ObjectRows(CASE, mapping).reader(columns)
    assert f"no column {missing};" in str(error.value)
    assert (", ".join(columns) or "(none)") in str(error.value)


def test_a_missing_column_is_found_even_when_there_are_no_rows() -> None:
    with pytest.raises(MissingColumnError, match=r"no column case_id; their columns are identifier, status"):
        list(case_rows([], None, ["identifier", "status"]))
    assert list(case_rows([], None, ["case_id", "status"])) == []


def test_a_source_that_knows_its_columns_needs_no_row_to_lack_one() -> None:
    class Empty:
        @contextmanager
        def open(self) -> Iterator[tuple[list[str], list[dict[str, Any]]]]:
            yield ["case_id", "state"], []

        def parts(self) -> tuple[Any, ...]:
            return ()

    with pytest.raises(MissingColumnError, match="status"):
        list(MappedRows(Empty(), ObjectRows(CASE)).read())


STATUS = {"meta.status": "status"}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"path": {}, "body": STATUS}, "lacks case-id; the operation's path is "),
        (
            {"path": {"case-id": "a", "x": "b", "w": "c"}, "body": STATUS},
            "does not know w, x; the operation's path is ",
        ),
        ({"path": {"x": "b"}, "body": STATUS}, "lacks case-id; the operation's path is "),
        ({"path": {"case-id": "a"}}, "set-status-for-a-case needs meta.status in body or constants"),
        ({"constants": {"case-id": "a/b"}, "body": STATUS}, "case-id"),
    ],
)
def test_a_call_that_lacks_what_its_operation_needs_is_refused_before_any_row(given: dict[str, Any], said: str) -> None:
    with pytest.raises((BulkError, BadCallError), match=re.escape(said)):
        OperationRows("set-status-for-a-case", **given)
    assert OperationRows("set-status-for-a-case", constants={"case-id": "case_1"}, body=STATUS)


@pytest.mark.parametrize(
    ("key", "text", "sent"),
    [
        ("fields", '{"a": 1}', {"a": 1}),
        ("fields", ' {"a": 1}', {"a": 1}),
        ("meta.object-ids", '["act_1"]', ["act_1"]),
        ("name", '{"a": 1}', '{"a": 1}'),
        ("fields", "plain", "plain"),
    ],
)
def test_a_text_of_json_becomes_what_it_holds_where_an_object_or_ids_are_wanted(key: str, text: str, sent: Any) -> None:
    rows = OperationRows("update-a-case", {"case-id": "case_id"}, {key: "column"})
    body = rows._body_of({"case_id": "case_1", "column": text})
    for name in key.split("."):
        assert body is not None
        body = body[name]
    assert body == sent


def test_a_text_that_is_no_json_makes_its_row_invalid_and_is_named_by_its_key() -> None:
    rows = OperationRows("update-a-case", {"case-id": "case_id"}, {"fields": "column"})
    assert rows.read({"case_id": "case_1", "column": "{"}) == InvalidRow("case_1", "fields is no valid JSON")


def test_each_part_of_a_call_tells_its_rows_from_others() -> None:
    """A plan of other rows, which has another fingerprint, is not resumed."""
    path = {"case-id": "case_id"}
    base = OperationRows("set-status-for-a-case", path, {"meta.status": "status"})
    others = [
        OperationRows("set-status-for-a-case", {"case-id": "id"}, {"meta.status": "status"}),
        OperationRows("set-status-for-a-case", path, {"meta.status": "decision"}),
        OperationRows("set-status-for-a-case", path, constants={"meta.status": "Open"}),
        OperationRows("add-tag", path, {"meta.tag-name": "status"}),
    ]
    assert len({str(rows.parts()) for rows in [base, *others]}) == 5
    assert base.parts() == ("set-status-for-a-case", path, {"meta.status": "status"}, None)


def test_rows_given_directly_may_have_columns_of_their_own() -> None:
    rows = [{"case_id": "case_1", "status": "Open"}, {"case_id": "case_2", "assignee": "a@b.c"}]
    first, second = case_rows(rows, None)
    assert isinstance(first, ObjectUpdate)
    assert isinstance(second, ObjectUpdate)
    assert (first.change.status, second.change.status, second.change.assignee) == ("Open", None, "a@b.c")


def test_a_misnamed_key_of_the_mapping_is_refused_with_the_known_ones() -> None:
    with pytest.raises(BulkError, match=r"mapping knows no caseid, state; it knows case_id, expected_status, status"):
        ObjectRows(CASE, {"caseid": "id", "state": "status"}).reader(["id", "status"])


def test_a_column_that_is_there_twice_is_refused_when_the_mapping_means_it() -> None:
    with pytest.raises(BulkError, match="more than one column status"):
        ObjectRows(CASE, None).reader(["case_id", "status", "status"])
    assert ObjectRows(CASE, None).reader(["case_id", "status", "joined", "joined"]).columns["status"] == "status"
    with pytest.raises(BulkError, match="more than one column status, whatever its capitals"):
        ObjectRows(CASE, None).reader(["case_id", "status", "Status"])
    assert ObjectRows(CASE, {"status": "Status"}).reader(["case_id", "status", "Status"]).columns["status"] == "Status"


def test_a_column_whose_name_is_no_text_is_refused() -> None:
    with pytest.raises(BulkError, match="the names of a row's columns are texts"):
        ObjectRows(CASE, None).reader(["case_id", "status", 3])  # type: ignore[list-item]


@pytest.mark.parametrize("empty", [None, "", float("nan"), Decimal("NaN")])
def test_a_row_without_case_id_or_status_is_invalid(empty: Any) -> None:
    assert reason({"case_id": empty, "status": "Open"}) == "no case id"
    assert reason({"case_id": "case_1", "status": empty}) == "no status"


@pytest.mark.parametrize(
    "case_id",
    ["a/b", "case 1", " case_1", "..", ".", "case_1?x=1", "a#x", "a%2F", "a\n", "a\x00", "\ud800", "a" * 501],
)
def test_an_id_that_a_path_cannot_carry_is_invalid_and_not_repeated(case_id: Any) -> None:
    found = read({"case_id": case_id, "status": "Open"})
    assert isinstance(found, InvalidRow)
    assert found.object_id is None
    assert "characters that no id has" in found.reason


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"status": " "}, "status: it is blank"),
        ({"status": 5}, "status: Input should be a valid string"),
        ({"status": "Open", "expected_status": " "}, "expected_status is blank; NULL stands for none"),
        ({"sla_expires_in": True}, "sla_expires_in is true or false"),
        ({"sla_expires_in": CANARY}, "sla_expires_in: Input should be a valid integer"),
        ({"sla_expires_in": -1}, "sla_expires_in: Input should be greater than 0"),
        ({"sla_expires_in": 91 * 86400}, "sla_expires_in: Input should be less than or equal to 7776000"),
        ({"tags": f'["{CANARY}"'}, "tags is no valid JSON"),
        ({"tags": f'["{CANARY}", 5]'}, "tags is no list of texts"),
        ({"tags": {CANARY: 1}}, "tags is no list of texts"),
        ({"add_tags": 5}, "add_tags is no list of texts"),
        ({"add_tags": [CANARY], "remove_tags": [CANARY]}, "the same tag is to be added and removed"),
        ({"tags": [CANARY], "add_tags": [CANARY]}, "tags replaces all tags"),
        ({"fields": f'{{"note": "{CANARY}"'}, "fields is no valid JSON"),
        ({"fields": "[" * 100_000}, "fields is no valid JSON"),
        ({"fields": f'["{CANARY}"]'}, "fields is no object"),
        ({"fields": {"note": [CANARY, float("nan")]}}, "a field is not a finite number"),
        ({"fields": '{"amount": NaN}'}, "a field is not a finite number"),
        ({"fields": {"amount": Decimal("Infinity")}}, "a field is not a finite number"),
        ({"fields": {"amount": Decimal("sNaN")}}, "a field is not a finite number"),
        ({"fields": {"amount": Decimal("1E+5000")}}, "one too large to be written down"),
        ({"fields": {"note": CANARY.encode()}}, "a field is binary"),
        ({"fields": f'{{"note": "{CANARY}\\ud800"}}'}, "a field is no valid Unicode"),
        ({"fields": f'{{"{CANARY}": 1, "{CANARY}": 2}}'}, "an object in JSON has a name more than once"),
        ({"tags": f'"{CANARY}", "vip"'}, "tags is no valid JSON"),
        ({"fields": f'{{"{CANARY}\\ud800": 1}}'}, "the name of a field is no valid Unicode"),
        ({"add_tags": f'["{CANARY}\\ud800"]'}, "add_tags is no list of texts"),
        ({"expected_status": 5}, "expected_status is not text"),
    ],
)
def test_a_row_that_can_be_no_change_says_why_without_its_values(row: dict[str, Any], said: str) -> None:
    found = read({"case_id": "case_1", "status": "Open", **row})
    assert isinstance(found, InvalidRow)
    assert found.object_id == "case_1"
    assert said in found.reason
    assert CANARY not in found.reason
    assert "Value error" not in found.reason


def test_a_row_of_nulls_asks_for_nothing() -> None:
    assert reason({"case_id": "case_1", "assignee": None, "fields": None}) == "it asks for nothing"
    assert reason({"case_id": "case_1", "assignee": " ", "case_queue_id": "", "sla_expires_in": ""}) == (
        "it asks for nothing"
    )


def test_a_set_of_tags_is_written_in_one_order() -> None:
    assert wish({"case_id": "case_1", "add_tags": {"c", "a", "b"}}).change.add_tags == ("a", "b", "c")


@pytest.mark.parametrize(
    "given", [["vip", "watch"], ("vip", "watch"), '["vip", "watch"]', "vip, watch", " vip,, watch,", '"vip, watch"']
)
def test_a_list_may_be_a_list_or_json_or_parted_by_commas(given: Any) -> None:
    assert wish({"case_id": "case_1", "add_tags": given}).change.add_tags == ("vip", "watch")


@pytest.mark.parametrize("given", [{"note": "x", "n": 1}, '{"note": "x", "n": 1}'])
def test_fields_may_be_a_column_with_an_object_or_its_json(given: Any) -> None:
    assert wish({"case_id": "case_1", "fields": given}).change.fields == {"note": "x", "n": 1}
    assert wish({"case_id": "case_1", "extra": given}, {"fields": "extra"}).change.fields == {"note": "x", "n": 1}


def test_fields_may_have_a_column_each_and_null_leaves_a_field_alone() -> None:
    mapping = {"fields": {"decision-note": "note", "risk_score": "score"}}
    assert wish({"case_id": "case_1", "note": "x", "score": 9}, mapping).change.fields == {
        "decision-note": "x",
        "risk_score": 9,
    }
    assert wish({"case_id": "case_1", "note": None, "score": 9}, mapping).change.fields == {"risk_score": 9}


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        (Decimal(12), 12),
        (Decimal("12.50"), 12.5),
        (Decimal("1E+3"), 1000),
        (date(2026, 1, 5), "2026-01-05"),
        (datetime(2026, 1, 5, 8, tzinfo=UTC), "2026-01-05T08:00:00+00:00"),
        (uuid.UUID(int=5), "00000000-0000-0000-0000-000000000005"),
        (True, True),
        ([Decimal(1), {"on": date(2026, 1, 5)}], [1, {"on": "2026-01-05"}]),
    ],
)
def test_what_databases_return_becomes_what_json_can_carry(value: Any, sent: Any) -> None:
    assert wish({"case_id": "case_1", "x": value}, {"fields": {"x": "x"}}).change.fields == {"x": sent}


@pytest.mark.parametrize("blank", [None, "", "  ", "null"])
def test_a_column_of_fields_may_be_blank_or_the_null_of_json(blank: Any) -> None:
    found = wish({"case_id": "case_1", "status": "Open", "fields": blank})
    assert found.change.model_dump(exclude_unset=True) == {"status": "Open"}


@pytest.mark.parametrize("blank", [None, "", "  ", "null"])
def test_a_blank_column_of_tags_leaves_the_tags_as_they_are_and_an_empty_list_removes_them(blank):
    mapping = ObjectRows(CASE, None).reader(["case_id", "status", "tags"])
    row = {"case_id": "case_1", "status": "Open"}
    assert mapping.read({**row, "tags": blank}).change.tags is None
    assert mapping.read({**row, "tags": "[]"}).change.tags == ()


@pytest.mark.parametrize("text", [",", " , ,", '""', '" "', '","'])
@pytest.mark.parametrize("column", ["tags", "add_tags", "remove_tags", "add_objects"])
def test_a_text_without_a_name_in_it_is_no_empty_list(column: str, text: str) -> None:
    said = f"{column} holds no name; an empty list is written as []"
    assert reason({"case_id": "case_1", "status": "Open", column: text}) == said


@pytest.mark.parametrize("names", [[""], ["vip", " "], '["vip", ""]', '{vip,""}', '{" "}'])
def test_a_blank_name_in_a_list_makes_its_row_invalid(names: Any) -> None:
    assert reason({"case_id": "case_1", "status": "Open", "tags": names}) == "tags holds a blank name"


@pytest.mark.parametrize("names", [["vip  ", "watch "], '["vip ", " watch"]', '{"vip  ",watch}'])
def test_names_have_no_blanks_around_them_however_they_come(names: Any) -> None:
    assert wish({"case_id": "case_1", "tags": names}).change.tags == ("vip", "watch")


@pytest.mark.parametrize("case_id", [7, True, b"case_1", [CANARY]])
def test_an_id_that_is_no_text_is_told_so(case_id):
    assert reason({"case_id": case_id, "status": "Open"}) == "the case id is not text"


def test_an_expected_status_of_nan_is_none_as_null_is():
    assert wish({"case_id": "case_1", "status": "Open", "expected_status": float("nan")}).expected_status is None


def test_the_padding_of_a_char_column_is_taken_off():
    found = wish({"case_id": "case_1   ", "status": "Declined  ", "expected_status": "In Review   "})
    assert (found.object_id, found.change.status, found.expected_status) == ("case_1", "Declined", "In Review")
    found = wish(
        {"case_id": "case_1", "case_queue_id": "ccq_1   ", "assignee": "a@b.example  ", "sla_expires_in": "60 "}
    )
    assert found.change.model_dump(exclude_unset=True) == {
        "case_queue_id": "ccq_1",
        "assignee": "a@b.example",
        "sla_expires_in": 60,
    }


def test_a_name_that_the_user_gives_is_found_whatever_its_capitals():
    columns = ["PERSONA_CASE", "VERDICT", "SCORE"]
    mapping = {"case_id": "persona_case", "status": "Verdict", "fields": {"risk_score": "score"}}
    found = ObjectRows(CASE, mapping).reader(columns).read(dict(zip(columns, ["case_1", "Open", 7], strict=True)))
    assert isinstance(found, ObjectUpdate)
    assert (found.object_id, found.change.status, found.change.fields) == ("case_1", "Open", {"risk_score": 7})


def test_a_name_that_the_user_gives_fits_exactly_first():
    columns = ["case_id", "VERDICT", "verdict"]
    assert ObjectRows(CASE, {"status": "verdict"}).reader(columns).columns["status"] == "verdict"
    with pytest.raises(BulkError, match="more than one column Verdict, whatever its capitals"):
        ObjectRows(CASE, {"status": "Verdict"}).reader(columns)
    with pytest.raises(BulkError, match="more than one column note"):
        ObjectRows(CASE, {"fields": {"x": "note"}}).reader(["case_id", "note", "note"])


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        (["case_id", "tag", "case_id"], "more than one column case_id; give each a name of its own"),
        (["CASE_ID", "tag", "Case_Id"], "more than one column case_id, whatever its capitals"),
        (["CASE_ID", "tag", "CASE_ID:1"], "more than one column case_id, whatever its capitals"),
        (["case_id", "tag", "tag"], "more than one column tag"),
        (["case_id"], "no column tag; their columns are case_id"),
    ],
)
def test_a_call_refuses_a_column_that_is_there_twice_or_not_at_all(columns: list[str], said: str) -> None:
    mapping = OperationRows("add-tag", {"case-id": "case_id"}, {"meta.tag-name": "tag"})
    with pytest.raises(BulkError, match=said):
        mapping.reader(columns)


def test_a_call_finds_its_columns_whatever_their_capitals_and_passes_over_other_doubled_ones() -> None:
    mapping = OperationRows("add-tag", {"case-id": "case_id"}, {"meta.tag-name": "tag"})
    call = mapping.reader(["CASE_ID", "TAG", "note", "note"]).read({"CASE_ID": "case_1  ", "TAG": "x", "note": 1})
    assert isinstance(call, OperationCall)
    assert (call.path, call.body) == ({"case-id": "case_1"}, {"meta": {"tag-name": "x"}})


@pytest.mark.parametrize("body", [{"meta": "whole", "meta.tag-name": "tag"}, {"meta.tag-name": "tag", "meta": "whole"}])
def test_a_call_puts_a_part_into_the_object_that_another_column_gives(body: dict[str, str]) -> None:
    reader = OperationRows("add-tag", {"case-id": "id"}, body).reader(["id", "tag", "whole"])
    call = reader.read({"id": "case_1", "tag": "x", "whole": {"more": 1}})
    assert isinstance(call, OperationCall)
    assert call.body == {"meta": {"more": 1, "tag-name": "x"}}
    assert reader.read({"id": "case_1", "tag": "x", "whole": CANARY}) == InvalidRow(
        "case_1", "meta.tag-name goes into meta, which another column or constant gives, and which is no object"
    )


def test_columns_in_capitals_are_found_with_their_guard():
    mapping = ObjectRows(CASE, None).reader(["CASE_ID", "STATUS", "EXPECTED_STATUS"])
    wish = mapping.read({"CASE_ID": "case_1", "STATUS": "Declined", "EXPECTED_STATUS": "Open"})
    assert (wish.change.status, wish.expected_status) == ("Declined", "Open")


@pytest.mark.parametrize("column", ["expected_statuss", "expectedstatus", "Expected_Staus", "case_queue"])
def test_a_column_that_nearly_has_one_of_our_names_is_refused(column):
    with pytest.raises(MissingColumnError, match=r"is it (expected_status|case_queue_id)"):
        ObjectRows(CASE, None).reader(["case_id", "status", column])


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        (["case_id", "status\u200b"], "have no column status; their columns are case_id, 'status\\u200b'"),
        ([" case_id", "status"], "have no column case_id; their columns are ' case_id', status"),
        (["case_id", ""], "have no column status; their columns are case_id, ''"),
        (["case_id", "status", "expected_status\xa0"], "have a column 'expected_status\\xa0'; is it expected_status?"),
    ],
)
def test_a_column_with_characters_that_nobody_sees_is_named_with_them(columns: list[str], said: str) -> None:
    with pytest.raises(MissingColumnError, match=re.escape(said)):
        ObjectRows(CASE, None).reader(columns)


@pytest.mark.parametrize("odd", [1, None, True, ("a",)])
def test_a_key_of_a_mapping_that_is_no_text_is_refused_in_words(odd: Any) -> None:
    columns = ["case_id", "status", "x"]
    for mapping in ({odd: "x"}, {"status": "x", odd: "x"}, {"fields": {odd: "x"}}):
        with pytest.raises(BulkError, match="the keys of mapping are names, which are texts"):
            ObjectRows(CASE, mapping).reader(columns)
    for argument in ("path", "body", "constants"):
        given = {"path": {"case-id": "case_id"}, "body": {"meta.status": "status"}, "constants": {}}
        given[argument] = {**given[argument], odd: "x"}
        with pytest.raises(BulkError, match=f"the keys of {argument} are names, which are texts"):
            OperationRows("set-status-for-a-case", **given)


def test_a_column_that_the_mapping_uses_may_be_called_as_it_likes():
    assert ObjectRows(CASE, {"status": "expected_statuss"}).reader(["case_id", "expected_statuss"]).columns["status"]
