"""The score S of an unlearned model and its four parts: a metric for the library ``evaluate``."""
