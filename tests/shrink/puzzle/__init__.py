"""Networks whose parts are replaced."""
