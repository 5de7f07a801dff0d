"""The functions behind the commands; the same in Python."""
