"""An officer works from Airflow's pages alone: plan, approval, a run that goes on, a failed row found by its reason."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote
from urllib.request import Request, urlopen

import pytest
from browser import Watched, missing_browser, new_browser

from airflow_provider_persona.get_provider_info import get_provider_info

pytestmark = pytest.mark.e2e

DAG_ID, REVERT = "e2e_tab", "persona_revert_run"
REASON, LURE = "Ticket 4711", "https://evil.example/approve"
MARKUP = '<img src=x onerror="alert(1)">'
PASSWORDS = {"alice": "for-tests-only", "mallory": "for-tests-too"}
LIMIT, WINDOW = 100, 5.0
_ONLY_WHAT_MATTERS = "log_level=info&log_level=warning&log_level=error"
_LISTS = """
from airflow.cli.cli_parser import get_parser
for what in ("list", "links", "notifications"):
    asked = get_parser().parse_args(["providers", what, "-o", "plain"])
    asked.func(asked)
"""


@pytest.fixture
def browser() -> Iterator[Any]:
    if missing := missing_browser():
        reason = f"this machine has no {missing}"
        pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)
    with new_browser() as context:
        # Persona's dashboard is not asked: a link leads there, and that is all that matters here.
        context.route("https://app.withpersona.com/**", lambda route: route.fulfill(body="Persona's dashboard"))
        yield context


def test_an_officer_works_from_airflow_s_pages_alone(airflow, persona, warehouse, cases, browser):
    """The walk in one piece: plan, approval, run, failed rows, file, the way back, and what OpenLineage was told."""
    wanted = [(case, "Declined" if n % 3 else "Approved") for n, case in enumerate(cases.take(240))]
    misspelt = [(case, "Aproved") for case in cases.take(3)]
    invalid = [("no such id", "Declined"), (None, "Declined")]
    decided = cases.take(19)
    for case in decided:
        persona.act_as_human(case, status="Approved")
    rows = wanted[:60] + misspelt + [(case, "Declined") for case in decided] + invalid + wanted[60:]
    warehouse.fill("officer_decisions", "case_id, status", rows)
    persona.configure(limit=300, window_seconds=60.0)
    airflow.pause(REVERT, is_paused=False)
    watched = Watched(browser)

    run_id = airflow.trigger(DAG_ID)
    airflow.until(lambda: _state(airflow, run_id, "approve") == "awaiting_input", 120, "the question")
    plan_hash = airflow.result(DAG_ID, run_id, "plan_decisions")["hash"]
    _look_at_the_plan(airflow, watched, run_id, plan_hash)
    persona.configure(limit=LIMIT, window_seconds=WINDOW)
    _approve(airflow, watched, run_id, plan_hash)

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
    _look_at_the_log(airflow, watched, run_id)
    tab = watched.open(_tab(airflow.api, run_id, "apply_decisions"))
    airflow.until(lambda: _state(airflow, run_id, "apply_decisions") == "failed", 120, "the run ends")
    tab.wait_for_selector("#where .t-failed")  # by itself, without a reload
    assert _done(tab) == 264

    _find_the_failed_rows(airflow, browser, watched, tab)
    report = airflow.result(DAG_ID, run_id, "apply_decisions", key="report")
    _download_the_ledger(airflow, watched, tab, run_id, report)
    assert report["approval"]["reason"] == REASON
    changed = len(persona.journal())
    _draft_the_way_back(watched)
    assert len(persona.journal()) == changed, "a draft changes nothing"

    runs = watched.open(f"{airflow.api}/plugin/persona-runs", "Persona runs")
    assert runs.locator("#runs tbody tr").first.inner_text().count(REVERT) == 1
    watched.picture("runs")
    runs.click("#runs tbody a:has-text('apply_decisions')")
    watched.page.wait_for_url("**/tasks/apply_decisions/plugin/persona")
    assert watched.faults == []
    _hear_what_openlineage_was_told(airflow, plan_hash)


def _look_at_the_plan(airflow: Any, watched: Watched, run_id: str, plan_hash: str) -> None:
    tab = watched.open(_tab(airflow.api, run_id, "plan_decisions"))
    assert tab.inner_text("#share") == "264 rows planned, 243 to be changed"
    assert {"19", "243", "2"} == set(tab.locator("#legend strong").all_inner_texts())
    assert "Aproved" in tab.inner_text("#facts")
    assert "no answer yet" in tab.inner_text("#facts")
    assert plan_hash in tab.inner_text("#facts")
    watched.picture("tab-plan")


def _approve(airflow: Any, watched: Watched, run_id: str, plan_hash: str) -> None:
    """Answer on Airflow's own page, where an officer finds the question."""
    page = watched.page
    page.goto(f"{_task(airflow.api, run_id, 'approve')}/required_actions")
    page.wait_for_selector("text=243 of 264 rows would be changed")
    said = page.locator("body").inner_text()
    for part in ("Aproved: no case and no template has this status", "status is Approved, which is never changed"):
        assert part in said
    assert plan_hash in said
    watched.picture("approval")
    leads = {name: page.get_attribute(f"a:has-text('{name}')", "href") for name in ("All rows", "Plan (CSV)")}
    tab = watched.open(f"{airflow.api}{leads['All rows']}")
    assert tab.inner_text("#share") == "264 rows planned, 243 to be changed"
    assert page.request.get(f"{airflow.api}{leads['Plan (CSV)']}").text().count("\n") == 265
    page.goto(f"{_task(airflow.api, run_id, 'approve')}/required_actions")
    page.wait_for_selector("text=243 of 264 rows would be changed")
    page.get_by_role("textbox").last.fill(REASON)
    page.get_by_role("button", name="Approve").scroll_into_view_if_needed()
    watched.picture("approval-answer")
    page.get_by_role("button", name="Approve").click()


