"""One function over many items, in worker processes; it knows nothing of what is measured."""
