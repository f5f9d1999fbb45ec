"""Apache Airflow provider for Persona (withpersona.com): cases, decided by the warehouse."""

__version__ = "0.1.0"
