"""What lies in ``inside`` runs in a process that has Java in it; see ``test_hosts.py``."""

import os

if "FIJI_BRIDGE_CLASS_PATH" not in os.environ:
    collect_ignore = ["inside"]
