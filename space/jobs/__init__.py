"""The job queue and what its worker processes do; imports no gradio and nothing else of the Space."""
