"""What takes long, and the processes that do it; gradio is not known here."""
