"""Networks of which students are slices."""
