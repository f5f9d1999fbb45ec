"""What the headers of the request limit say, and how long requests take under it: tables."""

from __future__ import annotations

import pytest

from airflow_provider_persona.api.limits import (
    LONGEST_WAIT,
    WINDOW,
    WindowState,
    seconds_for,
    share_of,
    time_for,
    wait_of,
    window_state,
)
from airflow_provider_persona.api.messages import Response

QUOTA = b'{"errors": [{"title": "Quota exceeded"}]}'


def said(limit: str = "300", remaining: str = "299", reset: str = "60") -> dict[str, str]:
    return {"ratelimit-limit": limit, "ratelimit-remaining": remaining, "ratelimit-reset": reset}


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        (said(), WindowState(300, 299, 60)),
        (said("0", "0", "0"), WindowState(0, 0, 0)),
        (said("1000000000", "1000000000"), WindowState(10**9, 10**9, 60)),
        (said("1000000001"), None),
        (said(remaining="1000000001"), None),
        (said(reset=str(LONGEST_WAIT)), WindowState(300, 299, LONGEST_WAIT)),
        (said(reset=str(LONGEST_WAIT + 1)), WindowState(300, 299, WINDOW)),
        (said(reset="1790000000"), WindowState(300, 299, WINDOW)),
        ({}, None),
        *[({name: text for name, text in said().items() if name != left_out}, None) for left_out in said()],
        *[
            (said() | {name: text}, None)
            for name in said()
            for text in (
                "",
                "-1",
                "+1",
                "1.0",
                "1_0",
                " 1",
                "1 ",
                "1, 1",
                "0x1",
                "NaN",
                "inf",
                "\u0661",
                "\uff11",
                "9" * 19,
            )
        ],
    ],
)
def test_three_plain_numbers_are_a_window_and_nothing_else_is(
    headers: dict[str, str], expected: WindowState | None
) -> None:
    assert window_state(headers) == expected


@pytest.mark.parametrize(
    ("status", "content", "headers", "expected"),
    [
        (429, b"", {}, None),
        (429, b"", {"RateLimit-Reset": "7"}, 7.0),
        (429, b"", {"RateLimit-Reset": "7", "Retry-After": "2.5"}, 2.5),
        (429, b"", {"RateLimit-Reset": "7", "Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}, 7.0),
        (429, b"", {"RateLimit-Reset": "0"}, 0.0),
        (429, b"", {"Quota-Reset": "7"}, None),
        (429, QUOTA, {"RateLimit-Reset": "7"}, None),
        (429, QUOTA, {"RateLimit-Reset": "7", "Quota-Reset": "9"}, 9.0),
        (403, QUOTA, {"QuotaLimit-Reset": "8"}, 8.0),
        (403, QUOTA, {"QuotaLimit-Reset": "8", "Quota-Reset": "9"}, 9.0),
        *[
            (429, b"", {"Retry-After": text}, None)
            for text in ("", "-1", "1e3", "inf", "nan", "\u0661", "1_0", "9" * 19)
        ],
    ],
)
def test_a_refusal_names_its_wait_in_plain_seconds(
    status: int, content: bytes, headers: dict[str, str], expected: float | None
) -> None:
    assert wait_of(Response(status, headers, content)) == expected


@pytest.mark.parametrize(
    ("limit", "reserve", "expected"),
    [
        (0, 0.2, 0),
        (1, 0.2, 1),
        (1, 0.0, 1),
        (2, 0.5, 1),
        (2, 0.99, 1),
        (10, 0.2, 8),
        (10, 0.21, 7),
        (10, 0.0, 10),
        (300, 0.2, 240),
    ],
)
def test_a_share_leaves_the_reserve_and_at_least_one_request(limit: int, reserve: float, expected: int) -> None:
    assert share_of(limit, reserve) == expected


@pytest.mark.parametrize(
    ("requests", "remaining", "expected"),
    [
        (0, 10, (0.0, 0)),
        (8, 10, (0.0, 8)),  # all in the present window
        (9, 10, (30, 1)),  # one in the next
        (16, 10, (30, 8)),
        (17, 10, (90, 1)),
        (1, 2, (30, 1)),  # the reserve is all that remains
        (1, 3, (0.0, 1)),
        (3, 3, (30, 2)),
        (1, 0, (30, 1)),
        (80, 0, (30 + 9 * 60, 8)),
    ],
)
def test_the_time_of_requests_counts_whole_windows(requests: int, remaining: int, expected: tuple[float, int]) -> None:
    window = WindowState(10, remaining, 30)
    assert time_for(requests, window, 8, 60) == expected
    assert seconds_for(requests, window, 0.2) == expected[0]
