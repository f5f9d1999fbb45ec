"""The window budget, one rule at a time: what each answer teaches, and when the next request may go."""

from __future__ import annotations

import pytest

from airflow_provider_persona.api.messages import Response
from airflow_provider_persona.api.rate_limit import Grant, Rounding, Wait, WindowBudget


def answer(remaining: int, reset: int, *, limit: int = 10, status: int = 200) -> Response:
    headers = {"ratelimit-limit": limit, "ratelimit-remaining": remaining, "ratelimit-reset": reset}
    return Response(status, {name: str(number) for name, number in headers.items()})


def granted(budget: WindowBudget, now: float) -> Grant:
    turn = budget.ask(now)
    assert isinstance(turn, Grant), turn
    return turn


def wait(budget: WindowBudget, now: float) -> float:
    """Return how long no request may be sent, for a window to end."""
    turn = budget.ask(now)
    assert isinstance(turn, Wait), turn
    assert not turn.for_answer
    return turn.seconds


def grants(budget: WindowBudget, now: float) -> list[Grant]:
    """Take all grants that there are."""
    taken: list[Grant] = []
    while isinstance(turn := budget.ask(now), Grant):
        taken.append(turn)
        assert len(taken) < 1000
    return taken


def opened(remaining: int, reset: int, *, reserve: float = 0.0, limit: int = 10) -> WindowBudget:
    """Return a budget with one answer, received at second 100 to a request of the same moment."""
    budget = WindowBudget(reserve)
    budget.answered(granted(budget, 100), answer(remaining, reset, limit=limit), 100)
    return budget


# ---------------------------------------------------------------------- a window of which nothing is known


def test_the_first_request_goes_alone_and_another_follows_when_it_hangs():
    budget = WindowBudget(0)
    granted(budget, 100)
    assert budget.ask(100.5) == Wait(1.5, for_answer=True)
    granted(budget, 102)
    assert budget.ask(103.5) == Wait(0.5, for_answer=True)


def test_a_probe_that_was_not_sent_leaves_its_place_to_another():
    budget = WindowBudget(0)
    budget.unused(granted(budget, 100))
    granted(budget, 100)


@pytest.mark.parametrize(("status", "free"), [(200, True), (399, True), (400, False), (401, False), (503, False)])
def test_only_a_success_without_headers_tells_that_there_is_no_limit(status: int, free: bool):
    budget = WindowBudget(0)
    budget.answered(granted(budget, 100), Response(status, {}), 100)
    assert [isinstance(budget.ask(100), Grant) for _ in range(3)] == [True, free, free]


def test_an_answer_without_headers_lifts_no_limit_that_is_known():
    budget = opened(9, 60)
    first, *_ = grants(budget, 100)
    budget.answered(first, Response(200, {}), 101)
    assert len(grants(budget, 101)) == 1  # the one that came back


def test_a_limit_of_zero_holds_nobody_back():
    budget = opened(0, 60, limit=0)
    assert [isinstance(budget.ask(100), Grant) for _ in range(3)] == [True] * 3
    assert budget.window(100) is None
    assert budget.time_for(5, 100) is None


def test_headers_after_an_answer_without_them_are_heeded():
    budget = WindowBudget(0)
    budget.answered(granted(budget, 100), Response(200, {}), 100)
    budget.answered(granted(budget, 100), answer(9, 60), 101)
    assert len(grants(budget, 101)) == 8  # one is kept to try the earlier end: the answer took a second


# ---------------------------------------------------------------------- how much of a window


@pytest.mark.parametrize(
    ("reserve", "expected"), [(0.0, 9), (0.05, 8), (0.2, 7), (0.5, 4), (0.89, 0), (0.99, 0)], ids=str
)
def test_what_is_left_is_sent_at_once_but_for_the_reserve(reserve: float, expected: int):
    assert len(grants(opened(9, 60, reserve=reserve), 100)) == expected


@pytest.mark.parametrize("reserve", [-0.1, 1.0, 1.5])
def test_a_reserve_is_a_share(reserve: float):
    with pytest.raises(ValueError, match=f"from 0 to below 1, not {reserve}"):
        WindowBudget(reserve)


