"""Which rows are deleted: ranks, deletion families and forget lists. Imports `utils`, `tasks`."""
