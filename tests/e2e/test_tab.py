"""An officer works from Airflow's pages alone: plan, approval, a run that goes on, a failed row found by its reason."""

from __future__ import annotations

import csv
import json
import os
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote
from urllib.request import Request, urlopen

import pytest
from browser import Watched, missing_browser, new_browser

pytestmark = pytest.mark.e2e

DAG_ID = "e2e_tab"
MARKUP = '<img src=x onerror="alert(1)">'
PASSWORDS = {"alice": "for-tests-only", "mallory": "for-tests-too"}
LIMIT, WINDOW = 100, 5.0


@pytest.fixture
def browser() -> Iterator[Any]:
    if missing := missing_browser():
        reason = f"this machine has no {missing}"
        pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)
    with new_browser() as context:
        # Persona's dashboard is not asked: a link leads there, and that is all that matters here.
        context.route("https://app.withpersona.com/**", lambda route: route.fulfill(body="Persona's dashboard"))
        yield context


def test_an_officer_finds_all_of_a_run_in_the_tab(airflow, persona, warehouse, cases, browser):
    wanted = [(case, "Declined" if n % 3 else "Approved") for n, case in enumerate(cases.take(240))]
    misspelt = [(case, "Aproved") for case in cases.take(3)]
    invalid = [("no such id", "Declined"), (None, "Declined")]
    decided = cases.take(19)
    for case in decided:
        persona.act_as_human(case, status="Approved")
    rows = wanted[:60] + misspelt + [(case, "Declined") for case in decided] + invalid + wanted[60:]
    warehouse.fill("officer_decisions", "case_id, status", rows)

    run_id = airflow.trigger(DAG_ID)
    airflow.until(lambda: _state(airflow, run_id, "approve") == "awaiting_input", 120, "the question")
    watched = Watched(browser)
    tab = watched.open(_tab(airflow.api, run_id, "plan_decisions"))
    assert tab.inner_text("#share") == "264 rows planned, 243 to be changed"
    assert {"19", "243", "2"} == set(tab.locator("#legend strong").all_inner_texts())
    assert "Aproved" in tab.inner_text("#facts")
    assert "no answer yet" in tab.inner_text("#facts")
    plan_hash = airflow.result(DAG_ID, run_id, "plan_decisions")["hash"]
    assert plan_hash in tab.inner_text("#facts")
    watched.picture("tab-plan")

    persona.configure(limit=LIMIT, window_seconds=WINDOW)
    airflow.rest("PATCH", _question(run_id), {"chosen_options": ["Approve"]})
    airflow.until(lambda: _state(airflow, run_id, "apply_decisions") == "running", 60, "the run begins")
    tab = watched.open(_tab(airflow.api, run_id, "apply_decisions"))
    before = _done(tab)
    airflow.until(lambda: _done(tab) > max(before, 30), 60, "the page brings itself up to date")
    assert _done(tab) < 264
    assert tab.inner_text("#where").startswith("running")
    assert "left" in tab.inner_text("#pace-text")
    assert "not done yet" in tab.inner_text("#legend")
    assert "Approve by" in tab.inner_text("#facts").replace("\n", " ")
    watched.picture("tab-running")

    persona.configure(limit=1_000_000, window_seconds=60.0)
    airflow.until(lambda: _state(airflow, run_id, "apply_decisions") == "failed", 120, "the run ends")
    tab.wait_for_selector("#where .t-failed")  # by itself, without a reload
    assert _done(tab) == 264
    tab.wait_for_selector("#chips >> text=failed 3")
    tab.click("#reasons button:has-text('422')")
    tab.wait_for_selector("#chosen >> text=422")
    airflow.until(lambda: tab.locator("#rows tbody tr").count() == 3, 30, "the failed rows are shown")
    assert tab.inner_text("#rows").count("Aproved") == 3
    watched.picture("tab-failed")

    with browser.expect_page() as opened:
        tab.click("#rows tbody a >> nth=0")
    assert re.fullmatch(r"https://app\.withpersona\.com/dashboard/cases/case_\w+", opened.value.url)
    opened.value.close()
    with watched.page.expect_download() as download:
        tab.click("text=Ledger (CSV)")
    with open(download.value.path(), newline="") as file:  # noqa: PTH123 - Playwright's own name for it
        lines = list(csv.DictReader(file))
    report = airflow.result(DAG_ID, run_id, "apply_decisions", key="report")
    assert len(lines) == report["rows"] == 264
    assert sum(line["outcome"] == "failed" for line in lines) == report["counts"]["failed"] == 3

    asked = watched.open(_tab(airflow.api, run_id, "approve"))
    assert asked.inner_text("#title") == "Not a bulk task of Persona"

    runs = watched.open(f"{airflow.api}/plugin/persona-runs", "Persona runs")
    assert runs.locator("#runs tbody tr").first.inner_text().count(DAG_ID) == 1
    watched.picture("runs")
    runs.click("#runs tbody a:has-text('apply_decisions')")
    watched.page.wait_for_url("**/tasks/apply_decisions/plugin/persona")
    assert watched.faults == []


