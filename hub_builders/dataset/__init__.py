"""Dataset folders: sources, shards, building, loading and decoding. Imports every folder above it."""
