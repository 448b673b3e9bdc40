"""`quorum eval`: standard problem sets over the server's API, and what the results are worth."""
