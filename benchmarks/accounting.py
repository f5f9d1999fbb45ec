"""The fate of each row, counted from the simulator's journal. What a contestant says of itself is not used."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from persona_simulator import Effect
from persona_simulator.journal import HUMAN


@dataclass(frozen=True, slots=True)
class Accounting:
    """Rows by their fate. The first five numbers add up to the rows.

    :param once: the case has the wanted status, and was changed by one write.
    :param lost: the case does not have the wanted status at the end.
    :param twice: the case has the wanted status, and was changed by more than one write.
    :param spared: the case had the wanted status already, and nothing was written.
    :param needless: the case had the wanted status already, and was written to all the same.
    :param untold: lost rows that the contestant did not report as failed.
    :param again: rows with a second write that found the case changed already. It does not alter the status, but for
        Persona it is a write of its own.
    :param strays: effects on a case that no row names, or to a status that its row does not ask for.
    """

    once: int = 0
    lost: int = 0
    twice: int = 0
    spared: int = 0
    needless: int = 0
    untold: int = 0
    again: int = 0
    strays: int = 0


def account(
    wishes: Mapping[str, str],
    after: Mapping[str, str],
    effects: Iterable[Effect],
    reported_failed: Collection[str] = (),
) -> Accounting:
    """Count the fate of each row.

    :param wishes: the wanted status by case, one row for each case.
    :param after: the status of each case at the end.
    :param effects: the journal.
    :param reported_failed: cases that the contestant named as failed.
    """
    writes: dict[str, list[Effect]] = defaultdict(list)
    strays = 0
    for effect in effects:
        if effect.actor == HUMAN:
            continue
        if wishes.get(effect.case_id) == effect.to_status:
            writes[effect.case_id].append(effect)
        else:
            strays += 1
    reported = set(reported_failed)
    counts = {"once": 0, "lost": 0, "twice": 0, "spared": 0, "needless": 0}
    untold = again = 0
    for case_id, wished in wishes.items():
        written = writes[case_id]
        changing = sum(effect.changed for effect in written)
        fate = _fate(is_right=after[case_id] == wished, written=len(written), changing=changing)
        counts[fate] += 1
        untold += fate == "lost" and case_id not in reported
        again += 0 < changing < len(written)
    return Accounting(**counts, untold=untold, again=again, strays=strays)


def _fate(*, is_right: bool, written: int, changing: int) -> str:
    if not is_right:
        return "lost"
    if changing:
        return "once" if changing == 1 else "twice"
    return "needless" if written else "spared"
