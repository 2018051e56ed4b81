"""
librdkafka's mock cluster: brokers on loopback with Kafka's protocol, and errors at will.

It is reached in the library that confluent-kafka brings along, which has no Python for it.
"""

from __future__ import annotations

import ctypes
import signal
from typing import Any

from confluent_kafka import Consumer, TopicPartition, cimpl

__all__ = ["METADATA", "PRODUCE", "KafkaCluster"]

# Kinds of requests, and sizes, as Kafka's protocol and librdkafka number them.
PRODUCE, METADATA = 0, 3
_PRODUCER = 0
_lib = ctypes.CDLL(cimpl.__file__)
_POINTER = ctypes.c_void_p


def _function(name: str, result: Any, *arguments: Any) -> Any:
    function = getattr(_lib, f"rd_kafka_{name}")
    function.restype, function.argtypes = result, arguments
    return function


_new = _function("new", _POINTER, ctypes.c_int, _POINTER, ctypes.c_char_p, ctypes.c_size_t)
_destroy = _function("destroy", None, _POINTER)
_newConf = _function("conf_new", _POINTER)
_setConf = _function("conf_set", ctypes.c_int, _POINTER, *(ctypes.c_char_p,) * 3, ctypes.c_size_t)
_newCluster = _function("mock_cluster_new", _POINTER, _POINTER, ctypes.c_int)
_destroyCluster = _function("mock_cluster_destroy", None, _POINTER)
_bootstraps = _function("mock_cluster_bootstraps", ctypes.c_char_p, _POINTER)
_createTopic = _function(
    "mock_topic_create", ctypes.c_int, _POINTER, ctypes.c_char_p, ctypes.c_int, ctypes.c_int
)
_topicError = _function("mock_topic_set_error", None, _POINTER, ctypes.c_char_p, ctypes.c_int)
_setDown = _function("mock_broker_set_down", ctypes.c_int, _POINTER, ctypes.c_int32)
_setUp = _function("mock_broker_set_up", ctypes.c_int, _POINTER, ctypes.c_int32)
_setDelay = _function("mock_broker_set_rtt", ctypes.c_int, _POINTER, ctypes.c_int32, ctypes.c_int)
_pushErrors = _function(
    "mock_push_request_errors_array",
    None,
    _POINTER,
    ctypes.c_int16,
    ctypes.c_size_t,
    ctypes.POINTER(ctypes.c_int),
)


class KafkaCluster:
    """
    @ivar brokers: where they listen.
    """

    def __init__(self, brokers: int = 3) -> None:
        words = ctypes.create_string_buffer(512)
        conf = _newConf()
        # It connects to nobody, and would complain.
        _setConf(conf, b"log_level", b"0", words, len(words))
        self._handle = _new(_PRODUCER, conf, words, len(words))
        assert self._handle, words.value
        # Its thread would end with the first signal that comes to it: a child's end, for one.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        self._cluster = _newCluster(self._handle, brokers)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        self._count = brokers
        self.brokers: str = _bootstraps(self._cluster).decode()

    def createTopic(self, name: str, partitions: int = 3) -> None:
        assert _createTopic(self._cluster, name.encode(), partitions, self._count) == 0

    def topicError(self, name: str, error: int) -> None:
        """What is answered for this topic; 0 for no error."""
        _topicError(self._cluster, name.encode(), error)

    def requestErrors(self, request: int, *errors: int) -> None:
        """What the next requests of a kind are answered, one after the other."""
        array = (ctypes.c_int * len(errors))(*errors)
        _pushErrors(self._cluster, request, len(errors), array)

    def down(self) -> None:
        """All brokers hang up and refuse."""
        for number in range(1, self._count + 1):
            _setDown(self._cluster, number)

    def up(self) -> None:
        for number in range(1, self._count + 1):
            _setUp(self._cluster, number)

    def delay(self, seconds: float) -> None:
        """All brokers answer so much later."""
        for number in range(1, self._count + 1):
            _setDelay(self._cluster, number, int(seconds * 1000))

    def messages(self, topic: str, count: int, partitions: int = 3) -> list[Any]:
        """Read so many messages, or those that are there, by a consumer of its own."""
        consumer = Consumer(
            {
                "bootstrap.servers": self.brokers,
                "group.id": "tests",
                "enable.partition.eof": True,
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "log_level": 0,
            }
        )
        try:
            return self._read(consumer, topic, count, partitions)
        finally:
            consumer.close()

    @staticmethod
    def _read(consumer: Any, topic: str, count: int, partitions: int) -> list[Any]:
        consumer.assign([TopicPartition(topic, number, 0) for number in range(partitions)])
        found, ended = [], set()
        while len(ended) < partitions or len(found) < count:
            message = consumer.poll(20)
            assert message is not None, f"only {len(found)} messages, {len(ended)} ends"
            error = message.error()
            if error is None:
                found.append(message)
            else:
                assert error.name() == "_PARTITION_EOF", error
                ended.add(message.partition())
        return found

    def stop(self) -> None:
        _destroyCluster(self._cluster)
        _destroy(self._handle)
