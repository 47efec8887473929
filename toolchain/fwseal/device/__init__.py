"""What a device does with an update: a value, a table and the drivers that run it."""
