"""The brain finder: synthetic heads around stripped brains, and a small network that takes the brain out again."""
