"""How a file gets to a device and runs there; one file a transport."""
