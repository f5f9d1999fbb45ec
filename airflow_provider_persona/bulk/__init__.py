"""Floor 3: rows in, cases changed, a ledger out. Still no Airflow."""
