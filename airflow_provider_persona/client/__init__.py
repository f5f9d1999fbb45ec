"""Floor 2: the only place with sockets. Still no Airflow."""