def test_a_reader_without_rights_sees_nothing_of_a_run(airflow, persona, warehouse, cases, browser):
    rows = [(case, "Declined") for case in cases.take(3)] + [(cases.take(1)[0], MARKUP), (f"case_{MARKUP}", MARKUP)]
    warehouse.fill("officer_decisions", "case_id, status", rows)
    run_id = airflow.trigger(DAG_ID)
    airflow.until(lambda: _state(airflow, run_id, "approve") == "awaiting_input", 120, "the question")
    users = airflow.start_api_of("tests.reader_rights.DagReaders", PASSWORDS)

    for user, sees in (("mallory", False), ("alice", True)):
        token = _login(users, user)
        browser.clear_cookies()
        browser.add_cookies([{"name": "_token", "value": token, "url": users}])
        watched = Watched(browser)
        watched.page.goto(f"{users}/persona/task/{DAG_ID}/plan_decisions/-1/{quote(run_id, safe='')}")
        if sees:
            watched.page.wait_for_selector("body[data-loaded]")
            assert watched.page.inner_text("#share") == "5 rows planned, 4 to be changed"
            assert watched.page.inner_text("#rows").count(MARKUP) == 1, "markup stands there as text"
            assert watched.page.locator("img").count() == 0
        else:
            assert watched.page.inner_text("h1") == "You cannot see this page"
        for what in ("data/task", "data/rows", "csv/plan", "csv/ledger"):
            path = f"persona/{what}/{DAG_ID}/plan_decisions/-1/{quote(run_id, safe='')}"
            answer = watched.page.request.get(f"{users}/{path}")
            assert answer.status == (403 if not sees else 409 if what == "csv/ledger" else 200), what
        listed = watched.page.request.get(f"{users}/persona/data/runs").json()
        assert bool(listed["total"]) is sees
        assert watched.faults == []
    airflow.rest("PATCH", _question(run_id), {"chosen_options": ["Reject"]})
    airflow.until_success(DAG_ID, run_id, 60)


def _login(users: str, name: str) -> str:
    body = json.dumps({"username": name, "password": PASSWORDS[name]}).encode()
    request = Request(f"{users}/auth/token", body, {"Content-Type": "application/json"})
    with urlopen(request, timeout=30) as answer:
        return str(json.load(answer)["access_token"])


def _tab(api: str, run_id: str, task_id: str) -> str:
    return f"{api}/dags/{DAG_ID}/runs/{quote(run_id, safe='')}/tasks/{task_id}/plugin/persona"


def _done(tab: Any) -> int:
    return int(tab.inner_text("#share").split()[0].replace(",", ""))


def _question(run_id: str) -> str:
    return f"api/v2/dags/{DAG_ID}/dagRuns/{run_id}/taskInstances/approve/-1/hitlDetails"


def _state(airflow: Any, run_id: str, task_id: str) -> str:
    return next(task["state"] for task in airflow.tasks(DAG_ID, run_id) if task["task_id"] == task_id)
