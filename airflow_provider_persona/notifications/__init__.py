"""Notifiers for Dags. Public classes and nothing else."""
