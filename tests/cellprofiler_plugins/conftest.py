"""What lies in ``inside`` runs in CellProfiler's own Python; see ``test_hosts.py``."""

import importlib.util

if importlib.util.find_spec("cellprofiler_core") is None:
    collect_ignore = ["inside"]
