"""Stage 5, fit to leave? Plausibility of input and output."""
