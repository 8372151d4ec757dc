"""Stage 4, what the models see: releases, networks, segmenter, classifier. torch and monai live here."""
