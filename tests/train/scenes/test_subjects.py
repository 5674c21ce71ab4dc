"""Programs behind adapters: what they are given, what they may print, and what is said if not."""

from __future__ import annotations

import importlib.util
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest
import tones

import harken
from harken.edge import Model, Spotter
from harken.edge.errors import DataError
from harken.train.scenes.scoring import Heard
from harken.train.scenes.subjects import AdapterSubject, read_event

WORDS = ("low", "high")
SECOND = np.zeros(tones.RATE, np.int16)

POCKETSPHINX = Path(__file__).parents[3] / "bench" / "adapters" / "pocketsphinx_kws.py"


def adapter(program: str) -> str:
    """The command line of an adapter that is a Python program."""
    return shlex.join([sys.executable, "-c", program])


def printing(*lines: str) -> AdapterSubject:
    """An adapter that prints these lines whatever it hears."""
    return AdapterSubject(adapter(f"print({chr(10).join(lines)!r})"), WORDS)


def problem_with(subject: AdapterSubject, pcm: np.ndarray = SECOND) -> str:
    with pytest.raises(DataError) as error:
        subject.hear(pcm)
    return str(error.value)


def test_harken_listen_is_an_adapter(tones_model: Model) -> None:
    """`harken listen MODEL --stdin --json` hears what a spotter hears, word for word."""
    pcm = tones.stream("low", "high", "high", "low")
    listening = shlex.join(
        [sys.executable, "-m", "harken", "listen", str(tones_model.path), "--stdin", "--json"]
    )
    expected = Spotter(tones_model).feed(pcm)
    heard = AdapterSubject(listening, WORDS).hear(pcm)
    assert [event.word for event in heard] == ["low", "high", "high", "low"]
    assert [event.word for event in heard] == [event.word for event in expected]
    assert [event.time_s for event in heard] == [round(event.end_s, 4) for event in expected]
    assert [event.confidence for event in heard] == [
        round(event.confidence, 4) for event in expected
    ]


def test_an_adapter_gets_raw_samples_until_they_end_and_the_words_to_spot() -> None:
    program = """
import array, json, os, sys
samples = array.array("h", sys.stdin.buffer.read())
assert list(samples[:3]) == [1, -2, 32767], samples[:3]
word = os.environ["HARKEN_WORDS"].split(",")[-1]
print(json.dumps({"word": word, "end_s": len(samples) / 16000}))
"""
    pcm = np.zeros(8000, np.int16)
    pcm[:3] = 1, -2, 32767
    assert AdapterSubject(adapter(program), WORDS).hear(pcm) == [
        Heard(word="high", time_s=0.5, confidence=None)
    ]


def test_an_adapter_may_end_without_hearing_everything() -> None:
    hour = np.zeros(3600 * tones.RATE // 20, np.int16)  # more than any pipe holds
    assert printing('{"word": "low", "end_s": 1}').hear(hour) == [Heard(word="low", time_s=1.0)]


def test_an_adapter_may_hear_nothing() -> None:
    assert printing("").hear(SECOND) == []


def test_events_come_in_the_order_of_time() -> None:
    heard = printing('{"word": "low", "end_s": 0.9}', '{"word": "high", "end_s": 0.1}').hear(SECOND)
    assert [event.word for event in heard] == ["high", "low"]


def test_words_that_were_not_asked_for_are_counted_and_left_out() -> None:
    subject = printing(
        '{"word": "bed", "end_s": 0.1}',
        '{"word": "low", "end_s": 0.2, "confidence": 0.5, "start_s": 0.1}',
        '{"word": "bed", "end_s": 0.3}',
        '{"word": "cat", "end_s": 0.4}',
    )
    assert subject.notes() == []
    assert subject.hear(SECOND) == [Heard(word="low", time_s=0.2, confidence=0.5)]
    assert subject.ignored == {"bed": 2, "cat": 1}
    assert subject.notes() == [
        "3 events of words that were not asked for were left out: bed 2, cat 1"
    ]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("heard: low", "is not JSON: 'heard: low'"),
        ("[1]", "is not a JSON object: '[1]'"),
        ('{"end_s": 1}', "has no word"),
        ('{"word": 3, "end_s": 1}', "has no word"),
        ('{"word": "low"}', "has no end_s"),
        ('{"word": "low", "end_s": "1"}', "has the end_s '1', which is not a number"),
        ('{"word": "low", "end_s": true}', "has the end_s True, which is not a number"),
        ('{"word": "low", "end_s": NaN}', "has the end_s nan, which is not a number"),
        ('{"word": "low", "end_s": 1, "confidence": "high"}', "has the confidence 'high'"),
        ('{"word": "low", "end_s": -0.1}', "ended at -0.1 s, but the sound goes from 0 to 2 s"),
        ('{"word": "low", "end_s": 2.6}', "ended at 2.6 s, but the sound goes from 0 to 2 s"),
    ],
)
def test_a_line_that_is_no_event_is_refused(line: str, says: str) -> None:
    with pytest.raises(ValueError, match=r"^(is|has|says)") as error:
        read_event(line, seconds=2.0)
    assert says in str(error.value)


