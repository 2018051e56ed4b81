"""
The built-in sinks, through the same door as any other.
"""

from iris_twisted.sinks.lines import FileSinks, StdoutSinks
from iris_twisted.sinks.program import ExecSinks
from iris_twisted.sinks.webhook import WebhookSinks

execSinks = ExecSinks()
fileSinks = FileSinks()
stdoutSinks = StdoutSinks()
webhookSinks = WebhookSinks()
