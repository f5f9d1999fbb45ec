"""The contestants: one program each, as one would write it today, with the same command line and the same rows.

Except for `apply_rows.py`, which is this provider, none of them imports anything of ours to do its work.
"""
