"""Rows that name their objects by another key than the id: what is found, what is refused, and what it costs."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from bulk_runs import last_results, outcomes, plan_in

from airflow_provider_persona.api.document import Resource
from airflow_provider_persona.api.errors import PersonaError
from airflow_provider_persona.bulk.errors import BulkError, MissingColumnError
from airflow_provider_persona.bulk.job import BulkJob
from airflow_provider_persona.bulk.plan.compare import CompareMode
from airflow_provider_persona.bulk.plan.draft import Draft, PlanOptions, complete, resume_or_draft
from airflow_provider_persona.bulk.plan.file import Plan
from airflow_provider_persona.bulk.plan.key_reads import KeyReader
from airflow_provider_persona.bulk.plan.match import Matcher, _found_in
from airflow_provider_persona.bulk.plan.spool import Spool
from airflow_provider_persona.bulk.plan.spooled_keys import Candidate, Found
from airflow_provider_persona.bulk.source.columns import ObjectRows
from airflow_provider_persona.bulk.source.matching import Match, MatchMany
from airflow_provider_persona.bulk.source.rows import MappedRows, read_rows
from airflow_provider_persona.bulk.subjects import object_subject
from airflow_provider_persona.storage.segments import SegmentedLog, SegmentWriter
from airflow_provider_persona.tasks.bulk_arguments import MATCH_KEYS_OF
from airflow_provider_persona.tasks.row_sources import GivenSource
from persona_simulator import FaultKind, SimulatorConfig
from tests.bulk.keyed import KEYS, keyed_objects, keyed_rows
from tests.bulk.kinds import KINDS, Kind
from tests.bulk.odd_answers import OddAnswers
from tests.bulk.test_kinds import CREATED, applied, carried_out, effects, writes
from tests.virtual_time import START, VirtualPersona

CASE = KINDS[0]
CANARY = "canary.person@people.example"
each_key = pytest.mark.parametrize(("kind", "by"), KEYS, ids=[f"{kind.name}-{by}" for kind, by in KEYS])


def job_by(
    kind: Kind,
    rows: list[dict[str, Any]],
    by: str = "reference-id",
    many: MatchMany = MatchMany.NONE,
    mapping: dict[str, Any] | None = None,
    compare: CompareMode = CompareMode.NEVER,
) -> BulkJob:
    match = Match(by, many)
    planning = PlanOptions(compare, record_states=compare is not CompareMode.NEVER, match=match)
    mapped = MappedRows(GivenSource(rows), ObjectRows(kind.subject, mapping, match))
    return BulkJob(mapped, kind.subject, planning=planning)


def planned(persona: VirtualPersona, job: BulkJob, folder: Path) -> Plan:
    async def main() -> Plan:
        draft = resume_or_draft(job.rows.read, folder, job.header(str(folder), None, CREATED))
        assert isinstance(draft, Draft)
        try:
            async with persona.client() as client:
                return await complete(draft, client, job.planning)
        finally:
            draft.close()

    return persona.run(main())


def lists_of(persona: VirtualPersona, kind: Kind) -> list[bool]:
    """Requests of the kind's list so far, each with whether it was filtered."""
    return ["filter" in request.query for request in listed(persona, kind)]


def listed(persona: VirtualPersona, kind: Kind) -> list[Any]:
    return [each for each in persona.requests() if each.operation == kind.subject.list_operation]


def reasons(plan: Plan) -> Counter[str]:
    return Counter(row.reason for row in plan.rows() if row.reason)


def test_the_operators_know_the_keys_of_every_kind() -> None:
    assert {name: tuple(object_subject(name).match.keys) for name in MATCH_KEYS_OF} == MATCH_KEYS_OF


def test_the_lists_have_the_filters_of_all_keys() -> None:
    for kind, by in KEYS:
        kind.subject.list_request([], filters={by: "x"})  # the catalogue refuses a filter that a list lacks


