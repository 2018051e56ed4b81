"""
The plugin: an instance in this module is all that it takes.
"""

from iris_twisted_mqtt import MqttSinks

mqttSinks = MqttSinks()
