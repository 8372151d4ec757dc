"""A hospital in a box: phantom studies with a known tumour, a fake PACS, the demo."""
