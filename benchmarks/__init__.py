"""Each figure that the project states, measured again: ``python -m benchmarks --data DIR``."""
