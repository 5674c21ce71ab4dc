"""Pretrained networks ("teachers") in, their outputs for recordings and labels out.

A teacher takes seconds of audio and says which word it hears. It never ships and never runs on the
device: it checks the labels of recordings, and whether a word that was cut out of running speech,
or spoken by a synthetic voice, can be understood.
"""

from .opening import open_teacher, open_teachers
from .outputs import TeacherOutputs
from .run import run_teachers, word_clips
from .suspects import Suspect, wrong_labels
from .teacher import Teacher, one_second, probability_of

__all__ = [
    "Suspect",
    "Teacher",
    "TeacherOutputs",
    "one_second",
    "open_teacher",
    "open_teachers",
    "probability_of",
    "run_teachers",
    "word_clips",
    "wrong_labels",
]
