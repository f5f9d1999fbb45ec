"""From the rows of a driver to what each row asks for: queries, column mapping, typed values."""