@pytest.mark.parametrize(
    ("remaining", "expected"),
    [
        pytest.param(19, 19, id="our request is the only one"),
        pytest.param(9, 4, id="eight of nine, since one is kept to try the earlier end"),
        pytest.param(8, 3, id="an odd number is rounded down"),
        pytest.param(2, 1, id="one is not halved"),
        pytest.param(1, 0, id="none is none"),
    ],
)
def test_while_others_send_too_only_half_of_what_is_left_is_under_way(remaining: int, expected: int):
    assert len(grants(opened(remaining, 60, limit=20), 100)) == expected


def test_requests_under_way_count_until_their_answers_show_them():
    budget = opened(9, 60)
    under_way = grants(budget, 100)
    assert wait(budget, 100) == 60
    budget.answered(under_way.pop(), answer(8, 59), 101)
    assert wait(budget, 101) == 59  # eight are left, and eight are under way
    budget.answered(under_way.pop(), answer(9, 58), 102)  # an older answer gives nothing back
    assert budget.window(102) == (10, 8)


def test_a_request_without_an_answer_counts_as_used_in_its_own_window_only():
    budget = opened(9, 60)
    early, late = granted(budget, 100), granted(budget, 100)
    budget.lost(early)
    assert budget.window(101) == (10, 8)
    budget.answered(granted(budget, 161), answer(9, 60), 161)
    budget.lost(late)
    assert budget.window(161) == (10, 9)


def test_what_is_lost_never_leaves_less_than_nothing():
    budget = opened(9, 60)
    answered, hanging, *_ = grants(budget, 100)
    budget.answered(answered, answer(0, 60), 100)
    budget.lost(hanging)
    assert budget.window(100) == (10, 0)


def test_a_request_under_way_at_the_end_of_a_window_may_count_in_those_that_follow():
    budget = opened(9, 60)
    hanging = [granted(budget, 100), granted(budget, 100)]
    budget.answered(granted(budget, 161), answer(9, 60), 161)
    granted(budget, 161)
    budget.answered(granted(budget, 222), answer(9, 60), 222)
    assert len(grants(budget, 222)) == 6
    budget.unused(hanging[0])
    assert budget.ask(222) == Grant(2, 222)
    assert isinstance(budget.ask(222), Wait)


@pytest.mark.parametrize("unused", [0, 1, 9])
def test_a_grant_that_was_not_used_is_no_use_of_ours(unused: int):
    budget = opened(9, 60)
    for left in (8, 7, 6, 5):
        budget.answered(granted(budget, 100), answer(left, 60), 100)
    for _ in range(unused):
        budget.unused(granted(budget, 100))
    assert not budget._others_seen
    budget.answered(granted(budget, 100), answer(3, 60), 100)
    assert budget._others_seen


def test_a_grant_of_an_earlier_window_that_was_not_used_is_no_use_of_this_one():
    budget = opened(19, 60, limit=20)
    unused = granted(budget, 100)
    budget.answered(granted(budget, 160), answer(15, 60, limit=20), 160)
    budget.unused(unused)
    granted(budget, 160)
    assert budget._used_here == 2


# ---------------------------------------------------------------------- when a window ends


@pytest.mark.parametrize(
    ("reset", "rounding", "ends"),
    [
        pytest.param(60, Rounding.UP, 60, id="a round length is a length rounded up"),
        pytest.param(59, Rounding.DOWN, 60, id="one less is a length rounded down"),
        pytest.param(5, Rounding.UP, 5, id="of simulators too"),
        pytest.param(4, Rounding.DOWN, 5, id="of simulators too, down"),
        pytest.param(57, Rounding.UNKNOWN, 57, id="any other tells nothing, and the earlier end is tried"),
        pytest.param(58, Rounding.UNKNOWN, 58, id="two less tell nothing"),
        pytest.param(61, Rounding.UNKNOWN, 61, id="one more tells nothing"),
        pytest.param(0, Rounding.DOWN, 1, id="no second left is a part of one rounded down"),
    ],
)
def test_the_answer_to_the_opening_request_tells_how_seconds_are_rounded(reset: int, rounding: Rounding, ends: int):
    budget = opened(9, reset)
    assert budget.rounding is rounding
    assert len(grants(budget, 100)) == (8 if rounding is Rounding.UNKNOWN else 9)
    assert wait(budget, 100.25) == ends - 0.25


