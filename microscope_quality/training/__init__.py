"""Making one's own model: a task, its stream of patches, fitting and export.

Only :mod:`.fitting`, :mod:`.distributed` and the tasks import Keras.
"""
