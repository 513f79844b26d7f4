"""The kinds of jobs, one file each: a frozen dataclass of arguments, a generator of progress, and how both are shown."""
