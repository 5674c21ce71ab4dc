"""harken: offline voice commands for microcontrollers, phones and small computers.

The package has three rooms, through which data flows one way:

* `harken.train`: recordings in, a trained small LSTM out (needs ``harken[train]``);
* `harken.export`: a trained LSTM in, an int8 TFLite model and its manifest out (needs that, too);
* `harken.edge`: microphone samples in, word events out; light, this is what runs on the device.

`harken.models` holds the models that ship.
"""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("harken")
except PackageNotFoundError:  # run from a source tree that was never installed
    __version__ = "0+unknown"

__all__ = ["__version__"]
