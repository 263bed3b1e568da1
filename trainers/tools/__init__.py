"""What several methods share. Imports `unlearning` and the folders above it."""
