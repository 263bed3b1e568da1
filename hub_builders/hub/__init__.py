"""Repositories on the Hub: model folders, pushing, restricted data. Imports every folder above it."""
