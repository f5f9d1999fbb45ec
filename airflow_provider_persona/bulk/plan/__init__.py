"""What a run will do, fixed before it does it: spool, comparison, guards, thresholds, plan file, revert."""
