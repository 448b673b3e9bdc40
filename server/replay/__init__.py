"""`quorum replay`: what other policies would have made of recorded attempts."""
