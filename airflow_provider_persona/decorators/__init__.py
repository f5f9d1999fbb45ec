"""Floor 5: TaskFlow decorators."""
