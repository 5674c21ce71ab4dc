"""The live view: what is heard is drawn as it is heard, and leaves only its lines behind."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest
from rich.console import Console
from tones import RATE, hiss, tone

from harken.edge import Spotter
from harken.edge.app.listen import Heard, Listener
from harken.edge.app.view import LiveView, live
from harken.edge.app.view.level import FLOOR_DBFS, QUIET_DBFS, Fault, LevelMeter
from harken.edge.app.view.row import Row, shortened
from harken.edge.memory.memory import Memory
from harken.edge.sound.sources import Announcement, Block, Overflow, Source
from harken.edge.spotting.detector import DetectorConfig
from harken.edge.spotting.spotter import Event

pyte = pytest.importorskip("pyte", reason="needs pyte, a terminal to look at: pip install pyte")

ROBOT = (
    "yes", "no", "up", "down", "left", "right", "stop", "go", "forward", "backward", "zero", "one",
    "two", "three", "four", "five", "eight",
)  # fmt: skip
STEP = 640
BLOCK = 320


class Clock:
    """Time that passes only when it is told to; drawing takes no processor time but what is set."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.processor_s = 0.0

    def monotonic(self) -> float:
        return self.now_s

    def thread_time(self) -> float:
        return self.processor_s


class Silence(Source):
    """A source that is described but never runs."""

    def __iter__(self):
        return iter(())

    def close(self) -> None:
        pass


class Screen:
    """A terminal to look at, and a view that draws on it."""

    def __init__(
        self,
        *,
        words=ROBOT,
        grammar="robot",
        width=80,
        height=24,
        term="xterm-256color",
        encoding="utf-8",
        description="USB microphone (48 kHz, 2 channels)",
        **options,
    ) -> None:
        self.labels = (*words, "unknown", "silence")
        self.thresholds = dict.fromkeys(words, 0.7)
        manifest = SimpleNamespace(
            name="commands",
            labels=self.labels,
            step_samples=STEP,
            front_end=SimpleNamespace(sample_rate_hz=RATE),
        )
        detector = DetectorConfig(smoothing_steps=5, refractory_ms=400, thresholds=self.thresholds)
        self.memory = (
            Memory(grammar, self.labels, thresholds=self.thresholds, now_s=0.0) if grammar else None
        )
        self.source = Silence(description)
        self.written = io.TextIOWrapper(io.BytesIO(), encoding=encoding, newline="")
        self.console = Console(
            file=self.written,
            force_terminal=True,
            width=width,
            height=height,
            markup=False,
            highlight=False,
            _environ={"TERM": term},
        )
        self.view = LiveView(
            SimpleNamespace(model=SimpleNamespace(manifest=manifest), detector=detector),
            self.source,
            memory=self.memory,
            console=self.console,
            **options,
        )
        self.height = height
        self.width = width
        self.samples = 0
        self.read_bytes = 0
        self.terminal = pyte.HistoryScreen(width, height, history=10_000)
        self.stream = pyte.Stream(self.terminal)

    def raw(self) -> str:
        """What was written since the last call."""
        self.written.flush()
        content = self.written.buffer.getvalue()[self.read_bytes :]
        self.read_bytes += len(content)
        return content.decode(self.written.encoding)

    def lines(self) -> list[str]:
        """What the terminal shows, without empty lines at its end."""
        self.stream.feed(self.raw().replace("\n", "\r\n"))
        return "\n".join(line.rstrip() for line in self.terminal.display).rstrip().split("\n")

    def text(self) -> str:
        return "\n".join(self.lines())

    def row(self, label: str) -> str:
        """The one row of the picture that begins with a label."""
        (row,) = [line for line in self.lines() if line.lstrip().startswith(f"{label} ")]
        return row

    def hear(self, *, samples=None, seconds=0.02, evidence=None, events=(), lost=0) -> None:
        """Let the view hear a block: noise at −30 dBFS if nothing else is given."""
        if samples is None:
            noise = np.random.default_rng(self.samples).normal(0, 0.03, round(seconds * RATE))
            samples = pcm(noise)
        self.samples += lost
        turns = ()
        if self.memory is not None:
            for step in range(self.samples, self.samples + len(samples), STEP):
                self.memory.log_odds(step)
            for event in events:
                self.memory.hear(event.word, event.end_s, event.confidence)
            turns = tuple(self.memory.take_turns())
        rows = np.zeros((0 if evidence is None else 1, len(self.labels)), np.float32)
        for word, share in (evidence or {}).items():
            rows[0, self.labels.index(word)] = share
        self.view.heard(
            Heard(
                samples=samples,
                start_sample=self.samples,
                lost_samples=lost,
                evidence=rows,
                events=tuple(events),
                turns=turns,
            )
        )
        self.samples += len(samples)

    def say(self, word: str, confidence: float = 0.9) -> None:
        """Let the view hear a word, now."""
        at_s = self.samples / RATE
        event = Event(
            word=word,
            confidence=confidence,
            acoustic=confidence,
            start_sample=self.samples,
            end_sample=self.samples,
            start_s=at_s,
            end_s=at_s,
            latency_s=0.001,
        )
        self.hear(evidence={word: confidence}, events=[event])


