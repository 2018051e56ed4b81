"""
What is compared: each is a program of its own that connects, says C{up}, and when it
has got so many notifications prints how much CPU they cost it.

    python -m benchmarks.clients.NAME URL COUNT
"""
