"""bt-node: brain-tumour segmentation and classification inside a PACS. For research use only, not for diagnosis."""

__version__ = "0.1.0"
