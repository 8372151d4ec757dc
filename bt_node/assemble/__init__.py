"""Stage 2, which series: header facts and the choice of one series for each MR role."""