@pytest.fixture
def clock(monkeypatch) -> Clock:
    """Time of the view's own; every block of sound is drawn if the test says so."""
    clock = Clock()
    monkeypatch.setattr(live, "time", clock)
    return clock


@pytest.fixture(autouse=True)
def _drawn_at_once(request, monkeypatch) -> None:
    """Draw after every block, where it is not the time of drawing that is tested."""
    if "clock" not in request.fixturenames:
        monkeypatch.setattr(live, "REFRESH_S", 0.0)
        monkeypatch.setattr(live, "COST", np.inf)
        monkeypatch.setattr(live, "_LINES_S", 0.0)


def pcm(sound) -> np.ndarray:
    return np.clip(np.rint(np.asarray(sound) * 32768), -32768, 32767).astype(np.int16)


def at_dbfs(level_dbfs: float, seconds: float, *, seed: int = 0) -> np.ndarray:
    """Noise of an RMS level."""
    rng = np.random.default_rng(seed)
    return rng.normal(0, 10 ** (level_dbfs / 20), round(seconds * RATE))


def talking(speech_dbfs: float, noise_dbfs: float, *, words: int = 4) -> np.ndarray:
    """Bursts of half a second, a second apart, over noise."""
    parts = []
    for index in range(words):
        parts += [at_dbfs(noise_dbfs, 1.0, seed=index), at_dbfs(speech_dbfs, 0.5, seed=index)]
    return pcm(np.concatenate([*parts, at_dbfs(noise_dbfs, 0.5, seed=99)]))


def bar_cells(row: str) -> int:
    """How many cells of a bar are filled, whole or half."""
    return sum(row.count(glyph) for glyph in "━╾╋")


# The level


def heard_level(samples: np.ndarray, *, block: int = BLOCK) -> LevelMeter:
    meter = LevelMeter(RATE)
    for start in range(0, len(samples), block):
        meter.feed(samples[start : start + block])
    return meter


def test_the_level_is_rms_and_peak_in_dbfs():
    sine = pcm(0.5 * np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE))
    meter = heard_level(sine)
    assert meter.rms_dbfs == pytest.approx(-9.03, abs=0.05)
    assert meter.peak_dbfs == pytest.approx(-6.02, abs=0.05)


def test_before_any_sound_the_level_is_at_the_floor_and_nothing_is_wrong():
    meter = LevelMeter(RATE)
    assert (meter.rms_dbfs, meter.peak_dbfs) == (FLOOR_DBFS, FLOOR_DBFS)
    assert meter.fault() is None


def test_the_peak_is_held_and_then_forgotten():
    loud, faint = pcm(at_dbfs(-12, 0.1)), pcm(at_dbfs(-50, 1.0))
    meter = heard_level(np.concatenate((loud, faint)))
    assert meter.rms_dbfs < -48
    assert meter.peak_dbfs > -12
    meter.feed(pcm(at_dbfs(-50, 1.0)))
    assert meter.peak_dbfs < -30


@pytest.mark.parametrize("block", [1, 57, 320, 16000, 100_000])
def test_the_level_does_not_depend_on_how_sound_is_cut(block):
    sound = talking(-55, -75)
    meter, reference = heard_level(sound, block=block), heard_level(sound)
    assert meter.rms_dbfs == pytest.approx(reference.rms_dbfs)
    assert meter.speech_dbfs() == reference.speech_dbfs()
    assert meter.fault() is reference.fault() is Fault.TOO_QUIET