@each_key
def test_objects_are_found_by_each_key_of_each_kind(
    persona: VirtualPersona, tmp_path: Path, kind: Kind, by: str
) -> None:
    objects = keyed_objects(persona, kind, by, 3)
    made = writes(persona)
    rows = keyed_rows(kind, by, [*objects, "nothing-has-it"])
    plan = planned(persona, job_by(kind, rows, by), tmp_path)
    assert [row.object_id for row in plan.rows()] == [*objects.values(), None]
    assert reasons(plan) == {f"no {kind.name} with that {by}": 1}
    assert writes(persona) == made
    assert outcomes(applied(persona, plan, verify=True)) == {"updated": 3, "invalid": 1}
    changed = {effect.object_id for effect in effects(persona)[made:] if effect.changed}
    assert changed == set(objects.values())


@each_key
def test_a_kind_is_found_alike_by_its_list_and_by_filtered_reads(
    persona: VirtualPersona, tmp_path: Path, kind: Kind, by: str
) -> None:
    """Enough keys that reading the list is worth a try, first the cheaper way, then with a list that is too long."""
    objects = keyed_objects(persona, kind, by, 40)
    values = [*objects, *(f"nothing-{number}" for number in range(20))]
    key = kind.subject.match.keys[by]
    plan = planned(persona, job_by(kind, keyed_rows(kind, by, values), by), tmp_path)
    assert [row.object_id for row in plan.rows()] == [*objects.values(), *[None] * 20]
    filtered = lists_of(persona, kind)
    if key.takes_several:
        assert filtered == [True]
    elif key.shown_in:
        assert not any(filtered)
        assert len(filtered) < 10
    else:
        assert filtered == [True] * 61  # one more to see that Persona heeds the filter


# ---------------------------------------------------------------------- what it costs


