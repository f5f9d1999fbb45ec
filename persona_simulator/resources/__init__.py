"""What the environment holds beside cases, and what the API may do with it: one table of operations over one store.

`things` and `holdings` are the store, `families` says how each kind of thing looks, `answers` and `listing` show them,
the other modules change them, and `table` names for each operation of the catalogue what serves it.
"""
