"""Floor 6: sensors, public classes only. What they share is in `tasks/wait_sensor.py`."""
