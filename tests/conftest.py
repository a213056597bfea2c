"""Settings of the test run."""

import os

# Read by Keras and TensorFlow at import, in whichever test comes first.
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
