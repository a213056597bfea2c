"""Images in, tables and pictures out."""
