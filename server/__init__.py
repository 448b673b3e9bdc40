"""The gateway: API, admission, solve loop, dialects and engines."""