@pytest.mark.parametrize(
    ("remaining", "seconds"), [(8, 0.0), (9, 1.0)], ids=["it was not the first", "its answer took a second"]
)
def test_an_answer_that_does_not_show_the_whole_window_tells_nothing_of_rounding(remaining: int, seconds: float):
    budget = WindowBudget(0)
    budget.answered(granted(budget, 100), answer(remaining, 60), 100 + seconds)
    assert budget.rounding is Rounding.UNKNOWN
    budget = WindowBudget(0)
    budget.answered(granted(budget, 100), answer(9, 60), 100.9)
    assert budget.rounding is Rounding.UP


def test_a_later_answer_can_only_bring_the_end_nearer():
    budget = opened(9, 60)
    for reset, ends in ((58, 159), (59, 159), (57, 158)):
        budget.answered(granted(budget, 101), answer(8, reset), 101)
        assert budget.window(ends - 0.01) is not None
        assert budget.window(ends) is None


def test_a_later_answer_brings_both_ends_nearer_where_the_rounding_is_not_known():
    budget = opened(9, 57)
    budget.answered(granted(budget, 102), answer(8, 54), 102)
    granted(budget, 156)
    assert budget.window(156.9) is not None
    assert budget.window(157) is None


@pytest.mark.parametrize(
    ("sent", "received", "reset", "rounding"),
    [
        pytest.param(100.2, 100.5, 56, Rounding.DOWN, id="one less within the first second"),
        pytest.param(100.2, 101.0, 56, Rounding.UNKNOWN, id="one less after it"),
        pytest.param(100.2, 100.5, 57, Rounding.UNKNOWN, id="as many as before"),
        pytest.param(100.2, 100.5, 0, Rounding.DOWN, id="none left"),
        pytest.param(157.1, 157.2, 1, Rounding.DOWN, id="a request of after the earlier end, still counted before it"),
        pytest.param(157.0, 157.2, 1, Rounding.UNKNOWN, id="a request of that very moment"),
        pytest.param(156.9, 157.2, 1, Rounding.UNKNOWN, id="an answer after the earlier end to a request before it"),
    ],
)
def test_further_answers_of_a_window_tell_of_rounding_down(
    sent: float, received: float, reset: int, rounding: Rounding
):
    budget = opened(9, 57)
    budget.answered(granted(budget, sent), answer(8, reset), received)
    assert budget.rounding is rounding


def test_one_less_in_a_window_that_others_opened_tells_nothing():
    budget = opened(5, 57)
    budget.answered(granted(budget, 100.2), answer(4, 56), 100.5)
    assert budget.rounding is Rounding.UNKNOWN


# ---------------------------------------------------------------------- trying the earlier end


def before_the_end(left: int = 1) -> WindowBudget:
    """Return a budget that does not know the rounding, and has so many requests left in its window."""
    budget = opened(9, 57)
    for remaining in range(8, left - 1, -1):
        budget.answered(granted(budget, 100), answer(remaining, 57), 100.1)
    return budget


def test_the_kept_request_tries_the_earlier_end_and_all_others_wait_for_the_later():
    budget = before_the_end()
    assert wait(budget, 156.5) == 0.5
    granted(budget, 157)
    assert wait(budget, 157) == 1
    assert wait(budget, 157.75) == 0.25
    assert budget.ask(158) == Grant(1, 158)


@pytest.mark.parametrize(
    ("remaining", "reset", "rounding"),
    [
        pytest.param(0, 1, Rounding.DOWN, id="one less, and a second left: the old window"),
        pytest.param(0, 0, Rounding.DOWN, id="no second left: the old window"),
        pytest.param(1, 1, Rounding.UP, id="as many as before: a new window"),
        pytest.param(9, 57, Rounding.UP, id="nearly all: a new window"),
        pytest.param(0, 2, Rounding.UP, id="two seconds left: a new window, used up by others"),
    ],
)
def test_the_answer_to_that_request_tells_which_end_was_right(remaining: int, reset: int, rounding: Rounding):
    budget = before_the_end()
    budget.answered(granted(budget, 157.1), answer(remaining, reset), 157.2)
    assert budget.rounding is rounding
    assert budget.window(157.2) == (10, remaining)
    is_new = rounding is Rounding.UP and reset >= 2
    assert (budget.window(158.3) is not None) is is_new


