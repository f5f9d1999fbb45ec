"""Floor 1: Persona's protocol, pure. No Airflow, no sockets, no sleeping, no clock of its own."""
