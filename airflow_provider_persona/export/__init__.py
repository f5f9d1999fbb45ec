"""Floor 3: reads lists, searches, events and files of Persona, to folders and tables. Knows no Airflow and no bulk."""
