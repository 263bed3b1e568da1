"""Training on per-example losses: the trainer, its batches, losses and arguments. Imports `hub_builders`."""
