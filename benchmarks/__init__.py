"""Benchmarks: this provider and what one would write without it, each against a simulated Persona of its own.

`python -m benchmarks` runs them; `README.md` says what its scenarios and columns mean.
"""
