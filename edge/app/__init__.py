"""The programs that people run: options and audio in; words, commands, reports and recordings out.

The command line, listening, the live view, the doctor, recording and reviewing, services.
"""
