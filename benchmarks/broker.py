"""
What calls are kept in or given to, for a benchmark: in a process of its own, which ends when its
stdin does.

    python -m benchmarks.broker amqp|kafka|postgresql|redis

It prints C{{"where": ...}}, or C{{"missing": ...}} and why it is.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import ExitStack

from twisted.internet.defer import Deferred
from twisted.internet.task import react
from twisted.internet.threads import deferToThread

QUEUE = "calls"


class Missing(Exception):
    """With the reason."""


async def amqp(stack: ExitStack) -> str:
    """The tests' RabbitMQ."""
    from tests.interop.rabbitmq import SKIP, rabbitMq

    if SKIP:
        raise Missing(SKIP)
    # It ends with this process.
    server = rabbitMq()
    await server.ready()
    channel = server.channel()
    channel.queue_declare(QUEUE, durable=True)
    channel.connection.close()
    return f"amqp://127.0.0.1:{server.port}/?exchange=&routing-key={QUEUE}"


async def kafka(stack: ExitStack) -> str:
    """librdkafka's mock cluster."""
    from tests.sinks.kafka_cluster import KafkaCluster

    cluster = KafkaCluster()
    stack.callback(cluster.stop)
    cluster.createTopic(QUEUE)
    return f"{cluster.brokers}/{QUEUE}"


async def postgresql(stack: ExitStack) -> str:
    """One with its defaults: unlike the tests', it has on its disk what it answers for."""
    from iris_twisted.cluster.private_postgresql import PrivatePostgreSQL
    from tests.postgresql import MISSING

    if MISSING:
        raise Missing(MISSING)
    server = PrivatePostgreSQL(tempfile.mkdtemp(prefix="iris-bench-"))
    stack.callback(server.stop)
    server.start()
    return server.conninfo


async def redis(stack: ExitStack) -> str:
    """One that has on its disk what it answers for."""
    # For both programs here.
    import txredisapi  # noqa: F401

    from tests.interop.prosody import freePort

    program = shutil.which("redis-server")
    if program is None:
        raise Missing("Redis is missing: apt-get install redis-server")
    return _startRedis(program, freePort(), stack)


def _startRedis(program: str, port: int, stack: ExitStack) -> str:
    folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="iris-bench-"))
    server = subprocess.Popen(
        [
            *(program, "--bind", "127.0.0.1", "--port", str(port), "--dir", folder),
            *("--save", "", "--appendonly", "yes", "--appendfsync", "always"),
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )

    def end() -> None:
        server.kill()
        server.wait()

    stack.callback(end)
    assert server.stdout is not None
    said = []
    for line in server.stdout:
        said.append(line)
        if "Ready to accept connections" in line:
            return f"redis://127.0.0.1:{port}/{QUEUE}"
    raise RuntimeError("".join(said))


BROKERS: dict[str, Callable[[ExitStack], Awaitable[str]]] = {
    "amqp": amqp,
    "kafka": kafka,
    "postgresql": postgresql,
    "redis": redis,
}


async def main(name: str) -> None:
    with ExitStack() as stack:
        try:
            about = {"where": await BROKERS[name](stack)}
        except Missing as e:
            about = {"missing": str(e)}
        except ModuleNotFoundError as e:
            about = {"missing": f"{e.name} is missing: pip install 'iris-twisted[test]'"}
        print(json.dumps(about), flush=True)
        await deferToThread(sys.stdin.read)


if __name__ == "__main__":
    react(lambda _: Deferred.fromCoroutine(main(sys.argv[1])))
