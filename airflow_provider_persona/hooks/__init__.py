"""Floor 4: an Airflow connection becomes settings and clients."""
