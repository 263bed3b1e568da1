"""Layout, a tab a file: what stands where, and which handler a button calls."""
