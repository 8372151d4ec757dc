"""The classifier's training: pictures, augmentation, loop, evaluation and export of a release."""
