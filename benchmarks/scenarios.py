"""The scenarios: what is simulated, how many rows there are, who runs, and the goals for our figures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.contest import Measurement

REAL_WINDOW = 60.0
"""Seconds of Persona's own windows."""

CONCURRENCY = 24


class Contestant(StrEnum):
    """The programs that are compared."""

    OURS = "ours"
    LOOP = "requests loop"
    POOL = "threads + tenacity"
    AIOHTTP = "aiohttp + aiolimiter"
    EXPAND = "HttpOperator.expand"


@dataclass(frozen=True, slots=True)
class Entry:
    """One contestant's part in a scenario.

    :param contestant: the program.
    :param label: its name in the table, where that is more than the contestant's name.
    :param rows: how many rows it gets, where it is too slow for all rows.
    :param options: further options of its command line.
    """

    contestant: Contestant
    label: str = ""
    rows: int | None = None
    options: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Its name in the table."""
        return self.label or self.contestant.value


@dataclass(frozen=True, slots=True)
class Goal:
    """A goal for one of our own figures.

    :param what: what is measured, with its unit.
    :param label: the entry that it applies to.
    :param figure: reads it from the measurements by label; None where it was not measured.
    :param bound: at most this much, or at least.
    :param at_least: whether the bound is a lower one.
    """

    what: str
    label: str
    figure: Callable[[dict[str, Measurement]], float | None]
    bound: float
    at_least: bool = False

    def is_met_by(self, figure: float) -> bool:
        """Whether a figure is on the right side of the bound."""
        return figure >= self.bound if self.at_least else figure <= self.bound


@dataclass(frozen=True, slots=True)
class Scenario:
    """The contestants that run, and the simulated Persona that they run against.

    :param name: its name on the command line.
    :param about: what it shows, in a sentence.
    :param rows: rows in the table.
    :param cases: cases of the simulated environment.
    :param entries: who runs, in this order.
    :param limit: requests per window; None for no limit.
    :param window: seconds of a window.
    :param latency_ms: milliseconds that every answer takes.
    :param reserve: share of the limit that ours leaves to others.
    :param faults: share of requests that meet one of the simulator's usual faults.
    :param hangs: whether some of these faults are requests that are never answered.
    :param already_right: share of rows that are right before the run.
    :param only_open: whether rows name only cases that are open.
    :param requests_per_row: the least requests that a row needs: two where a guard reads before the write.
    :param foreign_per_window: requests per window of a second client.
    :param goals: the goals for our figures.
    :param quick: the differences in a quick run; a scenario without entries is left out there.
    :param on_request: whether it runs only when it is named.
    """

    name: str
    about: str
    rows: int
    cases: int
    entries: tuple[Entry, ...]
    limit: int | None = None
    window: float = REAL_WINDOW
    latency_ms: float = 0.0
    reserve: float = 0.0
    faults: float = 0.0
    hangs: bool = False
    already_right: float = 0.0
    only_open: bool = False
    requests_per_row: int = 1
    foreign_per_window: int = 0
    goals: tuple[Goal, ...] = ()
    quick: dict[str, object] = field(default_factory=dict)
    on_request: bool = False

    @property
    def time_factor(self) -> float:
        """How many times faster its windows pass than Persona's."""
        return REAL_WINDOW / self.window

    @property
    def limit_for_us(self) -> int | None:
        """Requests per window, without what the reserve leaves to others."""
        return None if self.limit is None else int(self.limit * (1 - self.reserve))

    def quickly(self) -> Scenario:
        """Return the scenario of a quick run, which shows that it works and measures nothing worth quoting."""
        return replace(self, goals=(), **self.quick)  # type: ignore[arg-type]


def _of(label: str, figure: Callable[[Measurement], float | None]) -> Callable[[dict[str, Measurement]], float | None]:
    return lambda found: figure(found[label]) if label in found and found[label].trouble is None else None


def _goal(
    what: str,
    bound: float,
    figure: Callable[[Measurement], float | None],
    *,
    label: str = Contestant.OURS.value,
    at_least: bool = False,
) -> Goal:
    return Goal(what, label, _of(label, figure), bound, at_least)


def _growth(found: dict[str, Measurement]) -> float | None:
    """Return by how many MiB the peak grew from the smallest number of rows to the largest."""
    peaks = [(one.rows, one.usage.peak_rss_mib) for one in found.values() if one.usage and one.label.startswith("dry")]
    return max(peaks)[1] - min(peaks)[1] if len(peaks) > 1 else None


