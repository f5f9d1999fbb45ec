"""What became of each row: outcomes, ledger lines, checkpoint, verification, report."""
