"""Event handlers as plain functions: choices in, HTML and data out. Imports ``charts`` and ``jobs``, no gradio."""
