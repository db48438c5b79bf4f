"""One module a command, each with `add_to`, which describes its arguments, and what it runs."""
