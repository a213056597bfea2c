"""Plugins for other programs: what they consist of, how they get there and away again.

Needs the standard library alone, and keeps to Python 3.8, like what it installs.
"""
