"""Pure decisions: answers, votes, early stop and budgets. No I/O and no clock of its own."""