def test_in_a_window_that_others_opened_a_new_one_does_not_tell_that_seconds_are_rounded_up():
    budget = opened(8, 57)
    budget.answered(granted(budget, 157), answer(1, 57), 157)
    assert budget.rounding is Rounding.UNKNOWN
    assert budget.window(158) == (10, 1)
    assert wait(budget, 213.5) == 0.5
    granted(budget, 214)  # so the end of that one is tried too


@pytest.mark.parametrize(("end", "left"), [("unused", 1), ("lost", 2)])
def test_when_it_comes_to_nothing_another_may_try(end: str, left: int):
    budget = before_the_end(left)
    getattr(budget, end)(granted(budget, 157))
    granted(budget, 157.1)
    assert wait(budget, 157.5) == 0.5


def test_no_other_may_try_because_of_an_answer_to_somebody_else():
    budget = before_the_end(left=4)
    hanging = granted(budget, 156)
    granted(budget, 157)
    budget.answered(hanging, answer(2, 1), 157.1)
    assert budget.rounding is Rounding.UNKNOWN
    assert isinstance(budget.ask(157.1), Wait)


def test_none_tries_while_what_is_under_way_may_have_used_up_the_rest():
    budget = opened(9, 57)
    *answered, _hanging = grants(budget, 100)
    for left, grant in zip((8, 7, 6, 5, 4, 3, 1), answered, strict=True):
        budget.answered(grant, answer(left, 57), 100.1)
    assert wait(budget, 157) == 1


def test_a_limit_of_one_request_keeps_none_to_try():
    budget = opened(1, 57, limit=1)
    assert len(grants(budget, 100)) == 1


# ---------------------------------------------------------------------- windows that follow


@pytest.mark.parametrize(
    ("reset", "is_later"),
    [
        pytest.param(60, False, id="the same end"),
        pytest.param(61, False, id="the latest end that rounding explains"),
        pytest.param(62, True, id="later than that"),
    ],
)
def test_an_end_beyond_the_latest_one_belongs_to_a_later_window(reset: int, is_later: bool):
    budget = opened(5, 60, limit=20)
    budget.answered(granted(budget, 100), answer(19, reset, limit=20), 100)
    assert budget.window(100) == (20, 19 if is_later else 5)


@pytest.mark.parametrize(("late", "is_later"), [(0.75, False), (0.76, True)])
def test_three_quarters_of_a_second_on_the_way_are_no_later_window(late: float, is_later: bool):
    budget = opened(5, 60, limit=20)
    budget.answered(granted(budget, 100), answer(19, 61, limit=20), 100 + late)
    assert budget.window(101) == (20, 19 if is_later else 5)


def test_an_answer_of_before_does_not_open_the_new_window():
    budget = opened(9, 60)
    late = granted(budget, 100)
    probe = granted(budget, 160)
    budget.answered(late, answer(3, 1), 160.1)
    assert budget.window(160.1) is None
    budget.answered(probe, answer(9, 60), 160.2)
    assert budget.window(160.2) == (10, 9)


@pytest.mark.parametrize(("reset", "left"), [(60, 5), (57, 9), (58, 5)])
def test_an_answer_to_a_request_of_before_counts_when_its_end_is_this_windows(reset: int, left: int):
    budget = opened(9, 60)
    late = granted(budget, 100)
    budget.answered(granted(budget, 160), answer(9, 60), 160)
    budget.answered(late, answer(5, reset), 160)
    assert budget.window(160) == (10, left)


def test_a_request_of_before_that_is_counted_here_is_ours():
    budget = opened(9, 60)
    late = granted(budget, 100)
    budget.answered(granted(budget, 160), answer(9, 60), 160)
    budget.answered(late, answer(8, 60), 160)
    assert not budget._others_seen


def test_in_a_new_window_our_own_requests_are_counted_anew():
    budget = opened(19, 60, limit=20)
    for left, grant in zip(range(18, -1, -1), grants(budget, 100), strict=True):
        budget.answered(grant, answer(left, 60, limit=20), 100)
    budget.answered(granted(budget, 160), answer(9, 60, limit=20), 160)
    assert len(grants(budget, 160)) == 4  # half of nine: ten requests of others were counted there too


