"""One command a benchmark: the same work for us and the peer or limit, in one run."""
