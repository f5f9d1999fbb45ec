"""Doing what a plan says: the loop, the writers, the circuit breaker."""