def test_a_later_window_that_an_answer_shows_begins_with_one_request_of_ours():
    budget = opened(9, 60, limit=20)
    first, *_ = grants(budget, 100)
    budget.answered(first, answer(18, 120, limit=20), 100)
    assert budget.window(100) == (20, 18)
    assert budget._others_seen


# ---------------------------------------------------------------------- how long some requests take


def length_of_a_window(budget: WindowBudget, now: float) -> float:
    """Return how much later the last of twenty requests goes out than the last of ten, which fill a window."""
    first, second = budget.time_for(10, now), budget.time_for(20, now)
    assert first is not None
    assert second is not None
    return second[0] - first[0]


@pytest.mark.parametrize(
    ("reset", "length"), [(60, 60), (59, 60), (55, 55), (57, 58), (58, 59), (5, 5), (4, 5)], ids=str
)
def test_the_opening_shows_how_long_a_window_lasts(reset: int, length: int):
    assert length_of_a_window(opened(9, reset), 100) == length


@pytest.mark.parametrize(("remaining", "received"), [(8, 100.0), (9, 101.0)])
def test_before_an_opening_was_seen_a_window_lasts_a_minute(remaining: int, received: float):
    budget = WindowBudget(0)
    budget.answered(granted(budget, 100), answer(remaining, 20), received)
    assert length_of_a_window(budget, received) == 60


@pytest.mark.parametrize(
    ("requests", "now", "expected"),
    [
        pytest.param(9, 100, (0, 9), id="all fit into the present window"),
        pytest.param(10, 100, (60, 1), id="one goes out in the next"),
        pytest.param(10, 130, (30, 1), id="which is nearer later on"),
        pytest.param(19, 130, (30, 10), id="the next window is filled"),
        pytest.param(20, 130.5, (90, 1), id="parts of seconds are rounded up"),
        pytest.param(10, 160, (0, 10), id="the present window is over, and the next is whole"),
        pytest.param(11, 200, (60, 1), id="one more than that"),
    ],
)
def test_the_time_that_some_requests_take(requests: int, now: float, expected: tuple[float, int]):
    assert opened(9, 60).time_for(requests, now) == expected


def test_no_time_is_known_before_a_limit_is():
    assert WindowBudget(0).time_for(5, 100) is None


@pytest.mark.parametrize(
    ("used", "requests", "expected"),
    [
        pytest.param(0, 19, (60, 10), id="nobody"),
        pytest.param(4, 11, (60, 6), id="four of ten, so six are ours"),
        pytest.param(4, 12, (120, 1), id="and not seven"),
        pytest.param(7, 5, (60, 3), id="seven of ten"),
        pytest.param(8, 4, (120, 1), id="eight of ten"),
    ],
)
def test_others_are_expected_to_use_as_much_as_in_the_last_window(
    used: int, requests: int, expected: tuple[float, int]
):
    budget = opened(9, 60)
    budget.answered(granted(budget, 110), answer(8 - used, 50), 110)
    budget.answered(granted(budget, 160), answer(9, 60), 160)
    assert budget.time_for(requests, 160) == expected


def test_what_was_used_before_we_came_is_not_taken_for_others():
    budget = opened(2, 60)
    budget.answered(granted(budget, 160), answer(9, 60), 160)
    assert budget.time_for(19, 160) == (60, 10)


def test_less_than_the_reserve_changes_nothing():
    budget = opened(9, 60, reserve=0.5)
    budget.answered(granted(budget, 110), answer(6, 50), 110)
    budget.answered(granted(budget, 160), answer(9, 60), 160)
    assert budget.time_for(9, 160) == (60, 5)


def test_a_window_that_others_opened_is_judged_when_it_was_ours_from_its_beginning():
    budget = opened(2, 60)
    budget.answered(granted(budget, 161), answer(4, 60), 161)
    budget.answered(granted(budget, 222), answer(9, 60), 222)
    assert budget.time_for(10, 222) == (120, 1)  # five of ten are ours, and four of those are left


def test_one_request_of_each_window_is_ours_whatever_is_reserved():
    assert opened(9, 60, reserve=0.99).time_for(2, 100) == (120, 1)
