"""Networks: built from plain arguments, weights come from a release."""
