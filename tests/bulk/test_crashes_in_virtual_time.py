"""Attempts that die at any instant, on virtual time: hundreds of them in seconds, and a seed replays exactly.

`test_crashes.py` kills real processes; `trials.py` says what a death is here.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from lengths import SOAK, TRIALS, TRIALS_OF_A_FURTHER_KIND
from trials import A_DEATH_MAY_REPEAT, ROWS, End, Trial, reached_by

from tests.bulk.kinds import CALLS, KINDS, CallKind, Kind


@pytest.mark.timeout(3600 if SOAK else 600)
@pytest.mark.parametrize("kind", [*KINDS, *CALLS], ids=lambda kind: kind.name)
def test_no_death_loses_a_row_or_does_one_twice_or_tells_an_untruth(tmp_path: Path, kind: Kind | CallKind) -> None:
    reached = Counter[str]()
    trials = TRIALS if kind is KINDS[0] else TRIALS_OF_A_FURTHER_KIND
    for seed in range(trials):
        trial = Trial(seed, tmp_path / str(seed), kind=kind)
        report = None
        for _ in range(trial.chance.choice((1, 1, 2, 3))):
            end = trial.chance.choice(list(End))
            report = trial.ended(end, trial.chance.uniform(0, 1.2 if trial.job.concurrency == 1 else 0.2))
            trial.meanwhile()
            trial.lose_disk()
        sent = trial.last_writes
        report = trial.ended(End.STOPPED, 1e6)
        try:
            trial.assert_true(report)
            if not trial.deaths and not trial.is_creating:
                assert trial.last_writes == sent <= ROWS
            elif not trial.is_creating:
                repeated = trial.last_writes - ROWS
                assert repeated <= A_DEATH_MAY_REPEAT * (trial.deaths.total() - trial.deaths[End.STOPPED])
        except AssertionError as error:
            raise AssertionError(f"seed {seed}, {dict(trial.deaths)}, {trial.job.to_line()[:600]}: {error}") from error
        reached.update(reached_by(trial))
    print(f"{kind.name}: {trials} trials, {dict(reached)}")
    if kind is KINDS[0] and trials >= 200:
        missing = {*map(str, End), "a key told what became of a row", "a look told it", "a creation too old to tell"}
        assert not missing - set(reached), reached
