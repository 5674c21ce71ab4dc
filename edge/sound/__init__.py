"""Microphones, files, pipes and sockets in, blocks of int16 mono samples out."""

from .microphone import InputDevice, Microphone, input_devices
from .pcm import Chunks, PcmFormat, standard_input
from .remote import TcpPcm, UdpPcm
from .resample import MonoResampler
from .sources import AudioFile, Block, RealTime, Source

__all__ = [
    "AudioFile",
    "Block",
    "Chunks",
    "InputDevice",
    "Microphone",
    "MonoResampler",
    "PcmFormat",
    "RealTime",
    "Source",
    "TcpPcm",
    "UdpPcm",
    "input_devices",
    "standard_input",
]
