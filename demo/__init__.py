"""The demonstration: a simulated Persona, a SQLite warehouse, and the main Dag run through Airflow."""