def _look_at_the_log(airflow: Any, watched: Watched, run_id: str) -> None:
    watched.page.goto(f"{_task(airflow.api, run_id, 'apply_decisions')}?{_ONLY_WHAT_MATTERS}")
    watched.page.wait_for_selector("text=/\\d+ of 264 rows/")
    assert "could not be kept" not in watched.page.locator("body").inner_text()
    watched.picture("log-running")


def _find_the_failed_rows(airflow: Any, browser: Any, watched: Watched, tab: Any) -> None:
    """Two clicks: on the reason, and on the id."""
    tab.wait_for_selector("#chips >> text=failed 3")
    assert "dashed: 20 % left to others" in tab.inner_text("#limit")
    used = re.search(r"at most (\d+) of 100 requests of a window used", tab.inner_text("#limit"))
    assert used is not None
    assert 0 < int(used[1]) <= LIMIT
    tab.locator("#limit-card").scroll_into_view_if_needed()
    watched.picture("tab-limit")
    tab.click("#reasons button:has-text('422')")
    tab.wait_for_selector("#chosen >> text=422")
    airflow.until(lambda: tab.locator("#rows tbody tr").count() == 3, 30, "the failed rows are shown")
    assert tab.inner_text("#rows").count("Aproved") == 3
    watched.picture("tab-failed")
    with browser.expect_page() as opened:
        tab.click("#rows tbody a >> nth=0")
    assert re.fullmatch(r"https://app\.withpersona\.com/dashboard/cases/case_\w+", opened.value.url)
    opened.value.close()


def _download_the_ledger(airflow: Any, watched: Watched, tab: Any, run_id: str, report: Any) -> None:
    """From the tab, and by the button on the task's own page."""
    with watched.page.expect_download() as download:
        tab.click("text=Ledger (CSV)")
    with open(download.value.path(), newline="") as file:  # noqa: PTH123 - Playwright's own name for it
        lines = list(csv.DictReader(file))
    assert len(lines) == report["rows"] == 264
    assert sum(line["outcome"] == "failed" for line in lines) == report["counts"]["failed"] == 3

    watched.page.goto(f"{_task(airflow.api, run_id, 'apply_decisions')}/details")
    watched.page.wait_for_selector("text=Persona: plan (CSV)")
    watched.picture("extra-links", height=600)
    with watched.page.expect_download() as again:
        watched.page.click("text=Persona: ledger (CSV)")
    assert again.value.path().read_bytes() == download.value.path().read_bytes()
    watched.page.click("text=Persona: all rows")
    watched.page.wait_for_url("**/tasks/apply_decisions/plugin/persona")


def _draft_the_way_back(watched: Watched) -> None:
    tab = watched.open(watched.page.url)
    tab.click("#draft-plan")
    tab.wait_for_selector("#drafted a")
    tab.locator("#revert-card").scroll_into_view_if_needed()
    watched.picture("tab-revert")
    tab.click("#drafted a")
    watched.page.wait_for_url(f"**/{REVERT}/**/plan_the_way_back/plugin/persona")
    planned = watched.open(watched.page.url)
    planned.wait_for_selector("#share:has-text('240 rows planned, 240 to be changed')", timeout=60_000)
    other = watched.open(watched.page.url.replace("plan_the_way_back", "go_on_unless_dry_run"))
    assert other.inner_text("#title") == "Not a bulk task of Persona"


