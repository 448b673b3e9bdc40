"""From traces to what is trained on: chosen entries with token ids and masks, and their origin."""
