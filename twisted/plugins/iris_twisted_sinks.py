"""
The built-in sinks, through the same door as any other.
"""

from iris_twisted.sinks.amqp import AmqpSinks
from iris_twisted.sinks.kafka import KafkaSinks
from iris_twisted.sinks.lines import FileSinks, StdoutSinks
from iris_twisted.sinks.program import ExecSinks
from iris_twisted.sinks.redis import RedisSinks
from iris_twisted.sinks.webhook import WebhookSinks

# None of these imports its library before a sink of its kind is made.
amqpSinks = AmqpSinks()
execSinks = ExecSinks()
fileSinks = FileSinks()
kafkaSinks = KafkaSinks()
redisSinks = RedisSinks()
stdoutSinks = StdoutSinks()
webhookSinks = WebhookSinks()
