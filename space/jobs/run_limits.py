"""What a visitor's run may take: seconds, runs at a time, and the ranges of its arguments."""

from __future__ import annotations

# Seconds of a run, and of training the reference models that it lacks.
LIMITS_S = {"run": 180.0, "references": 900.0}
# Runs in the queue, and unfinished ones of a visitor.
MAX_WAITING = 32
MAX_PER_VISITOR = 2
SEEDS = 2**31
# The largest number of an argument without a range of its own, and its longest text.
MAX_NUMBER = 1e6
MAX_TEXT = 80
# Arguments of `TrainingArguments`, with the range that a public machine can bear.
SHARED: dict[str, tuple[str, float, float]] = {
    "learning_rate": ("Peak learning rate.", 0.0, 10.0),
    "num_train_epochs": ("Passes over the training data.", 0.01, 50.0),
    "per_device_train_batch_size": ("Examples per step.", 1, 256),
    "weight_decay": ("Decoupled weight decay.", 0.0, 10.0),
}
