"""Making one's own model: synthetic defocus sets, the training stream, fitting and export.

Only :mod:`microscope_quality.training.fitting` imports Keras.
"""
