"""Numbers and figures with their origin."""
