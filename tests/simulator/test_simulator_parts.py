"""The parts that need no socket: spelling, windows, the clock, routes, fault plans; and who may import whom."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

import airflow_provider_persona
from airflow_provider_persona.api.operations import catalogue
from persona_simulator.clock import SimulatorClock, epoch_seconds, timestamp
from persona_simulator.config import ResetRounding, SimulatorConfig
from persona_simulator.faults import FaultKind, FaultPlan
from persona_simulator.inflection import camel, kebab, snake
from persona_simulator.population import populate
from persona_simulator.rate_window import FixedWindow
from persona_simulator.routes import find_route
from persona_simulator.world import CaseRecord


@pytest.mark.parametrize("key", ["case-template-id", "case_template_id", "caseTemplateId"])
def test_spellings(key) -> None:
    assert (kebab(key), snake(key), camel(key)) == ("case-template-id", "case_template_id", "caseTemplateId")


@given(st.lists(st.floats(0, 50), max_size=200), st.integers(0, 20))
def test_a_window_never_lets_more_than_its_limit_through(gaps, limit) -> None:
    window = FixedWindow(limit, 60, ResetRounding.UP)
    now, opened, taken = 0.0, None, 0
    for gap in gaps:
        now += gap
        if opened is None or now - opened >= 60:
            opened, taken = now, 0
        taken += window.take(now)
        assert taken <= limit
        assert window.remaining(now) == limit - taken
        assert 0 < window.seconds_left(now) <= 60


def test_a_time_is_never_shown_later_than_it_was() -> None:
    late = 1_795_760_000.9999998  # less than half a microsecond before the second
    assert timestamp(late) == "2026-11-27T06:13:20.999Z"
    assert all(epoch_seconds(timestamp(late + step / 1000)) <= late + step / 1000 for step in range(2000))
    assert timestamp(1_795_760_000.001) == "2026-11-27T06:13:20.001Z"


def test_a_clock_stands_still_and_runs_on() -> None:
    clock = SimulatorClock(frozen=True, start=100)
    clock.advance(5)
    assert clock.now() == 105
    clock.unfreeze()
    assert 105 <= clock.now() < 106
    clock.jump(50)
    assert 50 <= clock.now() < 51


def test_times_are_written_and_read_alike() -> None:
    assert timestamp(0.25) == "1970-01-01T00:00:00.250Z"
    assert epoch_seconds("1970-01-01T00:00:00.250Z") == 0.25
    assert epoch_seconds("1970-01-02") == 86_400
    assert timestamp(None) is None


@pytest.mark.parametrize("operation_id", sorted(set(catalogue()) - {"business-lookup-report-1"}))
def test_every_simulated_operation_has_its_route(operation_id) -> None:
    operation = catalogue()[operation_id]
    path = operation.path
    for name in operation.path_parameters:
        path = path.replace(f"{{{name}}}", f"{name}-x")
    route = find_route(operation.method, operation.prefix + path)
    assert route is not None
    assert (route.operation, route.success) == (operation_id, min(operation.success))
    assert route.subject == (f"{operation.path_parameters[0]}-x" if operation.path_parameters else "")


@pytest.mark.parametrize(
    "target",
    [
        "PUT /api/v1/cases",
        "GET /api/v2/cases",
        "GET /cases",
        "POST /api/v1/relays",
        "GET /api/privacy/v1/cases",
        "GET /api/v1/cases/x/set-status",
    ],
)
def test_what_has_no_route(target) -> None:
    method, path = target.split()
    assert find_route(method, path) is None


def test_worlds_of_a_seed_are_alike_and_change_apart() -> None:
    invented = populate(3_001, 7, ["a@b.example"])  # too large to be a copy of one that is kept
    one, other = populate(300, 7, ["a@b.example"]), populate(300, 7, ["a@b.example"])
    assert one.order == other.order == invented.order[:300]
    assert one.objects == other.objects == dict(list(invented.objects.items())[: len(one.objects)])
    assert (one.templates, one.users, one.queues, one.tags) == (
        invented.templates,
        invented.users,
        invented.queues,
        invented.tags,
    )
    assert one.cases == other.cases == {case.case_id: case for case in one.order}
    for case, twin in [(one, other), *zip(one.order, other.order, strict=True)]:
        names = [each.name for each in fields(case)] if isinstance(case, CaseRecord) else list(vars(case))
        mutable = [name for name in names if isinstance(getattr(case, name), list | dict)]
        assert len(mutable) > 5
        assert not [name for name in mutable if getattr(case, name) is getattr(twin, name)]


def test_a_plan_follows_from_seed_and_number() -> None:
    rates = {FaultKind.HTTP_500: 0.1, FaultKind.RESET_AFTER: 0.2}
    first = [FaultPlan(1, rates).meet(number, None, None) for number in range(5000)]
    assert first == [FaultPlan(1, rates).meet(number, None, None) for number in range(5000)]
    kinds = [fault.kind for fault in first if fault]
    assert 400 < kinds.count(FaultKind.HTTP_500) < 600
    assert 850 < kinds.count(FaultKind.RESET_AFTER) < 1150


@pytest.mark.parametrize(
    "wrong",
    [
        {"limit": -1},
        {"accounts": -1},
        {"work_reads": -1},
        {"window_seconds": 0},
        {"quota_status": 500},
        {"fault_rates": {FaultKind.SLOW: 1.1}},
    ],
)
def test_impossible_configurations_are_refused(wrong) -> None:
    with pytest.raises(ValueError, match=r"must|is 403"):
        SimulatorConfig(**wrong)


def test_a_configuration_shows_no_key() -> None:
    assert "persona_sandbox" not in repr(SimulatorConfig())


def test_nothing_of_the_package_knows_the_simulator() -> None:
    files = list(Path(airflow_provider_persona.__file__).parent.rglob("*.py"))
    assert files
    for file in files:
        assert "persona_simulator" not in file.read_text("utf-8"), file.name


def test_importing_it_starts_no_server_library() -> None:
    code = "import sys, persona_simulator; print('uvicorn' in sys.modules, 'airflow' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["False", "False"]
