"""Floor 6: transfers, public classes only. Reading is in `export/`, writing in `bulk/`."""
