"""What people say of attempts in the page: kept in a file, handed out as `reflections.csv`."""
