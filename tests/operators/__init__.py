"""
Who may look at a daemon: the file, the limit, the check, the guard, the command.
"""
