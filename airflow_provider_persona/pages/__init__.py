"""Floor 6: what the pages of the plugin show in Airflow's API server, and the pages themselves."""
