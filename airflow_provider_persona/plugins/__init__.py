"""Floor 6: public Airflow plugins."""
