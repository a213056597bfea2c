"""What is done to images as files: their planes measured, and what their rows say."""
