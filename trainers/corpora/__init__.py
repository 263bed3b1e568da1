"""Numbers of tasks of texts without prompts, and questions about their documents. Imports `evaluation`."""
