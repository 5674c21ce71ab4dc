"""Pretrained networks ("teachers") in, what they make of recordings and their labels out.

A teacher takes seconds of sound and says which word it hears. It is never shipped and never runs
where harken listens: it checks the labels of recordings, and whether a word that was cut out of
running speech, or said by a synthetic voice, can be understood.
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
