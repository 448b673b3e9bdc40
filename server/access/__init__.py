"""Who may do what: keys, scopes, rates, sessions of browsers."""
