"""One module per command, each with `add_to`, which describes its arguments, and the function that it runs."""
