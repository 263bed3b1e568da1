"""Models of every modality, and a task with its backbone as one setting. Imports `engine`, `inference`."""
