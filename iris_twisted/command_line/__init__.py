"""
What the C{twist} commands share: options, lines for a terminal, exit statuses.
"""
