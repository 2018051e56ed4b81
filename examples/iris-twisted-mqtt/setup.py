"""
Packaging of the example sink.
"""

from setuptools import setup

setup(
    name="iris-twisted-mqtt",
    version="0.1.0",
    description="MQTT as a sink of iris-twisted",
    license="Apache-2.0",
    packages=["iris_twisted_mqtt", "twisted.plugins"],
    python_requires=">=3.11",
    install_requires=["iris-twisted", "paho-mqtt>=2.1", "twisted"],
    zip_safe=False,
)
