"""
Many machines: daemons that share their accounts through a PostgreSQL database.

Nothing of this is imported by a daemon that was not given C{--cluster}.
"""
