"""The base class of every method, and what it is made of. Imports `engine`, `inference`, `metrics`, `addons`."""
