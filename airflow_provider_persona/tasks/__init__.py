"""What the public Airflow classes share: running work for a task, its arguments, identity, failure and state."""