@pytest.mark.parametrize(
    ("speech_dbfs", "noise_dbfs", "fault"),
    [
        (-25, -65, None),
        (QUIET_DBFS + 3, -70, None),
        (QUIET_DBFS - 3, -70, Fault.TOO_QUIET),
        (-65, -85, Fault.TOO_QUIET),
        (-60, -60, None),  # nobody speaks: a quiet room is no fault
        (-50, -55, None),  # what hardly stands out of the noise may be anything
    ],
)
def test_speech_is_judged_and_not_the_pauses(speech_dbfs, noise_dbfs, fault):
    assert heard_level(talking(speech_dbfs, noise_dbfs)).fault() is fault


def test_the_level_of_speech_is_what_it_is():
    assert heard_level(talking(-40, -70)).speech_dbfs() == pytest.approx(-40, abs=1)


def test_a_click_is_no_speech():
    sound = pcm(at_dbfs(-75, 5.0))
    sound[40_000:41_000] = pcm(at_dbfs(-55, 1000 / RATE))
    assert heard_level(sound).fault() is None


def test_too_quiet_ends_when_somebody_comes_closer():
    meter = heard_level(talking(-55, -75))
    assert meter.fault() is Fault.TOO_QUIET
    meter.feed(talking(-25, -75))
    assert meter.fault() is None


def test_speech_near_the_bound_does_not_make_the_warning_flicker():
    meter = heard_level(talking(QUIET_DBFS - 1, -75))
    assert meter.fault() is Fault.TOO_QUIET
    meter.feed(talking(QUIET_DBFS + 1, -75, words=7))
    assert meter.fault() is Fault.TOO_QUIET


def test_clipping_is_a_gain_too_high_and_not_one_loud_moment():
    overdriven = pcm(2.0 * np.sin(2 * np.pi * 200 * np.arange(RATE) / RATE))
    meter = heard_level(overdriven)
    assert meter.fault() is Fault.CLIPPING
    meter.feed(pcm(at_dbfs(-30, 4.0)))
    assert meter.fault() is None

    normalised = pcm(at_dbfs(-30, 3.0))
    normalised[20_000:20_005] = 32767
    assert heard_level(normalised).fault() is None


def test_nothing_but_zeros_is_no_sound():
    meter = heard_level(np.zeros(RATE * 2, np.int16))
    assert meter.fault() is Fault.NO_SOUND
    meter.feed(pcm(at_dbfs(-80, 0.1)))
    assert meter.fault() is None


# Rows


def test_a_bar_is_filled_in_half_cells():
    drawn = ["".join(s.text for s in Row().bar(4, n / 8).fit(80)) for n in range(9)]
    assert drawn == [
        "────", "╾───", "━───", "━╾──", "━━──", "━━╾─", "━━━─", "━━━╾", "━━━━",
    ]  # fmt: skip


@pytest.mark.parametrize("cells", [1, 2, 7, 11, 40])
@pytest.mark.parametrize("mark", [0.001, 0.3, 0.69, 1.0])
def test_a_mark_is_passed_exactly_from_its_value_on(cells, mark):
    below, at = (
        "".join(s.text for s in Row().bar(cells, share, mark=mark).fit(80))
        for share in (np.nextafter(mark, 0), mark)
    )
    assert len(below) == len(at) == cells
    assert "┼" in below
    assert "╋" in at
    assert set(at[: at.index("╋")]) <= {"━"}


def test_a_bar_outside_of_its_range_is_empty_or_full():
    for share, bar in [(-3.0, "────"), (7.0, "━━━━")]:
        assert "".join(s.text for s in Row().bar(4, share).fit(80)) == bar


def test_texts_are_cut_with_an_ellipsis_and_cannot_steer_the_terminal():
    assert shortened("microphone", 10) == "microphone"
    assert shortened("microphone", 6) == "micro…"
    assert shortened("マイク", 5) == "マイ…"  # two cells each
    assert shortened("a\x1b[2J\nb\tc", 80) == "a[2J b c"
    assert shortened("a", 0) == ""


# What is drawn


