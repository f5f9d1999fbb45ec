"""The question that a person is asked about a plan, as Markdown: all that is needed to decide, and nobody's data.

Labels and ids come from a query or from Persona, so each is escaped: it is shown, and never becomes markup.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_persona.api.dashboard import DASHBOARD, address_of_id
from airflow_provider_persona.api.durations import in_words

if TYPE_CHECKING:
    from airflow_provider_persona.bulk.ledger.reasons import Reason
    from airflow_provider_persona.bulk.plan.digest import PlanDigest
    from airflow_provider_persona.bulk.plan.file import PlanHeader

# An underscore within a word is no markup (CommonMark, "left-flanking"), so ids stay readable in notifiers' plain text.
_MARKUP = re.compile(r"([\\`*\[\]<>|~#!&]|(?<![^\W_])_|_(?![^\W_]))")
_LINK = re.compile(r"(?i)(?<=http:)(?=//)|(?<=https:)(?=//)|(?<=www)(?=\.)|(?=@[-\w]+\.)")
"""Where Airflow's page takes a bare address for a link. No escape prevents that, only a character in between."""
_UNSEEN, _STRANGE = "\u200b", "\ufffd"
_LONGEST = 300


def escaped(text: object) -> str:
    """Return a text that Markdown shows as it is, on one line, with no links and nothing that turns its direction."""
    # One line, since a line break would end a table's row. Marks that turn the direction are not printable.
    line = "".join(one if one.isprintable() else _STRANGE for one in " ".join(str(text).split()))
    return _LINK.sub(_UNSEEN, _MARKUP.sub(r"\\\1", line if len(line) <= _LONGEST else f"{line[:_LONGEST]}…"))


@dataclass(frozen=True, slots=True)
class Question:
    """What a person is asked.

    :param digest: the plan.
    :param told: what the planning task returned, for the `estimate` and the `thresholds`.
    :param now: UTC time at which it is asked.
    :param dashboard: address of Persona's dashboard.
    :param pages: addresses of pages with all rows, by what they are called.
    :param note: Markdown that stands above, or None.
    """

    digest: PlanDigest
    told: Mapping[str, Any]
    now: datetime
    dashboard: str = DASHBOARD
    pages: Mapping[str, str] = field(default_factory=dict)
    note: str | None = None

    @property
    def subject(self) -> str:
        """The question in one line."""
        header = self.digest.header
        return f"Change {header.changes:,} {_things(header)} in Persona?"

    def body(self) -> str:
        """Return everything else, as Markdown."""
        blocks = [self.note, self._first(), *self._warnings(), self._transitions(), self._left_out()]
        blocks += [self._thresholds(), self._sample(), self._last()]
        return "\n\n".join(filter(None, blocks))

    def _first(self) -> str:
        header = self.digest.header
        where = f" in environment {escaped(header.environment)}" if header.environment else ""
        return f"**{header.changes:,} of {header.rows:,} rows would be changed**{where}. {self._time()}"

    def _time(self) -> str:
        estimate = self.told.get("estimate")
        if not isinstance(estimate, Mapping) or not isinstance(estimate.get("requests"), int):
            return ""
        seconds, limit, reserve = (estimate.get(name) for name in ("seconds", "limit", "reserve"))
        if not isinstance(seconds, int | float) or isinstance(seconds, bool):
            return f"About {estimate['requests']:,} requests; the request limit is unknown."
        end = self.now + timedelta(seconds=seconds)
        day = "" if end.date() == self.now.date() else f" on {end:%d %B}"
        kept = f" with {reserve:.0%} left to others" if isinstance(reserve, int | float) else ""
        return (
            f"About {estimate['requests']:,} requests under a limit of {escaped(limit)} a window{kept}: "
            f"{in_words(seconds)}, by {end:%H:%M} UTC{day} if it is approved now ({self.now:%H:%M} UTC)."
        )

    def _warnings(self) -> Iterator[str]:
        header = self.digest.header
        for label in header.unknown_labels:
            yield (
                f"> **{escaped(label)}**: no {header.subject.name} and no template has this status. Check how guards "
                "and rows spell it; a guard on a misspelt status guards nothing."
            )
        for reason, count in header.irreversible.items():
            yield f"> **{count:,} of these changes cannot be taken back**: {escaped(reason)}"

    def _transitions(self) -> str | None:
        header = self.digest.header
        rows = [(escaped(name), f"{count:,}") for name, count in _largest_first(header.transitions)]
        return _table(("from -> to", _things(header)), rows)

    def _left_out(self) -> str | None:
        reasons = self.digest.left_out
        return _table(("rows that stay as they are", "why"), ((f"{one.count:,}", _why(one)) for one in reasons))

    def _thresholds(self) -> str | None:
        found = self.told.get("thresholds")
        rows = []
        for name, values in found.items() if isinstance(found, Mapping) else ():
            limit = values.get("limit")
            shown = ", ".join(map(str, limit)) if isinstance(limit, list) else limit
            rows.append((f"`{name}`", escaped(shown), escaped(values.get("reached"))))
        return _table(("threshold", "limit", "reached"), rows)

    def _sample(self) -> str | None:
        rows = [
            (self._link(row.object_id), escaped(row.from_status or "?"), escaped(row.to_status or "(as it is)"))
            for row in self.digest.sample
        ]
        heading = f"{len(rows)} of the {_things(self.digest.header)}"
        return _table((heading, "from", "to"), rows)

    def _link(self, object_id: str | None) -> str:
        address = address_of_id(object_id, self.dashboard)
        return escaped(object_id or "(new)") if address is None else f"[{object_id}]({address})"

    def _last(self) -> str:
        header = self.digest.header
        pages = "".join(f" [{name}]({address})." for name, address in self.pages.items())
        plan = escaped(self.told.get("plan"))
        matching = f"{escaped(header.on_matching)}. " if header.on_matching else ""
        return f"{matching}Planned at {escaped(header.created_at)}. Plan {plan}, hash `{header.hash}`.{pages}"


def _things(header: PlanHeader) -> str:
    return str(getattr(header.subject, "plural", "objects"))


def _largest_first(counts: Mapping[str, int]) -> Sequence[tuple[str, int]]:
    return sorted(counts.items(), key=lambda one: (-one[1], one[0]))


def _why(reason: Reason) -> str:
    examples = (
        f" ({', '.join(map(escaped, reason.example_ids))}{', …' if reason.count > len(reason.example_ids) else ''})"
    )
    return escaped(reason.reason) + (examples if reason.example_ids else "")


def _table(heading: Sequence[str], rows: Iterable[Sequence[str]]) -> str | None:
    """Return a Markdown table, or None when it has no rows."""
    lines = [f"| {' | '.join(cells)} |" for cells in rows]
    if not lines:
        return None
    return "\n".join([f"| {' | '.join(heading)} |", f"|{'---|' * len(heading)}", *lines])
