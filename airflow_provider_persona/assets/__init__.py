"""Assets of Persona: what their addresses mean to Airflow and to OpenLineage."""
