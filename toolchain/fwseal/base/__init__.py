"""What every room stands on: strict bytes, Reasons and errors. Pure."""
