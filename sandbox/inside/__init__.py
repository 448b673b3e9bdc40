"""What runs in a kernel's own process; nothing here is imported by the pool."""
