"""How good a model is, by published protocols."""