@pytest.mark.parametrize("height", [3, 6, 10, 14, 24, 50])
@pytest.mark.parametrize("width", [10, 24, 40, 59, 80, 140, 300])
@pytest.mark.parametrize("words", [("low", "high"), ROBOT, tuple(f"word{n}" for n in range(60))])
def test_the_picture_stays_within_the_terminal(width, height, words):
    grammar = "robot" if words is ROBOT else None
    screen = Screen(words=words, grammar=grammar, width=width, height=height)
    screen.view.notice("the microphone is gone; waiting until it is back " * 3)
    screen.say(words[0])
    screen.hear(evidence=dict.fromkeys(words, 0.8), lost=1600)
    screen.source.overflow = Overflow(device=12, queue=34, queue_s=5.6)
    screen.hear()
    screen.raw()
    screen.hear()
    picture = screen.raw()
    plain = pyte.Screen(1000, 100)
    pyte.Stream(plain).feed(picture.replace("\n", "\r\n"))
    drawn = [line.rstrip() for line in plain.display]
    assert max(map(len, drawn)) < width
    assert picture.count("\n") < height
    assert f"\x1b[{picture.count(chr(10))}A" in picture  # the cursor is where it was


def test_at_80_by_24_there_is_room_for_words_above_the_picture():
    screen = Screen()
    screen.hear(evidence={})
    lines = screen.lines()
    assert len(lines) <= 24 - 8 + 1
    for word in (*ROBOT, "unknown", "level", "follow-up", "direction", "last", "heard"):
        assert sum(line.split().count(word) for line in lines) >= 1, word


def test_a_wider_terminal_has_longer_bars():
    longest = {}
    for width in (80, 100, 140):
        screen = Screen(width=width)
        screen.hear(evidence={"yes": 1.0})
        (row,) = [line for line in screen.lines() if line.startswith(" yes ")]
        longest[width] = bar_cells(row)
    assert longest[80] < longest[100] < longest[140]


def test_a_bar_shows_the_evidence_and_whether_it_passes_the_threshold():
    screen = Screen(words=("low", "high"), grammar=None)
    screen.hear(evidence={"low": 0.69, "high": 0.71, "unknown": 0.25})
    low, high, unknown = (screen.row(name) for name in ("low", "high", "unknown"))
    assert "┼" in low
    assert "69" in low
    assert "╋" in high
    assert "71" in high
    assert "25" in unknown
    assert not {"┼", "╋"} & set(unknown)  # what is no word has no threshold
    assert bar_cells(unknown) < bar_cells(low) < bar_cells(high)


def test_thresholds_in_force_are_drawn_and_not_those_of_the_manifest(tones_model):
    detector = DetectorConfig(
        smoothing_steps=4, refractory_ms=300, thresholds={"low": 0.2, "high": 0.9}
    )
    written = io.StringIO()
    console = Console(file=written, force_terminal=True, width=80, _environ={"TERM": "xterm"})
    spotter = Spotter(tones_model, detector=detector)
    view = LiveView(spotter, Silence("tones"), memory=None, console=console)
    view.notice("drawn")
    low, high = (
        line for line in written.getvalue().splitlines() if "low" in line or "high" in line
    )
    assert low.index("┼") < high.index("┼")


def test_evidence_that_came_and_went_between_two_pictures_is_seen(clock):
    screen = Screen(words=("low", "high"), grammar=None)
    screen.hear(evidence={})
    screen.hear(evidence={"low": 0.64})
    screen.hear(evidence={"low": 0.1})
    clock.now_s += 1
    screen.hear(evidence={"low": 0.05})
    assert "64" in screen.row("low")
    clock.now_s += 1
    screen.hear(evidence={"low": 0.05})
    assert "5" in screen.row("low").split()


def test_what_a_word_came_to_fades():
    screen = Screen(words=("low", "high"), grammar=None)
    screen.hear(evidence={"low": 0.6})
    lengths = [bar_cells(screen.row("low"))]
    for _ in range(3):
        for _ in range(6):
            screen.hear(evidence={"low": 0.0})
        lengths.append(bar_cells(screen.row("low")))
    assert lengths == sorted(lengths, reverse=True)
    assert lengths[0] > lengths[1] > lengths[-1] == 0


def test_of_60_words_those_with_the_most_evidence_are_drawn():
    words = tuple(f"word{n:02}" for n in range(60))
    screen = Screen(words=words, grammar=None)
    screen.hear(evidence={})
    first = {word for word in words if word in screen.text()}
    assert 18 <= len(first) < 60
    screen.hear(evidence={"word57": 0.9, "word58": 0.4})
    shown = {word for word in words if word in screen.text()}
    assert {"word57", "word58"} <= shown
    assert len(shown) == len(first)
    assert len(shown - first) == 2  # the others stay where they are
    assert "unknown" in screen.text()


