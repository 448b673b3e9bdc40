"""Whether two answers are equal as mathematics, by Math-Verify and exact checks in workers."""
