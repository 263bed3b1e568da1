"""Repositories on the Hub: the client, model folders, and what is pushed. Imports every folder above it."""