def test_a_large_terminal_has_room_for_60_words():
    words = tuple(f"word{n:02}" for n in range(60))
    screen = Screen(words=words, grammar=None, width=140, height=40)
    screen.hear(evidence={})
    assert all(word in screen.text() for word in words)


def test_words_and_commands_scroll_above_the_picture_as_the_plain_lines():
    screen = Screen()
    screen.hear(seconds=1.0)
    screen.say("left")
    screen.hear(seconds=1.0)
    screen.say("three", 0.78)
    lines = screen.lines()
    assert lines[:4] == [
        "     1.00 s  left           90%      1 ms later",
        "             · pending: waiting for number",
        "     2.02 s  three          78%      1 ms later",
        "             ⇒ move left by three   70%",
    ]
    assert lines[4] == ""
    assert "commands · robot" in lines[5]
    assert "USB microphone (48 kHz, 2 channels)" in lines[5]
    assert "2 words, 1 command" in lines[-1]


def test_the_level_is_drawn():
    screen = Screen()
    screen.hear(samples=pcm(at_dbfs(-30, 0.5)))
    assert "−30 dBFS" in screen.row("level")
    loud = bar_cells(screen.row("level"))
    screen.hear(samples=pcm(at_dbfs(-50, 2.0)))
    assert "−50 dBFS" in screen.row("level")
    assert bar_cells(screen.row("level")) < loud


@pytest.mark.parametrize(
    ("bad", "title", "remedy"),
    [
        (talking(-60, -80), "too quiet", "raise the gain in your sound settings, or come closer"),
        (pcm(at_dbfs(0, 1.0)), "clipping", "lower the gain in your sound settings"),
        (np.zeros(RATE * 2, np.int16), "no sound", "is the microphone muted"),
    ],
)
def test_a_bad_level_is_named_with_what_to_do_and_vanishes_with_its_cause(bad, title, remedy):
    screen = Screen()
    screen.hear()
    assert "listening" in screen.text()
    screen.hear(samples=bad)
    assert title in screen.text()
    assert remedy in screen.text()
    assert "listening" not in screen.text()
    screen.hear(samples=talking(-25, -60, words=7))
    assert title not in screen.text()
    assert "listening" in screen.text()


def test_on_a_narrow_terminal_the_remedy_is_short():
    screen = Screen(width=40)
    screen.hear(samples=talking(-60, -80))
    assert "too quiet   raise the gain" in screen.text()


def test_a_notice_is_shown_at_once_and_until_there_has_been_sound_for_a_while():
    screen = Screen()
    screen.view.notice("the microphone is gone; waiting until it is back")
    assert "waiting until it is back" in screen.row("notice")
    for _ in range(4):
        screen.hear(seconds=1.0)
    assert "waiting until it is back" in screen.row("notice")
    screen.view.notice("the microphone is back")
    assert "the microphone is back" in screen.row("notice")
    screen.hear(seconds=5.0)
    assert "listening" in screen.text()
    assert screen.lines()[:2] == [
        "harken: warning: the microphone is gone; waiting until it is back",
        "harken: warning: the microphone is back",
    ]


def test_what_is_no_warning_is_not_called_one():
    screen = Screen()
    screen.view.notice(Announcement("127.0.0.1:4711 sends"))
    assert "127.0.0.1:4711 sends" in screen.row("notice")
    assert screen.lines()[0] == "127.0.0.1:4711 sends"


def test_quiet_notices_leave_no_lines():
    screen = Screen(quiet=True)
    screen.view.notice("the microphone is gone")
    assert "the microphone is gone" in screen.row("notice")
    assert "warning" not in screen.text()


def test_lost_sound_is_counted():
    screen = Screen()
    screen.hear()
    assert "nothing lost" in screen.text()
    screen.source.overflow = Overflow(device=1, queue=10, queue_s=0.2)
    screen.hear(lost=3200)  # the very ones that the queue dropped
    assert "· 1 xrun, 0.20 s too slow · real-time factor" in screen.lines()[-1]
    screen.hear(lost=RATE)
    assert "1 xrun, 0.20 s too slow, 1.00 s missing ·" in screen.lines()[-1]


