"""What Python programs that cells start have first on their import path (PYTHONPATH)."""
