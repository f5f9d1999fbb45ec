"""Floor 5: sensors."""
