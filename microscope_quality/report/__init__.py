"""The report of a run: one page to look at, filter and decide by."""