_OURS = Entry(Contestant.OURS)
_QUICK_PAIR = (_OURS, Entry(Contestant.AIOHTTP))

_NO_429 = _goal("429s", 0, lambda one: one.throttled)
_NOTHING_LOST = _goal("rows lost", 0, lambda one: one.accounting.lost)
_NOTHING_TWICE = _goal("rows changed twice", 0, lambda one: one.accounting.twice)
_QUICK_LIMIT: dict[str, object] = {"rows": 100, "cases": 300, "limit": 60, "window": 1.0, "latency_ms": 20.0}

UNLIMITED = Scenario(
    name="unlimited",
    about="no limit and 5 ms latency: what the program itself costs",
    rows=5000,
    cases=5000,
    latency_ms=5,
    entries=(
        _OURS,
        Entry(Contestant.LOOP, rows=1000),
        Entry(Contestant.POOL),
        Entry(Contestant.AIOHTTP),
        Entry(Contestant.EXPAND, rows=50),
    ),
    goals=(
        _goal("rows/s", 3000, lambda one: one.rate, at_least=True),
        _goal("CPU seconds per 1,000 rows", 0.25, lambda one: one.cpu_per_1000),
        _NOTHING_LOST,
    ),
    quick={
        "rows": 300,
        "cases": 300,
        "entries": (
            _OURS,
            Entry(Contestant.LOOP, rows=60),
            Entry(Contestant.POOL),
            Entry(Contestant.AIOHTTP),
            Entry(Contestant.EXPAND, rows=3),
        ),
    },
)

_LIMITED_ENTRIES = (
    _OURS,
    Entry(Contestant.LOOP, rows=300),
    Entry(Contestant.POOL),
    Entry(Contestant.AIOHTTP),
    Entry(Contestant.EXPAND, rows=50),
)

LIMITED = Scenario(
    name="limited",
    about="ten windows of 300 requests: how well the limit is used, and how many requests it refuses",
    rows=3000,
    cases=3000,
    limit=300,
    window=5,
    latency_ms=80,
    entries=_LIMITED_ENTRIES,
    goals=(
        _goal("times the optimum, beyond rounding", 1.03, lambda one: one.beyond_rounding),
        _NO_429,
        _NOTHING_LOST,
        _NOTHING_TWICE,
    ),
    quick={**_QUICK_LIMIT, "entries": _QUICK_PAIR},
)

FAULTS = replace(
    LIMITED,
    name="faults",
    about="the same with 3 % of the requests meeting a mix of 5xx, stale 409, proxy pages, resets and cut answers",
    faults=0.03,
    goals=(
        _goal("times the optimum, beyond rounding", 1.3, lambda one: one.beyond_rounding),
        _NOTHING_LOST,
        _NOTHING_TWICE,
    ),
    quick={**_QUICK_LIMIT, "rows": 50, "entries": (_OURS,)},
)

TAIL = Scenario(
    name="tail",
    about="ten windows of 300 requests in 2 s, and 3 % faults with hangs among them: what the slowest rows cost",
    rows=3000,
    cases=3000,
    limit=300,
    window=2,
    latency_ms=80,
    faults=0.03,
    hangs=True,
    # The other contestants give a request up after 30 s too.
    entries=(
        Entry(Contestant.OURS, options=("--read-timeout", "30")),
        Entry(Contestant.POOL),
        Entry(Contestant.AIOHTTP),
    ),
    goals=(
        _goal("times the optimum, beyond rounding", 1.5, lambda one: one.beyond_rounding),
        _NOTHING_LOST,
        _NOTHING_TWICE,
    ),
    quick={"entries": ()},  # a hang takes as long in a small run
)

SMALL = Scenario(
    name="small",
    about="250 rows under Persona's own limit of 300 per minute: a run that fits into one window",
    rows=250,
    cases=500,
    limit=300,
    latency_ms=80,
    entries=(
        _OURS,
        Entry(Contestant.LOOP),
        Entry(Contestant.POOL),
        Entry(Contestant.AIOHTTP),
        Entry(Contestant.EXPAND, rows=30),
    ),
    goals=(_goal("seconds", 1.5, lambda one: one.seconds), _NO_429, _NOTHING_LOST),
    quick={"entries": ()},  # `limited` shows as much
)

_AUTO, _NEVER = "ours, compare=auto", "ours, compare=never"
_COMPARED = (
    Entry(Contestant.OURS, _AUTO, options=("--compare", "auto")),
    Entry(Contestant.OURS, _NEVER, options=("--compare", "never")),
)

