"""Floor 5: triggers."""
