"""The configuration: a table of options, read from files and the environment, handed down as small values."""