MOSTLY_RIGHT = Scenario(
    name="mostly_right",
    about="90 % of the rows are right already: comparing first or not (the optimum is that of not comparing)",
    rows=3000,
    cases=6000,
    already_right=0.9,
    limit=300,
    window=5,
    latency_ms=80,
    entries=(*_COMPARED, Entry(Contestant.AIOHTTP)),
    goals=(
        Goal(
            "share of the time without comparing",
            _AUTO,
            lambda found: (
                found[_AUTO].seconds / found[_NEVER].seconds
                if {_AUTO, _NEVER} <= set(found) and found[_NEVER].seconds and found[_AUTO].trouble is None
                else None
            ),
            0.25,
        ),
        _goal("429s", 0, lambda one: one.throttled, label=_AUTO),
        _goal("rows lost", 0, lambda one: one.accounting.lost, label=_AUTO),
    ),
    quick={**_QUICK_LIMIT, "cases": 600, "entries": _COMPARED[:1]},
)

MEMORY = Scenario(
    name="memory",
    about="peak memory by number of rows: planned only (dry), and applied",
    rows=100_000,
    cases=100_000,
    entries=(
        Entry(Contestant.OURS, "dry, 1,000 rows", rows=1000, options=("--dry-run",)),
        Entry(Contestant.OURS, "dry, 100,000 rows", options=("--dry-run",)),
        Entry(Contestant.OURS, "applied, 1,000 rows", rows=1000),
        Entry(Contestant.OURS, "applied, 100,000 rows"),
    ),
    goals=(Goal("MiB more at the peak, fewest to most planned rows", "dry", _growth, 50),),
    quick={
        "rows": 3000,
        "cases": 3000,
        "entries": (Entry(Contestant.OURS, "dry, 3,000 rows", options=("--dry-run",)),),
    },
)

MILLION = Entry(Contestant.OURS, "dry, 1,000,000 rows", rows=1_000_000, options=("--dry-run",))
"""Added to `memory` by `--million`. A dry run without a guard sends no request, so its rows need no cases."""

COMPARED = Scenario(
    name="compared",
    about="rows planned and compared with 200,000 live cases, where latency and not the limit is what takes time",
    rows=1_000_000,
    cases=200_000,
    latency_ms=200,
    already_right=0.5,
    entries=tuple(
        Entry(Contestant.OURS, f"dry, {rows:,} rows", rows=rows, options=("--dry-run", "--compare", "list"))
        for rows in (200_000, 1_000_000)
    ),
    goals=(Goal("MiB more at the peak, fewest to most planned rows", "dry", _growth, 100),),
    quick={"entries": ()},
    on_request=True,
)
"""Rows beyond the 200,000 name cases that do not exist, so the list shows only those that do."""

MATCHED = replace(
    COMPARED,
    name="matched",
    about="the same for rows that name their cases by the account, so that the cases are found first",
    latency_ms=20,
    entries=tuple(replace(entry, options=(*entry.options, "--match-by", "account-id")) for entry in COMPARED.entries),
)

_GUARDED = Entry(Contestant.OURS, options=("--only-from", "Open", "--only-from", "open"))

READ_WRITE_GAP = Scenario(
    name="read_write_gap",
    about="how old the guard's read is when the write arrives: in that time a human's decision could be overwritten",
    rows=500,
    cases=3000,
    only_open=True,
    requests_per_row=2,
    limit=300,
    window=5,
    latency_ms=80,
    entries=(_GUARDED,),
    goals=(
        _goal("ms between read and write, at the most", 1000, lambda one: one.extras.get("gap_max_ms")),
        _NOTHING_LOST,
    ),
    quick={**_QUICK_LIMIT, "rows": 60},
)

FAIRNESS = Scenario(
    name="fairness",
    about="another client sends 60 requests a minute beside the run: how many of them are refused",
    rows=1500,
    cases=3000,
    limit=300,
    window=5,
    latency_ms=80,
    reserve=0.2,
    foreign_per_window=60,
    entries=(_OURS, Entry(Contestant.POOL), Entry(Contestant.AIOHTTP)),
    goals=(_goal("% of the other's requests refused", 2.5, lambda one: one.extras.get("foreign_refused_percent")),),
    quick={**_QUICK_LIMIT, "foreign_per_window": 12, "entries": (_OURS,)},
)

SCENARIOS = {
    one.name: one
    for one in (
        UNLIMITED,
        LIMITED,
        FAULTS,
        TAIL,
        SMALL,
        MOSTLY_RIGHT,
        MEMORY,
        COMPARED,
        MATCHED,
        READ_WRITE_GAP,
        FAIRNESS,
    )
}
