"""Floor 5: operators."""
