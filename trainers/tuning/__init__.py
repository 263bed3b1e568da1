"""The search for default arguments on proxy requests. Imports every folder above it."""
