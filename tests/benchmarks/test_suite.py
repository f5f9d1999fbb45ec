"""The benchmark suite: its formulas as tables, its accounting on made-up journals, and one scenario from end to end."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks.accounting import Accounting, account
from benchmarks.contest import Measurement, read_write_gaps, wishes_for
from benchmarks.optimum import least_seconds, rounding_seconds
from benchmarks.printing import goals, table
from benchmarks.resource_usage import measured, read_usage
from benchmarks.scenarios import FAIRNESS, LIMITED, MOSTLY_RIGHT, READ_WRITE_GAP, SCENARIOS, UNLIMITED
from persona_simulator import Effect, LoggedRequest

REPOSITORY = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("requests", "limit", "window", "latency", "concurrency", "seconds"),
    [
        (0, 300, 5, 0.08, 24, 0),
        (1, 300, 5, 0.08, 24, 0),
        (24, 300, 5, 0.08, 24, 0),
        (25, 300, 5, 0.08, 24, 0.08),
        (5000, None, 60, 0.005, 24, 208 * 0.005),
        (300, 300, 5, 0.08, 24, 12 * 0.08),
        (301, 300, 5, 0.08, 24, 5),
        (3000, 300, 5, 0.08, 24, 9 * 5 + 12 * 0.08),
        (3000, 300, 5, 0, 24, 45),
        (600, 300, 5, 1, 10, 59),
    ],
    ids=[
        "nothing",
        "one",
        "one round",
        "two rounds",
        "no limit",
        "a window",
        "one more than a window",
        "ten windows",
        "no latency",
        "too slow for the limit",
    ],
)
def test_the_optimum(requests, limit, window, latency, concurrency, seconds):
    found = least_seconds(requests, limit=limit, window=window, latency=latency, concurrency=concurrency)
    assert found == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("requests", "limit", "window", "latency", "concurrency", "seconds"),
    [
        (3000, None, 5, 0.08, 24, 0),
        (300, 300, 5, 0.08, 24, 0),
        (3000, 300, 5, 0, 24, 0),
        # All answers come within the first second: the earliest is the best, 0.08 + ceil(4.92) is 5.08.
        (600, 100, 5, 0.08, 24, 5 * 0.08),
        # The thirteenth round is answered at 1.04, and 1.04 + ceil(3.96) is 5.04.
        (3000, 300, 5, 0.08, 24, 9 * 0.04),
        (200, 100, 5, 0.25, 25, 0),
    ],
    ids=["no limit", "one window", "no latency", "a quick burst", "a burst of more than a second", "on the second"],
)
def test_what_the_rounding_of_the_reset_costs(requests, limit, window, latency, concurrency, seconds):
    found = rounding_seconds(requests, limit=limit, window=window, latency=latency, concurrency=concurrency)
    assert found == pytest.approx(seconds)


def _effect(case_id, to_status="Declined", *, changed=True, actor="api_simulator"):
    parts = ("status",) if changed else ()
    return Effect(0, 0.0, 0.0, "case-set-status", case_id, "Open", to_status, parts, changed, actor, None, None)


@pytest.mark.parametrize(
    ("effects", "status", "reported", "expected"),
    [
        ([_effect("a")], "Declined", (), Accounting(once=1)),
        ([], "Open", (), Accounting(lost=1, untold=1)),
        ([], "Open", ("a",), Accounting(lost=1)),
        ([_effect("a"), _effect("a", changed=False)], "Declined", (), Accounting(once=1, again=1)),
        ([_effect("a"), _effect("a")], "Declined", (), Accounting(twice=1)),
        ([], "Declined", (), Accounting(spared=1)),
        ([_effect("a", changed=False)], "Declined", (), Accounting(needless=1)),
        ([_effect("a"), _effect("a", "Open")], "Open", (), Accounting(lost=1, untold=1, strays=1)),
        ([_effect("a"), _effect("b")], "Declined", (), Accounting(once=1, strays=1)),
        ([_effect("a", "Open", actor="human"), _effect("a")], "Declined", (), Accounting(once=1)),
    ],
    ids=[
        "once",
        "lost and untold",
        "lost and told",
        "written again",
        "changed twice",
        "spared",
        "needless",
        "to another status",
        "another case",
        "a human besides",
    ],
)
def test_the_journal_tells_what_became_of_a_row(effects, status, reported, expected):
    assert account({"a": "Declined"}, {"a": status, "b": "Open"}, effects, reported) == expected


def test_a_cases_wish_differs_from_what_it_is_but_for_the_share_that_is_right():
    cases = [
        {"case_id": f"case_{number}", "template_id": "ctmpl_kyc", "status": ("Open", "Declined")[number % 2]}
        for number in range(300)
    ]
    statuses = {case["case_id"]: case["status"] for case in cases}
    for scenario, right in ((LIMITED, 0), (MOSTLY_RIGHT, 180)):
        wishes = wishes_for(cases, 200, scenario)
        assert len(wishes) == 200
        assert sum(statuses[case_id] == wished for case_id, wished in wishes.items()) == right
    assert {statuses[case_id] for case_id in wishes_for(cases, 150, READ_WRITE_GAP)} == {"Open"}
    assert len(wishes_for(cases, 400, LIMITED)) == 400


def _request(method, case_id, at):
    return LoggedRequest(0, at, method, "", "", None, case_id, None, "full", (), 0, "")


def test_the_gap_is_counted_from_the_last_read_before_the_write():
    requests = [
        _request("GET", "a", 1.0),
        _request("GET", None, 1.1),
        _request("GET", "b", 1.2),
        _request("POST", "a", 1.5),
        _request("GET", "b", 2.0),
        _request("POST", "b", 2.25),
        _request("POST", "c", 3.0),
    ]
    assert read_write_gaps(requests) == [0.5, 0.25]


def test_usage_is_of_the_block_and_written_even_when_it_fails(tmp_path):
    report = tmp_path / "usage.json"
    assert read_usage(report) is None

    def work():
        with measured(report):
            held = bytearray(b"x" * 64 * 2**20)
            until = time.process_time() + 0.1
            while time.process_time() < until:
                pass
            raise ValueError(len(held))

    with pytest.raises(ValueError, match="67108864"):
        work()
    usage = read_usage(report)
    assert usage is not None
    assert 0.1 <= usage.cpu_seconds < 1
    assert usage.peak_rss_mib - usage.rss_before_mib > 50


def _measurement(**given):
    settled = {"label": "ours", "rows": 3000, "seconds": 47.0, "requests": 3000, "throttled": 0}
    return Measurement(**{**settled, "optimum": 45.96, "rounding": 0.36, "accounting": Accounting(once=3000), **given})


def test_a_goal_is_met_missed_or_not_measured():
    met = goals(LIMITED, {"ours": _measurement()})
    assert [line.split(": ", 1)[1] for line in met] == ["1.015, met", "0, met", "0, met", "0, met"]
    missed = goals(LIMITED, {"ours": _measurement(seconds=60.0, throttled=2)})
    assert [line.endswith("MISSED") for line in missed] == [True, True, False, False]
    for found in ({}, {"ours": _measurement(trouble="ended with 1: no word")}):
        assert all(line.endswith("not measured") for line in goals(LIMITED, found))


def test_the_table_shows_comparison_only_where_there_is_some():
    assert "spared" not in table([_measurement()])
    shown = table([_measurement(), _measurement(label="other", accounting=Accounting(once=3, spared=2997))])
    assert shown.splitlines()[0].split()[-2:] == ["spared", "needless"]
    assert shown.splitlines()[2].split()[-2:] == ["2,997", "0"]
    assert len({len(line) for line in shown.splitlines()}) == 1


def test_the_issues_scenarios_are_what_they_are_to_be():
    assert (UNLIMITED.rows, UNLIMITED.limit, UNLIMITED.latency_ms) == (5000, None, 5)
    assert (LIMITED.rows, LIMITED.limit, LIMITED.latency_ms, LIMITED.time_factor) == (3000, 300, 80, 12)
    assert (FAIRNESS.limit, FAIRNESS.limit_for_us) == (300, 240)
    assert all(scenario.entries for scenario in SCENARIOS.values())
    assert {name for name, scenario in SCENARIOS.items() if not scenario.quickly().entries} == {
        "small",
        "tail",
        "compared",
        "matched",
    }


def test_a_quick_scenario_from_end_to_end(tmp_path):
    output = tmp_path / "figures.json"
    chosen = ["--scenario", "limited", "--contestant", "ours", "--contestant", "aiohttp"]
    command = [sys.executable, "-m", "benchmarks", "--quick", *chosen, "--output", str(output)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    ours, theirs = json.loads(output.read_text())["scenarios"]["limited"]
    assert (ours["label"], theirs["label"]) == ("ours", "aiohttp + aiolimiter")
    for one in (ours, theirs):
        assert one["trouble"] is None
        assert (one["rows"], one["accounting"]["once"], one["accounting"]["lost"]) == (100, 100, 0)
        assert one["requests"] == 100 + one["throttled"]
        assert one["seconds"] >= one["optimum"] > 1  # two windows of one second, so nobody can be faster
        assert 0 < one["usage"]["cpu_seconds"] < 5
        assert one["label"] in done.stdout
    assert ours["throttled"] == 0
