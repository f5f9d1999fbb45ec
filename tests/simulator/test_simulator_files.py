"""Files: signed links that end, need no key and must not get one, and the older way through the API."""

from __future__ import annotations

import pytest
import requests

from persona_simulator import SANDBOX_KEY, SimulatorConfig

DOCUMENT = "/documents/doc_generic"
PASSPORT = b"\x89PNG\r\n\x1a\nsimulated passport"


def link(call, **options) -> str:
    """Return the link to the document's file."""
    return str(call("GET", DOCUMENT, **options).json()["data"]["attributes"]["files"][0]["url"])


def fetch(call, url: str, **headers: str) -> requests.Response:
    """Fetch a link without a key."""
    found: requests.Response = call.session.get(url, headers=headers, timeout=5)
    return found


def test_a_signed_link_leads_to_the_file_under_another_path(call, server) -> None:
    url = link(call)
    assert url.startswith(f"{server.url}/signed-files/")
    answer = fetch(call, url)
    assert (answer.status_code, answer.content, answer.headers["content-type"]) == (200, PASSPORT, "image/png")
    assert "ratelimit-limit" not in answer.headers
    assert server.downloads() == [{"file_id": "file000001", "status": 200, "carried_key": False}]


def test_a_link_with_a_key_is_refused_and_remembered(call, server) -> None:
    assert fetch(call, link(call), Authorization=f"Bearer {SANDBOX_KEY}").status_code == 400
    assert [each["carried_key"] for each in server.downloads()] == [True]


@pytest.mark.parametrize("spoilt", ["", "9999999999.abc", "soon.abc"])
def test_a_link_without_its_signature_is_refused(call, spoilt) -> None:
    assert fetch(call, link(call).partition("?")[0] + f"?access_token={spoilt}").status_code == 403


def test_a_link_ends_and_a_new_read_gives_a_new_one(call, server) -> None:
    url = link(call)
    server.advance_clock(6 * 3600)
    assert fetch(call, url).status_code == 403
    assert fetch(call, link(call)).status_code == 200


def test_an_unknown_file_is_not_found(call) -> None:
    assert fetch(call, link(call).replace("file000001", "file999999")).status_code == 404


def test_older_versions_download_through_the_api_with_the_key(call) -> None:
    url = link(call, headers={"Persona-Version": "2022-09-01"})
    path = url.partition("/api/v1")[2]
    assert path == "/files/file000001/passport.png"
    answer = call("GET", path)
    assert (answer.content, answer.headers["content-type"]) == (PASSPORT, "image/png")
    assert call("GET", path, key=None).status_code == 401


def test_attachments_of_cases_can_be_downloaded(call, open_case) -> None:
    body = {"data": {"attributes": {"attachments": [{"filename": "note.pdf", "data": "JVBERi0="}]}}}
    [attachment] = call("PATCH", f"/cases/{open_case}", body).json()["data"]["attributes"]["attachments"]
    assert fetch(call, attachment["url"]).content == b"%PDF-"
    again = call("GET", f"/cases/{open_case}").json()["data"]["attributes"]["attachments"]
    assert fetch(call, again[0]["url"]).status_code == 200


@pytest.mark.parametrize("declares_length", [True, False])
def test_a_large_file_comes_in_blocks(call, server, declares_length) -> None:
    url = server.add_file("film.mp4", 1_000_000, declares_length=declares_length)
    answer = fetch(call, url)
    assert len(answer.content) == 1_000_000
    assert answer.headers["content-type"] == "video/mp4"
    assert ("content-length" in answer.headers) == declares_length


def test_links_last_as_long_as_is_set(simulate) -> None:
    call = simulate(SimulatorConfig(cases=0, file_link_seconds=10))
    url = link(call)
    call.server.advance_clock(11)
    assert fetch(call, url).status_code == 403
    call.server.configure(file_link_seconds=60)
    url = link(call)
    call.server.advance_clock(11)
    assert fetch(call, url).status_code == 200
