"""
Many machines: the rules by themselves, and members that share a real PostgreSQL.
"""
