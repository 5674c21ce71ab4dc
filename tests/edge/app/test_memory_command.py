"""Commands, memory and grammars at the command line, and in programs of one's own."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import tones
from command import harken
from conftest import DATA
from observing import Notes

from harken.edge import Spotter, load_model
from harken.edge.app.listen import Heard, Listener
from harken.edge.errors import GrammarError
from harken.edge.memory.action import Action, ActionError
from harken.edge.memory.dialogue import Dialogue
from harken.edge.memory.grammar_file import load_grammar, parse_grammar
from harken.edge.memory.memory import Memory
from harken.edge.memory.store import Store
from harken.edge.memory.turns import Command
from harken.edge.sound.sources import AudioFile
from harken.edge.spotting.spotter import FILL_S

MODEL = DATA / "tones.tflite"


@pytest.fixture
def grammar(tmp_path: Path) -> Path:
    path = tmp_path / "beeps.toml"
    path.write_text(tones.BEEPS)
    return path


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "spoken.wav"
    soundfile.write(path, tones.stream("low", "high", "high"), tones.RATE)
    return path


def listen(*options: object) -> list[dict]:
    heard = harken("listen", MODEL, *options, "--json")
    assert heard.exit_code == 0, heard.err
    return [json.loads(line) for line in heard.out.splitlines()]


def test_commands_are_lines_of_json(grammar, recording):
    lines = listen("--wav", recording, "--grammar", grammar)
    kinds = [line.get("word") or line.get("command") or line.get("turn") for line in lines]
    assert kinds == ["low", "pending", "high", "beep", "high", "beep"]
    assert lines[1]["reason"] == "waiting for second"
    first, second = (line for line in lines if "command" in line)
    assert first["remembered"] == {}
    assert set(second["remembered"]) == {"first"}
    assert 0.2 < second["remembered"]["first"] < 5
    assert second["slots"] == {"first": "low", "second": "high"}


def test_commands_are_lines_for_people(grammar, recording):
    heard = harken("listen", MODEL, "--wav", recording, "--grammar", grammar)
    assert "· pending: waiting for second" in heard.out
    assert "⇒ beep low high" in heard.out
    assert "remembered: low from" in heard.out


def test_without_a_grammar_there_are_only_words(recording):
    assert [line["word"] for line in listen("--wav", recording)] == ["low", "high", "high"]


def test_a_memory_lasts_from_one_time_to_the_next(grammar, recording, tmp_path):
    kept = tmp_path / "kept.json"
    listen("--wav", recording, "--grammar", grammar, "--memory", kept)
    shown = harken("memory", "show", grammar, "--memory", kept)
    assert "first = low, second = high" in shown.out
    content = json.loads(harken("memory", "show", grammar, "--memory", kept, "--json").out)
    assert content["state"]["last"]["intent"] == "beep"
    copy = tmp_path / "copy.json"
    assert harken("memory", "export", copy, grammar, "--memory", kept).exit_code == 0
    assert json.loads(copy.read_text())["state"] == content["state"]
    high = tmp_path / "high.wav"
    soundfile.write(high, tones.stream("high"), tones.RATE)
    lines = listen("--wav", high, "--grammar", grammar, "--memory", copy)
    assert [line["command"] for line in lines if "command" in line] == ["beep"]
    assert harken("memory", "forget", grammar, "--memory", kept).exit_code == 0
    assert not kept.exists()
    assert "there is no" in harken("memory", "show", grammar, "--memory", kept).out
    assert "there is no" in harken("memory", "forget", grammar, "--memory", kept).err
    gone = harken("memory", "export", copy, grammar, "--memory", kept)
    assert gone.exit_code == 1
    assert f"harken listen --grammar {grammar}` makes it, and --memory FILE" in gone.error


def test_a_memory_is_not_exported_over_something_else(grammar, recording, tmp_path):
    kept, other = tmp_path / "kept.json", tmp_path / "package.json"
    listen("--wav", recording, "--grammar", grammar, "--memory", kept)
    other.write_text("{}")
    done = harken("memory", "export", other, grammar, "--memory", kept)
    assert done.exit_code == 1
    assert "package.json exists, but is not a memory; choose another name" in done.error
    copy = tmp_path / "my copy.json"
    for _ in range(2):
        done = harken("memory", "export", copy, grammar, "--memory", kept)
        assert f"--memory '{copy}'" in done.err


def test_a_memory_in_use_is_not_forgotten_but_refused(grammar, recording, tmp_path):
    kept = tmp_path / "kept.json"
    listen("--wav", recording, "--grammar", grammar, "--memory", kept)
    store = Store(kept, on_warning=print)
    refused = harken("memory", "forget", grammar, "--memory", kept)
    assert refused.exit_code == 1
    assert "stop it, then forget" in refused.error
    assert kept.exists()
    store.close()
    assert harken("memory", "forget", grammar, "--memory", kept).exit_code == 0


@pytest.mark.parametrize("command", ["show", "forget"])
def test_a_folder_is_no_memory(grammar, tmp_path, command):
    refused = harken("memory", command, grammar, "--memory", tmp_path)
    assert refused.exit_code == 2
    assert "is a folder; name a file" in refused.err


def test_no_memory_keeps_nothing(grammar, recording, tmp_path):
    kept = tmp_path / "kept.json"
    listen("--wav", recording, "--grammar", grammar, "--memory", kept, "--no-memory")
    assert not kept.exists()


def test_a_damaged_memory_is_shown_as_such(grammar, tmp_path):
    (tmp_path / "kept.json").write_text("{")
    shown = harken("memory", "show", grammar, "--memory", tmp_path / "kept.json")
    assert shown.exit_code == 1
    assert "cut short or damaged; `harken memory forget` removes it" in shown.error


@pytest.mark.parametrize("command", ["show", "forget"])
def test_a_file_of_somebody_else_is_no_memory(grammar, tmp_path, command):
    (tmp_path / "notes.txt").write_text("milk, eggs")
    refused = harken("memory", command, grammar, "--memory", tmp_path / "notes.txt")
    assert refused.exit_code == 1
    assert "notes.txt" in refused.error
    assert "is no memory of harken's" in refused.error
    assert (tmp_path / "notes.txt").read_text() == "milk, eggs"


def test_a_program_is_run_for_each_command(grammar, recording, tmp_path):
    log = tmp_path / "log"
    code = "import sys; open(sys.argv[1], 'a').write(repr(sys.argv[2:]) + chr(10))"
    line = f"{sys.executable} -c \"{code}\" {log} {{intent}} {{first}} 'to {{second}}; rm'"
    listen("--wav", recording, "--grammar", grammar, "--exec", line)
    assert log.read_text().splitlines() == [repr(["beep", "low", "to high; rm"])] * 2


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("", "--exec is empty"),
        ("'", "no closing quotation"),
        ("no-such-program {first}", "there is no program 'no-such-program'"),
        ("echo {third}", "{third} is nothing that a command has; there are {intent}, {text}"),
    ],
)
def test_what_cannot_be_run_is_told_before_anybody_listens(grammar, recording, line, said):
    done = harken("listen", MODEL, "--wav", recording, "--grammar", grammar, "--exec", line or " ")
    assert done.exit_code == 2
    assert said in done.error


def command(**values: object) -> Command:
    state = Dialogue(parse_grammar(tones.BEEPS)).state
    return Command(
        intent="beep", slots={}, values=values, remembered={}, confidence=1.0, repeated=False,
        text="beep", at_s=0.0, before=state, after=state,
    )  # fmt: skip


def test_what_fills_a_blank_stays_one_argument():
    action = Action("echo {first} x{second}", parse_grammar(tones.BEEPS), on_warning=print)
    arguments = action.arguments(command(first="$(reboot) ; a b", second="{first}"))
    assert arguments == ["echo", "$(reboot) ; a b", "x{first}"]
    assert action.arguments(command()) == ["echo", "", "x"]


def test_a_program_that_fails_is_told():
    warnings: list[str] = []
    action = Action("false", parse_grammar(tones.BEEPS), on_warning=warnings.append)
    action.run(command())
    action.close()
    assert warnings == ["false failed with exit code 1"]


def test_programs_do_not_pile_up():
    warnings: list[str] = []
    action = Action("sleep 1", parse_grammar(tones.BEEPS), on_warning=warnings.append)
    for _ in range(9):
        action.run(command())
    assert warnings == ["8 programs still run; nothing was done about beep"]
    action.close()


def test_an_action_error_is_a_mistake_at_the_command_line():
    assert ActionError.exit_code == 2


@pytest.mark.parametrize(
    ("option", "value"), [("--memory", "x.json"), ("--exec", "echo"), ("--context-weight", "1")]
)
def test_what_needs_a_grammar_says_so(recording, option, value):
    done = harken("listen", MODEL, "--wav", recording, option, value)
    assert done.exit_code == 2
    assert "it needs --grammar" in done.err


def test_a_weight_out_of_range_is_refused(grammar, recording):
    done = harken("listen", MODEL, "--wav", recording, "--grammar", grammar, "--context-weight", 99)
    assert done.exit_code == 2
    assert "at least 0 and at most 10" in done.err


def test_a_grammar_of_other_words_is_refused(recording):
    done = harken("listen", MODEL, "--wav", recording, "--grammar", "robot")
    assert done.exit_code == 9
    assert "the model has no word forward" in done.error


def test_a_grammar_is_checked_and_explained(grammar):
    done = harken("grammar", "check", grammar, "--model", MODEL)
    assert done.exit_code == 0
    assert "beep: say ‹first› ‹second›" in done.out
    data = json.loads(harken("grammar", "check", "robot", "--json").out)
    assert data["commands"] == ["move"]
    listed = harken("grammar", "list").out
    assert "media" in listed
    assert "robot" in listed
    assert [g["name"] for g in json.loads(harken("grammar", "list", "--json").out)] == [
        "media", "robot",
    ]  # fmt: skip


def test_a_wrong_grammar_ends_with_its_own_code(tmp_path):
    (tmp_path / "wrong.toml").write_text("[commands.a]\n")
    done = harken("grammar", "check", tmp_path / "wrong.toml")
    assert done.exit_code == 9
    assert "wrong.toml:1: commands.a has no say" in done.error


# In programs of one's own


def listener(recording: Path, **options: object) -> Listener:
    model = load_model(MODEL)
    memory = Memory.of(parse_grammar(tones.BEEPS), model, now_s=0.0)
    spotter = Spotter(model, context=memory)
    source = AudioFile(recording, sample_rate_hz=tones.RATE)
    return Listener(spotter, source, memory=memory, **options)


def test_functions_are_called_for_commands(recording):
    listening, beeps, everything = listener(recording), [], []

    @listening.on("beep")
    def beep(command):
        beeps.append(command.values)

    listening.on()(everything.append)
    listening.run()
    assert beeps == [{"first": "low", "second": "high"}] * 2
    assert [each.intent for each in everything] == ["beep", "beep"]


def test_a_function_for_no_command_is_a_mistake(recording):
    with pytest.raises(GrammarError, match="no command 'boop'; it has beep"):
        listener(recording).on("boop")


def test_a_device_that_speaks_does_not_hear_itself(recording):
    model = load_model(MODEL)
    memory = Memory.of(parse_grammar(tones.BEEPS), model, now_s=0.0)

    class Speaker(Notes):
        def heard(self, heard: Heard) -> None:
            super().heard(heard)
            if heard.turns:
                memory.mute()

    notes = Speaker()

    listening = Listener(
        Spotter(model, context=memory),
        AudioFile(recording, sample_rate_hz=tones.RATE),
        observers=[notes],
        memory=memory,
    )
    listening.run()
    assert notes.words == ["low"]


def test_a_clock_that_jumps_is_noticed(recording, monkeypatch):
    jumps: list[float] = []
    listening = listener(recording)
    offsets = iter([0.0, 0.0, 3600.0])
    monkeypatch.setattr("harken.edge.app.listen._clock_offset_s", lambda: next(offsets, 3600.0))
    monkeypatch.setattr(Memory, "adjust_clock", lambda self, jump_s: jumps.append(jump_s))
    listening._clock_offset_s = 0.0
    listening.run()
    assert jumps == [3600.0 - FILL_S]  # as long the network hears noise


def test_the_demo_is_understood():
    from harken.edge.app.listen_cli import DEMO

    lines = harken("listen", "--wav", DEMO, "--grammar", "robot", "--json").out.splitlines()
    understood = [json.loads(line) for line in lines if '"command"' in line]
    texts = [each["text"] for each in understood]
    assert texts == [
        "move left by three", "move left by five", "move left by five", "stop",
        "move forward by two", "move backward by one", "move right by zero",
    ]  # fmt: skip
    assert set(understood[1]["remembered"]) == {"direction"}
    assert understood[2]["repeated"]


def test_the_words_of_a_grammar_are_those_of_the_model():
    robot = load_grammar("robot")
    assert sorted(robot.words) == sorted(load_model("commands").manifest.words)
    assert np.isfinite(robot.window_s)
