"""Process reward models: how solutions are laid out for them, and the servers that run them."""