def test_figures_that_do_not_fit_are_left_out_whole():
    for width in range(20, 100):
        screen = Screen(width=width)
        screen.hear(seconds=1.0)
        parts = screen.lines()[-1].strip().split(" · ")
        expected = ("0:01 heard", "nothing lost", "real-time factor", "0 words, 0 commands")
        assert all(part.startswith(want) for part, want in zip(parts, expected, strict=False))
        assert not parts[2:] or len(parts[2]) >= len("real-time factor 0.000")


def test_the_real_time_factor_is_processor_time_over_sound(clock):
    screen = Screen()
    screen.hear(seconds=1.0)
    clock.processor_s += 0.05
    clock.now_s += 10
    screen.hear(seconds=1.0)
    assert "0:02 heard" in screen.text()
    assert "real-time factor 0.025" in screen.text()


# Memory


def test_the_follow_up_window_shrinks_and_closes():
    screen = Screen()
    screen.hear()
    assert "closed" in screen.row("follow-up")
    screen.say("left")
    lengths = []
    for _ in range(9):
        lengths.append(bar_cells(screen.row("follow-up")))
        screen.hear(seconds=1.0)
    assert lengths == sorted(lengths, reverse=True)
    assert lengths[0] > lengths[4] > lengths[-1] == 0
    assert "closed" in screen.row("follow-up")


def test_what_is_pending_is_told():
    screen = Screen()
    screen.say("backward")
    assert "waiting for number: move backward by …" in screen.row("follow-up")
    screen.say("two")
    assert "“yes”? move backward by two" in screen.row("follow-up")
    screen.say("yes")
    assert "nothing is pending" in screen.row("follow-up")


def test_a_remembered_slot_fades_and_is_forgotten():
    screen = Screen()
    screen.say("left")
    assert "left" not in screen.row("direction")  # not yet: it was not carried out
    screen.say("three")
    lengths = []
    for second in range(31):
        row = screen.row("direction")
        if second < 30:
            assert f"left, {second} s ago" in row
        lengths.append(bar_cells(row))
        screen.hear(seconds=1.0)
    assert lengths == sorted(lengths, reverse=True)
    assert lengths[-1] < lengths[0] / 10
    assert "left" not in screen.row("direction")


def test_the_command_that_can_be_repeated_is_told():
    screen = Screen()
    screen.say("left")
    screen.say("three")
    assert "move left by three, 0 s ago; “go”: again" in screen.row("last")
    screen.say("stop")
    assert "three" not in screen.row("last")


def test_only_what_a_grammar_can_remember_has_a_row():
    screen = Screen(grammar="media")
    screen.say("up")
    text = screen.text()
    assert "waiting for amount: volume up …" in text
    assert not any(line.startswith((" direction ", " last ")) for line in text.splitlines())
    without_memory = Screen(grammar=None)
    without_memory.say("up")
    assert "follow-up" not in without_memory.text()


def test_a_muted_memory_is_told():
    screen = Screen()
    screen.hear()
    screen.memory.mute()
    screen.hear()
    assert "words are ignored" in screen.row("muted")
    screen.memory.unmute(tail_s=0.0)
    screen.hear()
    assert "listening" in screen.text()


# The terminal


def test_nothing_is_drawn_before_there_is_something_to_show():
    screen = Screen()
    assert screen.raw() == ""
    screen.view.close()
    assert screen.raw() == ""


def test_the_cursor_is_hidden_and_comes_back():
    screen = Screen()
    screen.hear()
    assert "\x1b[?25l" in screen.raw()
    screen.view.close()
    assert screen.raw().endswith("\x1b[?25h")
    screen.view.close()
    assert screen.raw() == ""


def test_what_stays_are_the_lines_and_nothing_else():
    screen = Screen()
    screen.say("left")
    screen.hear(seconds=1.0)
    screen.say("three")
    screen.view.close()
    assert [line.split()[:3] for line in screen.lines()] == [
        ["0.00", "s", "left"],
        ["·", "pending:", "waiting"],
        ["1.02", "s", "three"],
        ["⇒", "move", "left"],
    ]


