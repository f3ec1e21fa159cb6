"""What an experiment is: its configuration, and what is built of it."""
