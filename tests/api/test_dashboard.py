"""Addresses in Persona's dashboard, and spans of time in words."""

from __future__ import annotations

import pytest

from airflow_provider_persona.api.dashboard import DASHBOARD, address_of_id, dashboard_address
from airflow_provider_persona.api.durations import in_words
from airflow_provider_persona.api.errors import PersonaSettingsError
from airflow_provider_persona.api.settings import PersonaSettings


@pytest.mark.parametrize(
    ("object_id", "page"),
    [
        ("case_sim000001", "cases"), ("inq_1", "inquiries"), ("act_a", "accounts"), ("rep_Z9", "reports"),
        ("txn_1", "transactions"), ("ver_selfie", "verifications"),
    ],
)  # fmt: skip
def test_the_beginning_of_an_id_tells_its_page(object_id, page):
    assert address_of_id(object_id) == f"{DASHBOARD}/{page}/{object_id}"
    assert address_of_id(object_id, "https://p.example/d") == f"https://p.example/d/{page}/{object_id}"


@pytest.mark.parametrize(
    "given",
    [None, 7, "", "case", "case_", "customer-4711", "doc_1", "case_1/../../x", "case_1?x", "case_1\n", "CASE_1"],
)
def test_what_is_no_id_of_personas_has_no_address(given):
    assert address_of_id(given) is None


def test_an_id_is_quoted():
    assert dashboard_address("case", "a/b c)") == f"{DASHBOARD}/cases/a%2Fb%20c%29"
    assert dashboard_address("list-item", "x") is None


@pytest.mark.parametrize("given", [None, "", DASHBOARD, f" {DASHBOARD}/ "])
def test_a_connection_has_personas_own_dashboard_by_default(given):
    assert PersonaSettings.checked(api_key="k", dashboard_url=given).dashboard_url == DASHBOARD


@pytest.mark.parametrize(
    "given",
    [
        "javascript:alert(1)",
        "app.example",
        "https://",
        "https://u:p@h/d",
        "https://h/d?x=1",
        "https://h/)[x](y",
        "x://h",
    ],
)
def test_a_dashboard_is_a_plain_web_address(given):
    with pytest.raises(PersonaSettingsError, match="dashboard_url"):
        PersonaSettings.checked(api_key="k", dashboard_url=given)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-1, "0 s"), (0.2, "1 s"), (119, "119 s"), (119.5, "2 min"), (120, "2 min"), (780, "13 min"), (7199, "2 h"),
        (7200, "2 h"), (7500, "2 h 5 min"), (86400, "24 h"), (172800, "2 d"), (180000, "2 d 2 h"),
    ],
)  # fmt: skip
def test_spans_of_time_are_rounded_up(seconds, words):
    assert in_words(seconds) == words