def _hear_what_openlineage_was_told(airflow: Any, plan_hash: str) -> None:
    file = airflow.home / "lineage.jsonl"

    def events() -> dict[tuple[str, str], Any]:
        found = [json.loads(line) for line in file.read_text().splitlines()]
        return {(event["job"]["name"], event["eventType"]): event for event in found}

    ended = (f"{DAG_ID}.apply_decisions", "FAIL")
    airflow.until(lambda: ended in events(), 30, "OpenLineage hears of the end")
    planned, applied = events()[f"{DAG_ID}.plan_decisions", "COMPLETE"], events()[ended]
    assert {each["name"] for each in planned["inputs"]} == {"officer_decisions", "case"}
    (changed,) = applied["outputs"]
    assert (changed["name"], changed["outputFacets"]["outputStatistics"]["rowCount"]) == ("case", 240)
    for event in (planned, applied):
        assert event["run"]["facets"]["persona"]["planHash"] == plan_hash
    assert applied["run"]["facets"]["persona"]["counts"]["failed"] == 3
    # Airflow's own facet repeats the task's error, and that ends with a few ids, as an error should. We tell none.
    assert "case_sim" in str(applied["run"]["facets"].pop("errorMessage"))
    told = [*events().values(), applied]
    told.remove(events()[ended])
    assert "case_sim" not in json.dumps(told)


def test_airflow_lists_what_the_provider_brings(airflow, browser):
    listing = subprocess.Popen(
        [sys.executable, "-c", _LISTS], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    watched, ours = Watched(browser), "airflow-provider-persona"
    watched.page.goto(f"{airflow.api}/providers")
    row = watched.page.locator("tr", has_text=ours)
    row.wait_for()
    assert "withpersona.com" in row.inner_text()
    watched.page.goto(f"{airflow.api}/connections")
    watched.page.get_by_role("button", name="Add Connection").click()
    watched.page.fill("input[name=connection_id]", "persona_default")
    watched.page.get_by_role("combobox").last.fill("Persona")
    watched.page.keyboard.press("Enter")
    watched.page.wait_for_selector("text=API key")  # among the standard fields, which are open
    watched.picture("connection-key")
    watched.page.get_by_role("button", name="Extra Fields", exact=True).click()
    watched.page.wait_for_selector("text=Expected environment")
    watched.picture("connection-extras")
    said, _ = listing.communicate(timeout=120)
    assert ours in said
    for name in (*get_provider_info()["extra-links"], *get_provider_info()["notifications"]):
        assert name in said


def test_a_reader_without_rights_sees_nothing_of_a_run(airflow, persona, warehouse, cases, browser):
    rows = [(case, status) for case, status in zip(cases.take(3), ("Declined", "Declined", LURE), strict=True)] + [
        (cases.take(1)[0], MARKUP),
        (f"case_{MARKUP}", MARKUP),
    ]
    warehouse.fill("officer_decisions", "case_id, status", rows)
    run_id = airflow.trigger(DAG_ID)
    airflow.until(lambda: _state(airflow, run_id, "approve") == "awaiting_input", 120, "the question")
    question = Watched(browser)
    question.page.goto(f"{_task(airflow.api, run_id, 'approve')}/required_actions")
    question.page.wait_for_selector("text=4 of 5 rows would be changed")
    assert question.page.locator("text=evil").count() > 0
    assert question.page.locator("a[href*=evil], img[src=x]").count() == 0, "what a query says is text there"
    assert question.faults == []
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
    airflow.rest("PATCH", _question(run_id), {"chosen_options": ["Reject"], "params_input": {"reason": REASON}})
    airflow.until_success(DAG_ID, run_id, 60)


def _login(users: str, name: str) -> str:
    body = json.dumps({"username": name, "password": PASSWORDS[name]}).encode()
    request = Request(f"{users}/auth/token", body, {"Content-Type": "application/json"})
    with urlopen(request, timeout=30) as answer:
        return str(json.load(answer)["access_token"])


def _task(api: str, run_id: str, task_id: str) -> str:
    return f"{api}/dags/{DAG_ID}/runs/{quote(run_id, safe='')}/tasks/{task_id}"


def _tab(api: str, run_id: str, task_id: str) -> str:
    return f"{_task(api, run_id, task_id)}/plugin/persona"


def _done(tab: Any) -> int:
    return int(tab.inner_text("#share").split()[0].replace(",", ""))


def _question(run_id: str) -> str:
    return f"api/v2/dags/{DAG_ID}/dagRuns/{run_id}/taskInstances/approve/-1/hitlDetails"


def _state(airflow: Any, run_id: str, task_id: str) -> str:
    return next(task["state"] for task in airflow.tasks(DAG_ID, run_id) if task["task_id"] == task_id)
