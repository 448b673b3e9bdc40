"""How model families write a conversation."""
