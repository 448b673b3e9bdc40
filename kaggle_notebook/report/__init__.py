"""What became of a run: one JSON file and one HTML page."""
