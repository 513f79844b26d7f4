"""The kinds of jobs, one file each: arguments, a generator of progress, and how both are shown."""
