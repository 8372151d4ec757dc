"""Training, evaluation and export of the 3D segmenter."""
