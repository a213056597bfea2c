"""Ratings learned: from simulated faults of the instrument, and from labels."""