def test_an_exception_leaves_the_terminal_clean():
    screen = Screen()
    with contextlib.suppress(KeyboardInterrupt), screen.view:
        screen.say("stop")
        raise KeyboardInterrupt
    assert len(screen.lines()) == 2
    assert screen.terminal.cursor.hidden is False
    assert screen.terminal.cursor.x == 0


def test_lines_that_were_not_printed_yet_are_printed_at_the_end(clock):
    screen = Screen()
    screen.say("left")
    screen.say("three")  # at the same moment
    screen.view.close()
    assert "move left by three" in screen.text()


def test_many_words_scroll_and_none_is_lost():
    screen = Screen(height=20)
    said = [ROBOT[index % len(ROBOT)] for index in range(40)]
    for word in said:
        screen.say(word)
        screen.hear(seconds=1.0)
    screen.view.close()
    text = screen.text()
    above = [
        "".join(line[column].data for column in range(80)).rstrip()
        for line in screen.terminal.history.top
    ]
    words = [line.split()[2] for line in [*above, *text.splitlines()] if " later" in line]
    assert words == said
    assert not any("━" in line or "─" in line for line in [*above, *text.splitlines()])


def test_what_another_program_prints_stays_to_be_read():
    screen = Screen()
    screen.hear()
    screen.text()
    screen.stream.feed("robot: driving\r\n")
    screen.hear()
    screen.say("stop")
    lines = screen.lines()
    assert lines[0] == "robot: driving"
    assert lines[1].split()[2] == "stop"
    assert sum("commands · robot" in line for line in lines) == 1


def test_a_terminal_that_changes_its_size_is_drawn_for_its_new_size():
    screen = Screen(width=140, height=40)
    screen.hear()
    screen.text()
    for width, height in [(60, 24), (30, 10), (200, 60)]:
        screen.console.size = (width, height)
        screen.terminal.resize(height, width)
        screen.hear()
        assert sum("── commands" in line for line in screen.lines()) == 1
        assert "level" in screen.text()


def test_a_dumb_terminal_gets_the_lines_alone():
    screen = Screen(term="dumb")
    screen.hear()
    screen.say("left")
    screen.view.notice("the microphone is gone")
    screen.view.close()
    written = screen.raw()
    assert "\x1b[?25" not in written
    assert "━" not in written
    assert len(written.splitlines()) == 3


def test_a_terminal_without_unicode_gets_ascii():
    screen = Screen(encoding="ascii")
    screen.hear(evidence={"yes": 0.8})
    picture = screen.raw()
    assert picture.isascii()
    terminal = pyte.Screen(80, 24)
    pyte.Stream(terminal).feed(picture.replace("\n", "\r\n"))
    assert any("yes      =======#" in line for line in terminal.display), terminal.display


