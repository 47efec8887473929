"""The command line: one file a verb, and one printer."""
