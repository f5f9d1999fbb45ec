"""Attempts that die at any instant, on virtual time: hundreds of them in seconds, and a seed replays exactly.

`test_crashes.py` kills real processes; `trials.py` says what a death is here.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from bulk_runs import SET_STATUS
from lengths import SOAK, TRIALS
from trials import A_DEATH_MAY_REPEAT, ROWS, End, Trial, reached_by


@pytest.mark.timeout(3600 if SOAK else 600)
def test_no_death_loses_a_row_or_does_one_twice_or_tells_an_untruth(tmp_path: Path) -> None:
    reached = Counter[str]()
    for seed in range(TRIALS):
        trial = Trial(seed, tmp_path / str(seed))
        report = None
        for _ in range(trial.chance.choice((1, 1, 2, 3))):
            end = trial.chance.choice(list(End))
            report = trial.ended(end, trial.chance.uniform(0, 1.2 if trial.job.concurrency == 1 else 0.2))
            trial.meanwhile()
            trial.lose_disk()
        sent = len(trial.sim.requests(operation=SET_STATUS))
        report = trial.ended(End.STOPPED, 1e6)
        try:
            trial.assert_true(report)
            if not trial.deaths and not trial.is_creating:
                assert len(trial.sim.requests(operation=SET_STATUS)) == sent <= ROWS
            elif not trial.is_creating:
                repeated = len(trial.sim.requests(operation=SET_STATUS)) - ROWS
                assert repeated <= A_DEATH_MAY_REPEAT * (trial.deaths.total() - trial.deaths[End.STOPPED])
        except AssertionError as error:
            raise AssertionError(f"seed {seed}, {dict(trial.deaths)}, {trial.job.to_line()[:600]}: {error}") from error
        reached.update(reached_by(trial))
    if TRIALS >= 200:
        missing = {*map(str, End), "a key told what became of a row", "a look told it", "a creation too old to tell"}
        assert not missing - set(reached), reached
