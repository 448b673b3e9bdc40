"""`quorum replay`: reads recorded attempts, and shows what other policies would have made of them."""