def test_listing_goes_on_only_while_it_is_cheaper(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Of 1,500 cases, 12 rows name some that stand at the end of the list: 15 pages are dearer than 12 reads."""
    persona = VirtualPersona(SimulatorConfig(cases=1500, limit=1_000_000))
    ids = list(persona.statuses())  # the oldest first
    rows = [{"account_id": case_id.replace("case_", "act_"), "add_tags": "x"} for case_id in ids[:12]]
    with caplog.at_level(logging.INFO):
        plan = planned(persona, job_by(CASE, rows, "account-id"), tmp_path)
    assert [row.object_id for row in plan.rows()] == ids[:12]
    filtered = lists_of(persona, CASE)
    assert filtered.count(False) == 5
    assert filtered.count(True) == 12
    assert "Finding the cases of 12 different values of account-id takes about 12 requests" in caplog.text
    spread = [{"account_id": case_id.replace("case_", "act_"), "add_tags": "x"} for case_id in ids[::30]]
    before = len(listed(persona, CASE))
    again = planned(persona, job_by(CASE, spread, "account-id"), tmp_path / "spread")
    assert [row.object_id for row in again.rows()] == ids[::30]
    assert lists_of(persona, CASE)[before:] == [False] * 15


def test_the_price_is_told_with_the_time_under_the_limit_before_the_reads(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    persona = VirtualPersona(SimulatorConfig(cases=100, limit=30))
    rows = keyed_rows(CASE, "reference-id", [f"customer-sim{number:06d}" for number in range(1, 91)])
    began = persona.time.now()
    with caplog.at_level(logging.INFO):
        plan = planned(persona, job_by(CASE, rows), tmp_path)
    made = len(listed(persona, CASE))
    assert plan.header.matching == {"by": "reference-id", "values": 90, "priced": 90, "requests": made}
    assert plan.header.on_matching == (
        f"90 values of reference-id were looked for by {made} requests; 90 were estimated before"
    )
    assert "takes about 90 requests and 180 s under the request limit" in caplog.text
    assert 175 < persona.time.now() - began < 245
    assert persona.state()["limit"] == 30


@pytest.mark.parametrize(("keys", "asks", "lists"), [(10, 0, [True] * 10), (11, 1, [False] * 3)])
def test_up_to_ten_keys_are_looked_for_at_once_and_more_are_priced_and_listed_first(
    persona: VirtualPersona, tmp_path: Path, keys: int, asks: int, lists: list[bool]
) -> None:
    objects = keyed_objects(persona, CASE, "account-id", keys)
    plan = planned(persona, job_by(CASE, keyed_rows(CASE, "account-id", list(objects)), "account-id"), tmp_path)
    assert [row.object_id for row in plan.rows()] == list(objects.values())
    assert len(persona.requests(operation="list-all-rate-limits")) == asks
    assert lists_of(persona, CASE) == lists


def test_where_the_limit_cannot_be_asked_for_the_price_is_told_without_the_time(
    persona: VirtualPersona, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    objects = keyed_objects(persona, CASE, "reference-id", 11)
    persona.script_fault("redirect", operation="list-all-rate-limits")
    with caplog.at_level(logging.INFO):
        plan = planned(persona, job_by(CASE, keyed_rows(CASE, "reference-id", list(objects))), tmp_path)
    assert [row.object_id for row in plan.rows()] == list(objects.values())
    assert "Finding the cases of 11 different values of reference-id takes about 11 requests\n" in caplog.text


def test_a_batch_that_has_too_many_objects_is_read_one_key_at_a_time(persona: VirtualPersona, tmp_path: Path) -> None:
    """Two accounts share one filter; one has more inquiries than two pages show."""
    kind = next(kind for kind in KINDS if kind.name == "inquiry")
    persona.add_objects("act_many", "act_one")

    async def make() -> str:
        async with persona.client() as client:
            body = {"inquiry-template-id": "itmpl_x", "account-id": "act_one"}
            answer = await client.call("create-an-inquiry", body={"data": {"attributes": body}})
            for _ in range(230):
                body = {"inquiry-template-id": "itmpl_x", "account-id": "act_many"}
                await client.call("create-an-inquiry", body={"data": {"attributes": body}})
            return str(answer.json()["data"]["id"])

    only = persona.run(make())
    rows = keyed_rows(kind, "account-id", ["act_many", "act_one"])
    plan = planned(persona, job_by(kind, rows, "account-id", MatchMany.ALL), tmp_path)
    assert [row.object_id for row in plan.rows()] == [None, only]
    assert reasons(plan) == {"more than 100 inquiries have that account-id, so it names none of them": 1}
    assert len(listed(persona, kind)) == 4


@pytest.mark.parametrize(
    ("keys", "sizes"),
    [
        ([], []),
        (["act_1"], [1]),
        ([f"act_{number}" for number in range(100)], [100]),
        ([f"act_{number}" for number in range(101)], [100, 1]),
        (["a" * 497] * 3, [3]),  # a comma takes three characters of an address
        (["a" * 497, "a" * 497, "a" * 498], [2, 1]),
        (["a" * 747, "a" * 747, "a" * 747, "b"], [2, 2]),
        (["a" * 2000, "b"], [1, 1]),
        (["\u20ac" * 83] * 3, [2, 1]),  # nine characters each in an address
        (["a", "b,c", "d"], [1, 2]),
    ],
)
def test_keys_are_asked_for_together_as_far_as_an_address_goes(keys: list[str], sizes: list[int]) -> None:
    several = KeyReader(object_subject("account"), VirtualPersona().client(), "reference-id")
    batches = list(several.batches(keys))
    assert [len(batch) for batch in batches] == sizes
    assert sorted(key for batch in batches for key in batch) == sorted(keys)
    one = KeyReader(CASE.subject, VirtualPersona().client(), "reference-id")  # its filter takes one
    assert list(one.batches(keys)) == [[key] for key in keys]


# ---------------------------------------------------------------------- several objects, several rows


def shared(persona: VirtualPersona, count: int, account: str = "act_shared") -> list[str]:
    """Attach one account to so many open cases; return them, the newest first."""
    cases = CASE.ids(persona, count)
    persona.add_objects(account)

    async def main() -> None:
        async with persona.client() as client:
            for case_id in cases:
                body = {"meta": {"object-ids": [account]}}
                await client.call("add-persona-objects", path={"case-id": case_id}, body=body)

    persona.run(main())
    return cases[::-1]


def test_a_key_that_several_objects_have_makes_the_row_invalid(persona: VirtualPersona, tmp_path: Path) -> None:
    shared(persona, 3)
    rows = keyed_rows(CASE, "account-id", ["act_shared"])
    plan = planned(persona, job_by(CASE, rows, "account-id"), tmp_path)
    (reason,) = reasons(plan)
    assert reason.startswith("3 cases have that account-id; match_many, or a column match_status or match_template")


def test_the_newest_or_all_of_several_objects_are_taken_where_that_is_wished(
    persona: VirtualPersona, tmp_path: Path
) -> None:
    cases = shared(persona, 3)
    other = "act_sim000051"
    rows = keyed_rows(CASE, "account-id", ["act_shared", other])
    newest = planned(persona, job_by(CASE, rows, "account-id", MatchMany.NEWEST), tmp_path / "newest")
    assert [row.object_id for row in newest.rows()] == [cases[0], "case_sim000051"]
    plan = planned(persona, job_by(CASE, rows, "account-id", MatchMany.ALL), tmp_path / "all")
    assert [(row.number, row.object_id) for row in plan.rows()] == [
        (1, cases[0]),
        (2, "case_sim000051"),
        (3, cases[1]),
        (4, cases[2]),
    ]
    report = applied(persona, plan)
    assert report.counts["updated"] == 4
    assert [row for row, result in last_results(plan).items() if result.outcome.value != "updated"] == []


def test_a_status_or_a_template_tells_which_of_several_objects_is_meant(
    persona: VirtualPersona, tmp_path: Path
) -> None:
    cases = shared(persona, 3)
    persona.act_as_human(cases[1], status="In Review")
    row = keyed_rows(CASE, "account-id", ["act_shared"])[0]
    told = [{**row, "match_status": "In Review", "match_template": "ctmpl_kyc"}]
    plan = planned(persona, job_by(CASE, told, "account-id"), tmp_path / "told")
    assert [each.object_id for each in plan.rows()] == [cases[1]]
    for part, value in (("match_status", "Escalated"), ("match_template", "ctmpl_other")):
        plan = planned(persona, job_by(CASE, [{**row, part: value}], "account-id"), tmp_path / part)
        assert reasons(plan) == {f"no case with that account-id fits its {part}": 1}


def test_a_key_of_more_than_a_page_of_objects_names_none_but_the_newest(
    persona: VirtualPersona, tmp_path: Path
) -> None:
    cases = shared(persona, 120)
    rows = keyed_rows(CASE, "account-id", ["act_shared"])
    for many in (MatchMany.NONE, MatchMany.ALL):
        plan = planned(persona, job_by(CASE, rows, "account-id", many), tmp_path / many)
        assert reasons(plan) == {"more than 100 cases have that account-id, so it names none of them": 1}
    assert len(listed(persona, CASE)) == 2  # a page each
    newest = planned(persona, job_by(CASE, rows, "account-id", MatchMany.NEWEST), tmp_path / "newest")
    assert [row.object_id for row in newest.rows()] == [cases[0]]


@pytest.mark.parametrize(
    ("count", "told"), [(100, "100 cases have that account-id; match_many"), (101, "more than 100 cases have that acc")]
)
def test_a_list_that_is_read_to_its_end_tells_the_same_of_such_a_key(
    persona: VirtualPersona, tmp_path: Path, count: int, told: str
) -> None:
    shared(persona, count)
    others = list(keyed_objects(persona, CASE, "account-id", 20))
    plan = planned(
        persona, job_by(CASE, keyed_rows(CASE, "account-id", ["act_shared", *others]), "account-id"), tmp_path
    )
    assert not any(lists_of(persona, CASE))
    (reason,) = reasons(plan)
    assert reason.startswith(told)


def test_two_rows_about_one_object_repeat_or_contradict_one_another(persona: VirtualPersona, tmp_path: Path) -> None:
    (case_id, *_) = shared(persona, 1)
    own = case_id.replace("case_", "act_")
    alike = [{"account_id": "act_shared", "status": "Declined"}, {"account_id": own, "status": "Declined"}]
    plan = planned(persona, job_by(CASE, alike, "account-id"), tmp_path / "alike")
    assert [row.object_id for row in plan.rows()] == [case_id]
    assert plan.header.repeats == 1
    against = [{"account_id": "act_shared", "status": "Declined"}, {"account_id": own, "status": "Approved"}]
    plan = planned(persona, job_by(CASE, against, "account-id"), tmp_path / "against")
    assert reasons(plan) == {"another row wants something else for the same case (first in row 1)": 2}


# ---------------------------------------------------------------------- columns


def test_the_key_stands_in_its_column_or_where_the_mapping_says(persona: VirtualPersona, tmp_path: Path) -> None:
    rows_of = {
        "hyphen": ([{"reference-id": "customer-sim000001", "add_tags": "x"}], None),
        "capitals": ([{"REFERENCE_ID": "customer-sim000001", "ADD_TAGS": "x"}], None),
        "mapped": ([{"crm": "customer-sim000001", "add_tags": "x"}], {"reference_id": "crm"}),
        "mapped-hyphen": ([{"crm": "customer-sim000001", "add_tags": "x"}], {"reference-id": "crm"}),
        "all mapped": ([{"crm": "customer-sim000001", "label": "x"}], {"reference-id": "crm", "add_tags": "label"}),
        "padded": ([{"reference_id": "customer-sim000001   ", "add_tags": "x"}], None),
    }
    for name, (rows, mapping) in rows_of.items():
        plan = planned(persona, job_by(CASE, rows, mapping=mapping), tmp_path / name)
        assert [row.object_id for row in plan.rows()] == ["case_sim000001"], name


def test_numbers_are_keys_and_what_cannot_be_one_is_invalid(persona: VirtualPersona, tmp_path: Path) -> None:
    kind = next(kind for kind in KINDS if kind.name == "account")
    (account,) = kind.ids(persona, 1)
    persona.change_object(account, attributes={"reference-id": "4711"})
    values = [4711, None, "  ", True, 1.5, "x" * 501, "x" * 500, "a,b"]
    rows = [{"reference_id": value, "add_tags": "x"} for value in values]
    plan = planned(persona, job_by(kind, rows), tmp_path)
    assert [row.object_id for row in plan.rows()] == [account, *[None] * 7]
    assert reasons(plan) == {
        "no reference-id": 2,
        "the reference-id is neither text nor a whole number": 2,
        "the reference-id has more than 500 characters": 1,
        "no account with that reference-id": 1,
        "the reference-id has a comma, which Persona's filter takes for the end of a value": 1,
    }


def test_rows_that_could_name_two_objects_or_none_are_refused(persona: VirtualPersona, tmp_path: Path) -> None:
    both = [{"case_id": "case_1", "reference_id": "x", "status": "Declined"}]
    with pytest.raises(BulkError, match="have a column case_id and are to be matched by reference-id"):
        planned(persona, job_by(CASE, both), tmp_path)
    with pytest.raises(MissingColumnError, match="the rows have no column reference_id"):
        planned(persona, job_by(CASE, [{"status": "Declined"}]), tmp_path)
    with pytest.raises(BulkError, match=r"cases are found by reference-id, account-id, .*, not by 'email'"):
        Match.of("email", None, CASE.subject)
    with pytest.raises(BulkError, match="match_many is none, newest, all, not 'first'"):
        Match.of("reference-id", "first", CASE.subject)
    with pytest.raises(BulkError, match="match_many says nothing without match_by"):
        Match.of(None, "all", CASE.subject)


def test_another_key_is_another_source(persona: VirtualPersona) -> None:
    rows = keyed_rows(CASE, "reference-id", ["x"])
    by_id = BulkJob(MappedRows(GivenSource(rows), ObjectRows(CASE.subject)), CASE.subject)
    by_key = [
        job_by(CASE, rows, by, many)
        for by, many in (
            ("reference-id", MatchMany.NONE),
            ("reference-id", MatchMany.ALL),
            ("report-id", MatchMany.ALL),
        )
    ]
    assert len({job.header("run", None, CREATED).source for job in (by_id, *by_key)}) == 4
    assert persona.requests() == []


# ---------------------------------------------------------------------- secrecy


def test_a_key_stands_in_the_private_file_only_and_there_only_where_nothing_has_it(
    persona: VirtualPersona, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kind = next(kind for kind in KINDS if kind.name == "account")
    (account,) = kind.ids(persona, 1)
    persona.change_object(account, attributes={"reference-id": f"found-{CANARY}"})
    rows = [{"reference_id": f"{which}-{CANARY}", "add_tags": "x"} for which in ("found", "lost")]
    with caplog.at_level(logging.DEBUG):
        plan = planned(persona, job_by(kind, rows, compare=CompareMode.GET), tmp_path)
        values = (plan.folder / "values.jsonl").read_text()
        assert json.loads(values) == {"reference-id": f"lost-{CANARY}"}
        assert outcomes(applied(persona, plan)) == {"updated": 1, "invalid": 1}
    assert CANARY not in caplog.text
    for file in tmp_path.rglob("*"):
        assert file.is_dir() or CANARY not in file.read_text(), file
    assert not (plan.folder / "values.jsonl").exists()  # nothing takes this plan up again
    assert (plan_in(tmp_path).header.rows, plan_in(tmp_path).header.invalid) == (2, 1)


def test_no_error_names_a_key(persona: VirtualPersona, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = keyed_rows(CASE, "reference-id", [CANARY])
    persona.configure(fault_rates={FaultKind.HTTP_500: 1.0})
    with caplog.at_level(logging.DEBUG), pytest.raises(PersonaError) as caught:
        planned(persona, job_by(CASE, rows), tmp_path)
    assert CANARY not in f"{caught.value!r} {caught.value} {caplog.text}"
    assert CANARY not in repr(job_by(CASE, rows))


# ---------------------------------------------------------------------- answers that prove nothing


def test_answers_that_do_not_heed_the_filter_prove_nothing(persona: VirtualPersona, tmp_path: Path) -> None:
    """As an older version of Persona, or a proxy that drops the query, would answer."""

    class Deaf:
        """A client to which every list is the list of all."""

        def __init__(self, client: Any) -> None:
            self._client = client

        async def send(self, request: Any) -> Any:
            query = tuple(pair for pair in request.query if not pair[0].startswith("filter"))
            return await self._client.send(dataclasses.replace(request, query=query))

    async def found(by: str) -> Any:
        async with persona.client() as client:
            reader = KeyReader(CASE.subject, Deaf(client), by)  # type: ignore[arg-type]
            return dict(await reader.of_batch(["something"]))["something"]

    assert persona.run(found("reference-id")).problem.startswith("Persona answers with cases whatever the reference-id")
    assert persona.run(found("account-id")).problem.startswith("Persona answered with cases of another account-id")


def test_an_object_that_shows_nothing_of_a_key_is_told_from_one_without_it() -> None:
    reader = KeyReader(CASE.subject, VirtualPersona().client(), "account-id")
    assert reader.shown_by(Resource({"type": "case", "id": "case_1"})) is None
    assert reader.shown_by(Resource({"relationships": {"accounts": {"data": []}}})) == []
    assert reader.shown_by(Resource({"relationships": {"accounts": {"data": [{"id": "act_1"}, {}]}}})) == ["act_1"]


# ---------------------------------------------------------------------- interruption


def test_what_was_found_before_a_kill_is_not_asked_again(persona: VirtualPersona, tmp_path: Path) -> None:
    values = [f"customer-sim{number:06d}" for number in range(1, 41)]
    notes = SegmentedLog(tmp_path, "matched")
    mapping = ObjectRows(CASE.subject, None, Match("reference-id"))
    rows = list(read_rows(keyed_rows(CASE, "reference-id", values), mapping))

    def matched(skip: int | None, later: timedelta = timedelta(0)) -> list[str | None] | None:
        if skip is not None:
            persona.script_fault(FaultKind.HTTP_500, operation=CASE.subject.list_operation, times=500, skip=skip)

        async def main() -> list[str | None]:
            with Spool(only_row_per="case") as spool:
                spool.fill(enumerate(rows, 1))
                async with persona.client() as client:
                    await Matcher(spool, CASE.subject, client, Match("reference-id")).run(
                        notes, utc=lambda: persona.utc() + later
                    )
                return [row.object_id for row in spool.rows()]

        try:
            return persona.run(main())
        except PersonaError:
            return None
        finally:
            persona.clear_faults()

    asyncio.run(_note_other_rows(notes))
    assert matched(skip=25) is None
    assert CANARY not in "".join(file.read_text() for file in tmp_path.iterdir())
    (file,) = tmp_path.iterdir()
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join([*lines[:5], lines[5][:20] + b"\n", *lines[6:]]))  # a damaged note costs its own read
    asked = len(listed(persona, CASE))
    found = matched(skip=None)
    assert found == [f"case_sim{number:06d}" for number in range(1, 41)]
    assert len(listed(persona, CASE)) - asked <= 40 - 25 + 16 + 2
    asked = len(listed(persona, CASE))
    assert matched(None, timedelta(hours=2)) == found  # what is older is asked anew
    assert len(listed(persona, CASE)) - asked == 41


async def _note_other_rows(notes: SegmentedLog) -> None:
    """Leave what a matching of other rows noted, as a task does that was cleared with another query."""
    writer = SegmentWriter(notes, 1, {"content": "other rows"})
    await writer.open()
    await writer.put({**NOTED, "n": 1, "at": START.isoformat()})
    writer.release()


NOTED: dict[str, Any] = {"n": 3, "objects": [["case_1", "Open", None]], "has_more": True, "problem": ""}


def test_a_note_tells_what_was_found() -> None:
    assert _found_in(NOTED) == Found((Candidate("case_1", "Open", None),), has_more=True)
    several = {"n": -(2**63) + 1, "objects": [["a", None, "t"], ["b", "Open", "t"]], "has_more": False, "problem": "p"}
    assert _found_in(several) == Found((Candidate("a", None, "t"), Candidate("b", "Open", "t")), problem="p")


@pytest.mark.parametrize(
    ("name", "odd"),
    [
        *(("n", odd) for odd in ("3", None, 2**63, -(2**63))),
        *(("objects", odd) for odd in (None, 5, [5], [[]], [["case_1", "Open", None, None]])),
        *(("objects", [["case_2", "Open", None], odd]) for odd in ([5, "Open", None], ["a", 5, None], ["a", None, 5])),
        *(("has_more", odd) for odd in (None, 1, "yes")),
        *(("problem", odd) for odd in (None, 5)),
    ],
)
def test_a_damaged_note_tells_nothing(name: str, odd: object) -> None:
    assert _found_in({**NOTED, name: odd}) is None
    assert name == "n" or _found_in({key: value for key, value in NOTED.items() if key != name}) is None


def test_a_run_that_is_tried_again_asks_nothing_and_sends_nothing(persona: VirtualPersona, tmp_path: Path) -> None:
    objects = keyed_objects(persona, CASE, "reference-id", 5)
    job = job_by(CASE, keyed_rows(CASE, "reference-id", list(objects)))
    assert outcomes(carried_out(persona, job, tmp_path)) == {"updated": 5}
    again = carried_out(persona, job, tmp_path, is_retry=True)
    assert (again.resumed, again.requests) == (5, 0)


@pytest.mark.parametrize("several", [True, False])
@pytest.mark.parametrize(
    "odd",
    [
        {"id": "\u202e\x1b[31m"},
        {"id": "act_1/../act_2"},
        {"id": ".."},
        {"id": "x" * 3000},
        {"type": "inquiry"},
        {"id": 1.5},
    ],
    ids=["unprintable", "path", "dots", "long", "another type", "number"],
)
def test_an_object_that_no_call_can_name_or_of_another_kind_costs_its_row(
    tmp_path: Path, odd: dict[str, Any], several: bool
) -> None:
    persona = OddAnswers(lambda item: {**item, **odd} if item.get("id") == strange else item)
    strange = ""
    kind = next(each for each in KINDS if each.name == "account")
    objects = keyed_objects(persona, kind, "reference-id", 3 if several else 1)
    strange = next(iter(objects.values()))
    plan = planned(persona, job_by(kind, keyed_rows(kind, "reference-id", list(objects))), tmp_path)
    assert [row.object_id for row in plan.rows()] == [None, *list(objects.values())[1:]]
    assert set(reasons(plan)) == {"the answer to a look for its account cannot be read"}
    assert outcomes(applied(persona, plan)).get("updated", 0) == len(objects) - 1


@pytest.mark.parametrize("odd", [{"id": "txn_1/../txn_2"}, {"type": "case"}], ids=json.dumps)
def test_an_unreadable_object_of_a_list_does_not_make_another_one_the_only_one(
    tmp_path: Path, odd: dict[str, Any]
) -> None:
    persona = OddAnswers(lambda item: {**item, **odd} if item.get("id") == strange else item)
    strange = ""
    kind = next(each for each in KINDS if each.name == "transaction")
    objects = keyed_objects(persona, kind, "reference-id", 40)
    (first, strange), (second, _), *_ = objects.items()
    persona.change_object(strange, attributes={"reference-id": second})
    rows = keyed_rows(kind, "reference-id", [value for value in objects if value != first])
    plan = planned(persona, job_by(kind, rows), tmp_path)
    assert [row.object_id for row in plan.rows()] == [None, *list(objects.values())[2:]]
    assert set(reasons(plan)) == {"the answer to a look for its transaction cannot be read"}
