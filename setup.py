"""
Packaging of iris-twisted.
"""

import sys

if sys.version_info < (3, 11):  # noqa: UP036
    # Otherwise pip complains about the versions of the first package that needs it.
    sys.exit(
        "iris-twisted needs Python 3.11 or newer, and this is {}.{}: make the virtual "
        "environment with a newer one, as in  python3.11 -m venv .venv".format(*sys.version_info)
    )

from pathlib import Path
from runpy import run_path

from setuptools import find_packages, setup

here = Path(__file__).parent

setup(
    name="iris-twisted",
    version=run_path(str(here / "iris_twisted" / "version.py"))["__version__"],
    description="A pluggable client for the connection of Comcast's Iris RTC platform, on Twisted",
    long_description=(here / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    # twisted.plugins is a folder that Twisted shares with everybody: it has no __init__.py.
    packages=[*find_packages(include=["iris_twisted", "iris_twisted.*"]), "twisted.plugins"],
    package_data={"iris_twisted": ["py.typed", "console/page/*"]},
    python_requires=">=3.11",
    entry_points={"pytest11": ["iris = iris_twisted.testing.pytest_plugin"]},
    install_requires=[
        "argon2-cffi>=23.1",
        "attrs>=24.2",
        "autobahn>=25.10",
        "automat>=24.8.1",
        "prometheus-client>=0.21",
        "rich>=13.9",
        "scramp>=1.4.5",
        "service-identity>=24.2",
        "treq>=24.9.1",
        "trustme>=1.1",
        # Older ones and a current pyOpenSSL cannot share a TLS context.
        "twisted[tls]>=26.4",
        "zope.interface>=7.0.1",
    ],
    extras_require={
        "amqp": ["pika>=1.3.2"],
        "cluster": ["cryptography>=42", "psycopg[binary]>=3.3"],
        "kafka": ["confluent-kafka>=2.6"],
        "redis": ["txredisapi>=1.4.11", "hiredis>=2.2"],
        "benchmark": ["matplotlib>=3.8", "slixmpp>=1.8.5"],
        "test": [
            "cloudevents>=2.0",
            "confluent-kafka>=2.6",
            "coverage>=7.4",
            "django>=5.2",
            "fastapi>=0.115",
            "flask>=3.0",
            "grafana-foundation-sdk",
            "graphviz>=0.20",
            "hiredis>=2.2",
            "hypothesis>=6.100",
            "paho-mqtt>=2.1",
            "pika>=1.3.2",
            "psycopg[binary]>=3.3",
            "pytest-asyncio>=1.0",
            "pytest-twisted>=1.14",
            "pytest>=8.3",
            "pyyaml>=6.0",
            "slixmpp>=1.8.5",
            "standardwebhooks>=1.0.1",
            "txredisapi>=1.4.11",
            "uvicorn>=0.30",
            "uvloop>=0.21",
        ],
        "docs": [
            "furo>=2024.8",
            "graphviz>=0.20",
            "myst-parser>=4.0",
            "pydoctor>=25.4",
            "sphinx>=8.0",
        ],
        "typing": ["mypy>=1.14", "mypy-zope>=1.0.9", "psycopg[binary]>=3.3"],
        "lint": ["codespell>=2.3", "ruff>=0.9"],
    },
    classifiers=[
        "Development Status :: 4 - Beta",
        "Framework :: Twisted",
        "Intended Audience :: Developers",
        "Programming Language :: Python :: 3 :: Only",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Communications :: Telephony",
        "Typing :: Typed",
    ],
    zip_safe=False,
)
