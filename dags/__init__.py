"""Examples; in the installed package they are `airflow_provider_persona.example_dags`."""
