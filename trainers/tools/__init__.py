"""Tools that several methods share. Imports `unlearning` and the folders above it."""
