"""The registry's file: what is wrong with it, what it says, and changes of its text."""
