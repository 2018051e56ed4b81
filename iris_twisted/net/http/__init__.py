"""
HTTP requests whose answers have bounds.
"""

from .requests import Answer, HttpRequests

__all__ = ["Answer", "HttpRequests"]
