"""`Listing`: which pages are asked for and which objects of them are new, over sockets."""

from __future__ import annotations

import json

import pytest
from rogue_persona import RoguePersona

from airflow_provider_persona.api.errors import PersonaAnswerError
from airflow_provider_persona.api.operations import BadCallError
from airflow_provider_persona.api.settings import PersonaSettings
from airflow_provider_persona.client import PersonaClient
from airflow_provider_persona.export.columns import Columns
from airflow_provider_persona.export.listing import Listing, Mark
from persona_simulator import SANDBOX_KEY

SEARCH = {"query": {"attribute": "created_at", "operator": "gte", "value": "1990-01-01T00:00:00Z"}}


@pytest.fixture
def client(persona):
    persona.configure(search_lag_seconds=0)
    with PersonaClient(PersonaSettings.checked(api_key=SANDBOX_KEY, host=persona.url)) as opened:
        yield opened


@pytest.fixture
def rogue():
    """A server that gives scripted pages, and a client of it."""
    with (
        RoguePersona() as server,
        PersonaClient(PersonaSettings.checked(api_key=SANDBOX_KEY, host=server.url)) as opened,
    ):
        yield server, opened


def _events(**made):
    items = [
        {"type": "event", "id": name, "attributes": {"created-at": f"2026-01-01T{at}Z" if at else None}}
        for name, at in made.items()
    ]
    return {"data": items, "links": {"next": None}}


def _read(client, listing, since=None):
    return [item["id"] for page in listing.pages(client, since=since) for item in page.items]


# ---------------------------------------------------------------------- lists from a mark on


@pytest.mark.parametrize(
    ("lookback", "read"),
    [
        (None, ["C", "B", "late", "A"]),  # two minutes
        (10, ["C", "B", "late"]),
        (0, ["C"]),
    ],
)
def test_a_list_goes_back_before_its_mark_since_objects_may_appear_late(rogue, lookback, read):
    server, client = rogue
    page = _events(C="12:00:20", B="12:00:10", late="12:00:09.9", A="11:58:10", O="11:58:09", P="12:00:30")
    server.give("/api/v1/events", [page])
    mark = Mark("B", "2026-01-01T12:00:10Z")
    assert _read(client, Listing("list-all-events", bounded=True, lookback=lookback), mark) == read


def test_a_list_without_times_ends_at_the_marks_object(rogue):
    server, client = rogue
    server.give("/api/v1/events", [_events(B=None, A=None, O=None)])
    assert _read(client, Listing("list-all-events", bounded=True), Mark("A", "2026-01-01T12:00:00Z")) == ["B"]
    assert _read(client, Listing("list-all-events", bounded=True), Mark("A")) == ["B"]


def test_a_time_with_an_offset_is_asked_for_in_utc():
    listing = Listing("search-cases", body=SEARCH, bounded=True, lookback=60)
    body = json.loads(listing.request(Mark("a", "2026-01-01T12:00:00+02:00")).content())
    assert "2026-01-01T09:59:00Z" in json.dumps(body)


@pytest.mark.parametrize(("lookback", "start"), [(None, "11:45:00"), (0, "12:00:00"), (30, "11:59:30")])
def test_a_search_goes_back_a_quarter_of_an_hour_unless_told_otherwise(lookback, start):
    listing = Listing("search-cases", body=SEARCH, bounded=True, lookback=lookback)
    assert f"2026-01-01T{start}Z" in listing.request(Mark("a", "2026-01-01T12:00:00Z")).content().decode()


# ---------------------------------------------------------------------- searches whose order changes


def _walk(listing, client, persona, touches):
    """Read page by page; as often as `touches` says, the object that is the cursor of the second page changes."""
    read, place = [], 0
    for page in listing.pages(client):
        read += [item["id"] for item in page.items]
        place = place + 1 if page.after else 0
        if place == 2 and touches:
            touches -= 1
            persona.act_as_human(page.after, fields={"external-integration-id": f"touched-{touches}"})
    return read


@pytest.mark.parametrize("operation_id", ["list-all-cases", "search-cases"])
def test_a_mark_at_the_edge_of_time_is_one_without_a_time(operation_id):
    listing = Listing(operation_id, bounded=True)
    marked, unknown = (listing.request(Mark("case_1", at)) for at in ("0001-01-01T00:00:00Z", None))
    assert marked == unknown


def test_a_search_whose_cursor_moved_to_the_front_is_begun_again(persona, client):
    listing = Listing("search-cases", body=SEARCH, bounded=True)
    read = _walk(listing, client, persona, touches=1)
    assert set(read) == set(persona.statuses())
    assert len(read) > 300  # some came again


def test_a_search_that_never_comes_to_rest_may_be_tried_again_later(persona, client):
    listing = Listing("search-cases", body=SEARCH, bounded=True)
    with pytest.raises(PersonaAnswerError, match="leads back to an earlier page") as caught:
        _walk(listing, client, persona, touches=1000)
    assert caught.value.retryable
    assert len(persona.requests(operation="search-cases")) == 4 * 3


def test_a_list_that_leads_back_is_not_begun_again(rogue):
    server, client = rogue
    pages = [_events(A="12:00:00") | {"links": {"next": f"/api/v1/events?page%5Bafter%5D={name}"}} for name in "AB"]
    server.give("/api/v1/events", pages)
    with pytest.raises(PersonaAnswerError, match="leads back") as caught:
        _read(client, Listing("list-all-events"))
    assert not caught.value.retryable
    assert len(server.paths) <= 4


def test_a_next_link_without_a_cursor_is_an_error(rogue):
    server, client = rogue
    server.give("/api/v1/events", [_events(A="12:00:00") | {"links": {"next": "http://[::1/api"}}])
    with pytest.raises(PersonaAnswerError, match="next link of list-all-events has no cursor"):
        _read(client, Listing("list-all-events"))


# ---------------------------------------------------------------------- what is asked for


@pytest.mark.parametrize(
    ("operation_id", "kind"),
    [
        ("list-all-cases", "case"),
        ("list-all-inquiries", "inquiry"),
        ("search-accounts", "account"),
        ("list-all-share-tokens", "connect/share-token"),
        ("list-all-connect-connections", "connect/connection"),
        ("list-all-api-keys", "api-key"),
    ],
)
def test_attributes_are_asked_for_by_the_type_of_the_objects(operation_id, kind):
    body = SEARCH if operation_id.startswith("search") else None
    query = dict(Listing(operation_id, body=body, fields=["status"]).request().query)
    assert query[f"fields[{kind}]"] == "status"


@pytest.mark.parametrize("fields", ["status", {"case": "status"}, [1], 7, ["status", None]])
def test_attributes_that_are_no_list_are_refused(fields):
    with pytest.raises(BadCallError, match="fields is a list like"):
        Listing("list-all-cases", fields=fields).request()


def test_a_custom_field_with_a_dot_in_its_name_is_asked_for_and_found():
    columns = Columns({"city": "fields.home.city", "score": "fields.risk_score", "status": "status"})
    assert columns.attributes == ["fields.home", "fields.home.city", "fields.risk_score", "status"]
    for fields in ({"home.city": "Rome"}, {"home": {"city": "Rome"}}):
        item = {"id": "a", "type": "case", "attributes": {"fields": fields}}
        assert columns.values(item)[2] == "Rome"
