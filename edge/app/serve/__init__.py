"""Words and commands in, messages to Home Assistant, Node-RED and others out, by Wyoming and MQTT.

Needs ``pip install 'harken[wyoming]'`` and ``'harken[mqtt]'``; this package imports neither by
itself.
"""
