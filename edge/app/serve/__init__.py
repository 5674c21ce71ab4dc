"""harken in a house: words out to Home Assistant, Node-RED and others, by Wyoming and by MQTT.

Needs ``pip install 'harken[wyoming]'`` and ``'harken[mqtt]'``; this package imports neither by
itself.
"""
