"""The report of a run: one page to look at, filter and decide by."""

#: Name of the page in the folder of a run.
REPORT = "report.html"