def test_no_color_is_respected(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    written = io.StringIO()
    environment = {"TERM": "xterm-256color", "NO_COLOR": "1"}
    console = Console(file=written, force_terminal=True, width=80, _environ=environment)
    spotter = SimpleNamespace(
        model=SimpleNamespace(
            manifest=SimpleNamespace(
                name="tones",
                labels=("low", "unknown"),
                step_samples=STEP,
                front_end=SimpleNamespace(sample_rate_hz=RATE),
            )
        ),
        detector=DetectorConfig(smoothing_steps=1, refractory_ms=0, thresholds={"low": 0.5}),
    )
    LiveView(spotter, Silence("x"), memory=None, console=console).notice("gone")
    assert "gone" in written.getvalue()
    assert "\x1b[3" not in written.getvalue()
    assert "\x1b[4" not in written.getvalue()


# Cost


def pictures(written: str) -> int:
    return written.count("dBFS")


def test_it_draws_five_times_a_second_at_most(clock):
    screen = Screen()
    for _ in range(500):  # 10 s
        screen.hear(evidence={"yes": 0.5})
        clock.now_s += BLOCK / RATE
    assert 45 <= pictures(screen.raw()) <= 51


def test_a_file_that_is_heard_faster_than_it_plays_costs_no_more(clock):
    screen = Screen()
    for _ in range(2000):
        screen.hear()
        clock.now_s += 0.0005
    assert pictures(screen.raw()) <= 6


def test_a_word_is_printed_at_once_but_not_each_in_a_picture_of_its_own(clock):
    screen = Screen()
    screen.hear()
    clock.now_s += 0.06
    screen.say("left")
    assert "left" in screen.text()
    drawn = 0
    for _ in range(100):  # as fast as a file can be read
        clock.now_s += 0.001
        screen.say("stop")
        drawn += pictures(screen.raw())
    assert drawn <= 2


def test_a_slow_computer_draws_less_often(clock, monkeypatch):
    screen = Screen()
    draw = screen.view._draw

    def slowly(width, height):
        clock.processor_s += 0.02
        return draw(width, height)

    monkeypatch.setattr(screen.view._footer, "_draw", slowly)
    for _ in range(1000):  # 20 s
        screen.hear()
        clock.now_s += BLOCK / RATE
    assert 8 <= pictures(screen.raw()) <= 12  # 1 % of a core


def test_a_picture_takes_little_processor_time():
    screen = Screen()
    screen.hear()
    durations = []
    for _ in range(50):
        samples = pcm(at_dbfs(-30, 0.2))
        before_s = time.process_time()
        screen.hear(samples=samples, evidence={"yes": 0.5})
        durations.append(time.process_time() - before_s)
    # Five a second may take 2 % of a core; this is an upper bound for slow and busy machines.
    assert sorted(durations)[25] < 0.02


# With what listens


class Tones(Source):
    """Two words in noise."""

    def __iter__(self):
        parts = [hiss(1.0, level=0.002), tone("low"), hiss(0.6, level=0.002), tone("high")]
        sound = pcm(np.concatenate([*parts, hiss(1.0, level=0.002)]))
        for start in range(0, len(sound), BLOCK):
            yield Block(samples=sound[start : start + BLOCK], arrived_at=time.monotonic())

    def close(self) -> None:
        pass


def test_a_listener_is_followed_from_sound_to_screen(tones_model):
    written = io.StringIO()
    console = Console(
        file=written, force_terminal=True, width=80, height=24, _environ={"TERM": "xterm"}
    )
    spotter, source = Spotter(tones_model), Tones("tones")
    with LiveView(spotter, source, memory=None, console=console) as view:
        Listener(spotter, source, observers=[view]).run()
        terminal = pyte.Screen(80, 24)
        pyte.Stream(terminal).feed(written.getvalue().replace("\n", "\r\n"))
        text = "\n".join(terminal.display)
        assert "tones" in text
        assert "2 words" in text
        assert "0:03 heard" in text
    terminal = pyte.Screen(80, 24)
    pyte.Stream(terminal).feed(written.getvalue().replace("\n", "\r\n"))
    left = [line.split()[2] for line in terminal.display if line.strip()]
    assert left == ["low", "high"]


DRIVER = """
import signal, sys, time
from pathlib import Path
signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever started this may ignore it
sys.path[:] = {path!r}
from test_view import Tones
from harken.edge import Spotter
from harken.edge.app.display import output
from harken.edge.app.listen import Listener
from harken.edge.sound.sources import RealTime
from harken.edge.app.view import LiveView

spotter = Spotter({model!r})
source = RealTime(Tones("tones"))
with LiveView(spotter, source, memory=None, console=output()) as view, source:
    Listener(spotter, source, observers=[view]).run()
    time.sleep(60)  # until it is interrupted, however slow this machine is
"""


@pytest.mark.slow
def test_ctrl_c_in_a_real_terminal_leaves_it_clean(tones_model):
    pty = pytest.importorskip("pty")
    main, other = pty.openpty()
    script = DRIVER.format(path=sys.path, model=str(tones_model.path))
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        stdin=other,
        stdout=other,
        stderr=subprocess.PIPE,
        env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24"},
    )
    os.close(other)
    written = b""
    deadline = time.monotonic() + 30
    while b"low" not in written or b"0:02 heard" not in written:
        assert time.monotonic() < deadline, written
        written += os.read(main, 65536)
    process.send_signal(signal.SIGINT)
    try:
        while chunk := os.read(main, 65536):
            written += chunk
    except OSError:  # Linux says so when nobody has the other end any more
        pass
    os.close(main)
    with process:
        assert b"KeyboardInterrupt" in process.stderr.read()
    terminal = pyte.Screen(80, 24)
    pyte.ByteStream(terminal).feed(written)
    left = [line.split()[2] for line in terminal.display if line.strip()]
    assert left in (["low"], ["low", "high"])
    assert not terminal.cursor.hidden
