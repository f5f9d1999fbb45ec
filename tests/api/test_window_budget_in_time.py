"""The window budget against a simulated fixed-window server, over everything such a server may do."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from window_simulation import ROUNDINGS, DeadlockError, Run, Server, World

from airflow_provider_persona.api.messages import Response
from airflow_provider_persona.api.rate_limit import Grant, Rounding, Wait, WindowBudget

roundings = st.sampled_from(sorted(ROUNDINGS))
windows = st.sampled_from([5, 10, 60])
latencies = st.sampled_from([(0.0, 0.0), (0.001, 0.002), (0.02, 0.06), (0.05, 0.25), (0.2, 0.2)])
limits = st.sampled_from([3, 5, 10, 60, 300])
reserves = st.sampled_from([0.1, 0.2, 0.5])
at_once = st.sampled_from([1, 4, 24, 100])
seeds = st.integers(0, 10_000)

examples = settings(
    max_examples=120, deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)


def per_window(budget: WindowBudget) -> int:
    """Requests of each window that the budget allows; 0 while it knows no limit."""
    return (budget.limit or 0) - budget.reserved


def longest(run: Run, server: Server) -> float:
    """Seconds that the work may take: its windows, each up to a second late, and one more to find the rounding out."""
    ours = per_window(run.budget) or server.limit
    round_trip = 2 * run.latency[1]
    windows_needed = math.ceil(run.requests / ours) + 2
    return windows_needed * (server.window + 1 + 2 * round_trip) + run.requests / run.in_flight * round_trip * 2


def work(limit: int, reserve: float, share_of_a_window: int) -> int:
    ours = WindowBudget(reserve)
    ours.limit = limit
    return min(600, 3 * (per_window(ours) or 1) + share_of_a_window % limit)


@examples
@given(limits, windows, roundings, reserves, at_once, latencies, seeds)
def test_alone_it_is_never_refused_and_leaves_the_reserve(limit, window, rounding, reserve, in_flight, latency, seed):
    server = Server(limit, window, ROUNDINGS[rounding])
    run = Run("a", WindowBudget(reserve), work(limit, reserve, seed), in_flight, latency)
    World(server, [run], seed).play()
    assert server.refused("a") == 0
    # one more: the probe that tries the earlier end of a window
    assert max(server.accepted_per_window("a")) <= per_window(run.budget) + 1
    assert run.finished is not None
    assert run.finished <= longest(run, server)


@examples
@given(limits, windows, roundings, at_once, latencies, seeds)
def test_without_a_reserve_finding_out_the_rounding_costs_one_refusal_at_most(
    limit, window, rounding, in_flight, latency, seed
):
    server = Server(limit, window, ROUNDINGS[rounding])
    run = Run("a", WindowBudget(0), work(limit, 0, seed), in_flight, latency)
    World(server, [run], seed).play()
    assert server.refused("a") <= 1
    assert run.finished is not None
    assert run.finished <= longest(run, server)


@pytest.mark.parametrize("rounding", ["up", "down", "down-with-epsilon"])
@pytest.mark.parametrize("window", [1, 2, 60])
@pytest.mark.parametrize("limit", [10, 300])
def test_without_a_reserve_the_whole_limit_is_used_and_none_refused(limit, window, rounding):
    server = Server(limit, window, ROUNDINGS[rounding])
    run = Run("a", WindowBudget(0), 3 * limit, 24, (0.005, 0.01))
    World(server, [run]).play()
    assert server.refused("a") == 0
    assert server.accepted_per_window("a")[1:-1] == [limit] * (len(server.openings) - 2)


@examples
@given(limits, windows, roundings, reserves, at_once, latencies, st.floats(0.05, 0.95), st.floats(0, 1), seeds)
def test_a_window_already_open_is_joined_not_overrun(
    limit, window, rounding, reserve, in_flight, latency, left, used, seed
):
    server = Server(limit, window, ROUNDINGS[rounding])
    server.ends, server.used, server.openings = window * left, math.floor(limit * used), [window * (left - 1)]
    run = Run("a", WindowBudget(reserve), work(limit, reserve, seed), in_flight, latency)
    World(server, [run], seed).play()
    # The first request cannot know that others have used everything up; finding out the rounding may cost another where
    # the reserve is next to nothing.
    first_refused = server.log[0][2] == 429
    assert server.refused("a") <= first_refused + (run.budget.reserved < 3)
    assert run.finished is not None
    assert run.finished <= longest(run, server) + window


@examples
@given(limits, windows, roundings, reserves, at_once, latencies, st.sampled_from([0.02, 0.1, 0.3]), seeds)
def test_lost_answers_never_stop_it(limit, window, rounding, reserve, in_flight, latency, loss, seed):
    server = Server(limit, window, ROUNDINGS[rounding])
    run = Run("a", WindowBudget(reserve), 2 * limit if limit < 100 else limit, in_flight, latency, loss, patience=7.0)
    World(server, [run], seed).play()
    assert run.finished is not None
    lost = run.sent - run.requests - server.refused("a")
    assert (
        run.finished
        <= longest(run, server) + (lost + 1) * run.patience + (lost / (per_window(run.budget) or 1)) * window
    )
    # A lost request may arrive in another window than it was sent in.
    assert server.refused("a") <= lost


@examples
@given(windows, roundings, st.sampled_from([(300, 60), (60, 300), (10, 3), (5, 1)]), st.floats(0.1, 3), seeds)
def test_a_limit_that_changes_on_the_way_is_followed(window, rounding, change, after_windows, seed):
    before, after = change
    server = Server(before, window, ROUNDINGS[rounding])
    run = Run("a", WindowBudget(0.2), 3 * max(change), 8, (0.02, 0.06))
    world = World(server, [run], seed)
    world.at(window * after_windows, lambda: setattr(server, "limit", after))
    world.play()
    assert run.budget.limit in change
    # At worst, those under way when it shrank.
    assert server.refused("a") <= 8 + 1


@examples
@given(windows, at_once, latencies, seeds)
def test_a_server_without_the_headers_is_not_held_back(window, in_flight, latency, seed):
    server = Server(10_000, window, headers=False)
    run = Run("a", WindowBudget(0.2), 200, in_flight, latency)
    World(server, [run], seed).play()
    assert server.refused("a") == 0
    assert run.finished is not None
    assert run.finished <= (200 / in_flight + 2) * 2 * max(latency[1], 0.0001) * 1.5


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("rounding", sorted(ROUNDINGS))
def test_four_runs_side_by_side_are_not_refused_after_the_first_window(rounding, seed):
    server = Server(300, 60.0, ROUNDINGS[rounding])
    runs = [Run(f"run{n}", WindowBudget(0.2), 300, 24, (0.04, 0.04), starts=n * 0.01) for n in range(4)]
    World(server, runs, seed).play()
    assert [server.refused(run.name, after_windows=1) for run in runs] == [0] * 4
    assert sum(server.refused(run.name) for run in runs) <= 4  # each may try the first window's earlier end once
    assert max(run.finished or math.inf for run in runs) <= 7 * 62


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("rounding", sorted(ROUNDINGS))
def test_a_foreign_client_is_hardly_ever_refused_beside_a_run_with_a_reserve(rounding, seed):
    chance = random.Random(seed)
    server = Server(300, 60.0, ROUNDINGS[rounding])
    run = Run("a", WindowBudget(0.2), 1200, 24, (0.04, 0.04))
    world = World(server, [run], seed)
    times = [minute * 60 + chance.uniform(0, 60) for minute in range(6) for _ in range(60)]
    world.foreign("foreign", times)
    world.play()
    sent = sum(1 for _, who, _ in server.log if who == "foreign")
    assert sent > 200
    assert server.refused("foreign") <= 0.025 * sent
    assert server.refused("a") == 0


@pytest.mark.parametrize("window", [5, 10, 60])
@pytest.mark.parametrize("rounding", ["up", "down-with-epsilon"])
def test_work_for_just_so_many_windows_takes_no_more_of_them(rounding, window):
    server = Server(300, window, ROUNDINGS[rounding])
    run = Run("a", WindowBudget(0), 3000, 24, (0.04, 0.04))
    World(server, [run], 1).play()
    assert server.accepted_per_window("a") == [300] * 10
    assert server.refused("a") == 0


def test_a_request_without_an_answer_may_have_been_counted():
    budget = WindowBudget(0)
    headers = {"RateLimit-Limit": "10", "RateLimit-Remaining": "9", "RateLimit-Reset": "60"}
    budget.answered(granted(budget), Response(200, headers), 0.1)
    for _ in range(9):
        budget.lost(granted(budget))
    assert isinstance(budget.ask(0.2), Wait)


def test_a_probe_without_an_answer_is_followed_by_another():
    budget = WindowBudget(0)
    first = budget.ask(10.0)
    assert isinstance(first, Grant)
    assert budget.ask(10.5) == Wait(1.5, for_answer=True)
    assert isinstance(budget.ask(12.0), Grant)
    assert budget.ask(12.0) == Wait(2.0, for_answer=True)
    headers = {"RateLimit-Limit": "10", "RateLimit-Remaining": "8", "RateLimit-Reset": "60"}
    budget.answered(first, Response(200, headers), 12.1)
    granted_now = sum(isinstance(budget.ask(12.2), Grant) for _ in range(20))
    assert granted_now == 6  # one is kept to learn the rounding, and the other probe may be counted or not


def test_a_request_that_hangs_does_not_hold_back_the_look_for_the_earlier_end():
    """Two seconds are no round length, so whether the window ends after two or three is not known yet."""
    budget = WindowBudget(0)

    def answer(remaining: int, reset: int) -> Response:
        return Response(
            200, {"RateLimit-Limit": "3", "RateLimit-Remaining": f"{remaining}", "RateLimit-Reset": f"{reset}"}
        )

    budget.answered(budget.ask(0.0), answer(2, 2), 0.1)
    hangs = budget.ask(0.2)
    assert isinstance(hangs, Grant)
    assert isinstance(budget.ask(0.3), Wait)
    probe = budget.ask(2.1)
    assert isinstance(probe, Grant)
    budget.answered(probe, answer(2, 2), 2.2)
    assert budget.rounding is Rounding.UP
    budget.lost(hangs)
    assert [isinstance(budget.ask(2.3), Grant) for _ in range(3)] == [True, True, False]


def granted(budget: WindowBudget) -> Grant:
    turn = budget.ask(0.2)
    assert isinstance(turn, Grant)
    return turn


def test_the_simulation_notices_a_budget_that_never_wakes():
    class Stubborn(WindowBudget):
        def ask(self, now: float) -> Wait:
            return Wait(0.0)

    with pytest.raises(DeadlockError, match="still not done"):
        World(Server(10), [Run("a", Stubborn(), 5)]).play()


def test_the_simulation_notices_a_budget_that_asks_nobody():
    server = Server(10)
    headerless = WindowBudget()
    headerless._without_headers = True
    headerless.answered = lambda grant, response, now: None  # type: ignore[method-assign]
    World(server, [Run("a", headerless, 30)]).play()
    assert server.refused("a") > 0
