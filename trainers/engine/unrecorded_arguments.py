"""Training arguments that change how a run proceeds, not its result: they are no part of its identity."""

from __future__ import annotations

from collections.abc import Collection, Iterable

# Fields of `TrainingArguments` that a run does record.
RECORDED_TRAINING = (
    "learning_rate", "num_train_epochs", "max_steps", "per_device_train_batch_size", "gradient_accumulation_steps",
    "warmup_steps", "weight_decay", "optim", "lr_scheduler_type", "max_grad_norm", "adam_beta1", "adam_beta2",
    "adam_epsilon", "data_seed", "bf16", "fp16", "torch_compile",
)  # fmt: skip
UNRECORDED = frozenset({
    "save_strategy", "save_steps", "save_total_limit", "save_only_model", "logging_strategy", "logging_steps",
    "logging_first_step", "log_level", "log_level_replica", "report_to", "run_name", "project", "disable_tqdm",
    "dataloader_num_workers", "dataloader_pin_memory", "dataloader_persistent_workers", "dataloader_prefetch_factor",
    "use_cpu", "output_dir", "skip_memory_metrics", "torch_empty_cache_steps", "remember", "ddp_backend",
    "ddp_timeout", "ddp_find_unused_parameters", "per_device_eval_batch_size", "eval_each_epoch",
})  # fmt: skip


def check_arguments(given: Iterable[str], recorded: Collection[str] = ()) -> None:
    """Refuse arguments that could change a result without being recorded beside it.

    Args:
        given: Names of the given arguments.
        recorded: Names of the arguments that are part of the run's identity.

    Raises:
        ValueError: If one is neither recorded nor in `UNRECORDED`.
    """
    unknown = sorted(set(given) - UNRECORDED - set(recorded))
    if unknown:
        raise ValueError(f"expected arguments that a run records or that change no result, got {', '.join(unknown)}")
