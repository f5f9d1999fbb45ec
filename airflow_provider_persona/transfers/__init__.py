"""Floor 5: transfers."""
