"""
Packaging of the example transport.
"""

from setuptools import setup

setup(
    name="iris-twisted-tcp",
    version="0.1.0",
    description="XMPP over direct TLS as a transport of iris-twisted",
    license="Apache-2.0",
    packages=["iris_twisted_tcp", "twisted.plugins"],
    python_requires=">=3.11",
    install_requires=["iris-twisted", "twisted[tls]"],
    zip_safe=False,
)
