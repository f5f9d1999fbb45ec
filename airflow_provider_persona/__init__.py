"""Apache Airflow provider for Persona (withpersona.com): cases, decided by the warehouse, updated exactly once."""

__version__ = "0.1.0"