def test_an_end_may_be_rounded_past_the_end_of_the_sound() -> None:
    assert read_event('{"word": "low", "end_s": 2.2}', seconds=2.0).time_s == 2.0


def test_a_wrong_line_is_named() -> None:
    problem = problem_with(printing('{"word": "low", "end_s": 0.5}', "", "Loading model ..."))
    assert "line 3" in problem
    assert "'Loading model ...'" in problem
    assert '{"word": "left", "end_s": 1.24' in problem


def test_a_program_that_does_not_exist_is_named_before_anything_runs() -> None:
    with pytest.raises(DataError, match="there is no program 'no-such-spotter'"):
        AdapterSubject("no-such-spotter --fast", WORDS)


@pytest.mark.parametrize("command", ["", "   "])
def test_an_empty_command_line_is_refused(command: str) -> None:
    with pytest.raises(DataError, match="empty command line"):
        AdapterSubject(command, WORDS)


def test_quotes_that_do_not_match_are_refused() -> None:
    with pytest.raises(DataError, match="check its quotes"):
        AdapterSubject("python 'spot.py", WORDS)


def test_an_adapter_needs_words() -> None:
    with pytest.raises(DataError, match="--words"):
        AdapterSubject(adapter("pass"), ())


def test_a_command_that_fails_is_shown_with_the_last_it_said() -> None:
    program = "import sys; print(*range(20), sep='\\n', file=sys.stderr); sys.exit(3)"
    problem = problem_with(AdapterSubject(adapter(program), WORDS))
    assert "ended with status 3: 15 | 16 | 17 | 18 | 19" in problem


def test_a_command_that_is_killed_is_told_from_one_that_fails() -> None:
    program = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    assert "was killed by signal 9" in problem_with(AdapterSubject(adapter(program), WORDS))


def test_a_file_that_may_not_be_run_is_named(tmp_path: Path) -> None:
    script = tmp_path / "spot"
    script.write_text("no program\n")
    script.chmod(0o755)
    problem = problem_with(AdapterSubject(str(script), WORDS))
    assert "cannot be started" in problem


def test_a_command_that_does_not_end_is_stopped() -> None:
    subject = AdapterSubject(adapter("import time; time.sleep(60)"), WORDS, timeout_s=0.2)
    problem = problem_with(subject)
    assert "had not finished after 0.2 s with a scene of 1 s" in problem
    assert "must end when its standard input does" in problem


def test_what_is_printed_must_be_text() -> None:
    program = r"import sys; sys.stdout.buffer.write(b'\xff\xfe')"
    assert "not UTF-8 text (byte 0)" in problem_with(AdapterSubject(adapter(program), WORDS))


@pytest.mark.skipif(
    importlib.util.find_spec("pocketsphinx") is None, reason="needs pip install pocketsphinx"
)
def test_pocketsphinx_hears_the_demo() -> None:
    soundfile = pytest.importorskip("soundfile")
    pcm, _ = soundfile.read(Path(harken.__file__).parent / "models" / "demo.flac", dtype="int16")
    command = shlex.join([sys.executable, str(POCKETSPHINX)])
    heard = AdapterSubject(command, ("go", "right", "stop", "zero")).hear(pcm)
    first = heard[0]
    assert first.word == "go"  # said from 1.00 to 1.31 s
    assert 1.0 <= first.time_s <= 1.9
    assert first.confidence is not None
