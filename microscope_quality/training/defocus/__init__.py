"""Making a focus model: sharp images, their simulated defocus, the stream of patches, the model."""
