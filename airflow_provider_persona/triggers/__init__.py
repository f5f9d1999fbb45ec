"""Floor 6: triggers, public classes only. What they share is in `tasks/wait_trigger.py` and `tasks/event_watch.py`."""
