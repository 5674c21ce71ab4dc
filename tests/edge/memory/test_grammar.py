"""Grammars: what they may say, what is refused and where, and what is said about them."""

from __future__ import annotations

import pytest

from harken.edge.errors import GrammarError
from harken.edge.memory.grammar import explain
from harken.edge.memory.grammar_file import load_grammar, parse_grammar, shipped_grammars
from harken.edge.words import check_word

TEN_LINES = """
[slots]
room = ["kitchen", "bedroom"]
state = { on = 1, off = 0 }

[commands.light]
say = "{room} {state}"
remember = { room = 20 }

[words]
stop = "stop"
"""


def refusal(text: str) -> str:
    with pytest.raises(GrammarError) as caught:
        parse_grammar(text, source="home.toml")
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_a_grammar_of_ones_own_takes_ten_lines():
    grammar = parse_grammar(TEN_LINES)
    assert grammar.words == ("kitchen", "bedroom", "on", "off", "stop")
    (light,) = grammar.commands
    assert [part.name for part in light.pattern] == ["room", "state"]
    assert light.remember == {"room": 20.0}
    assert grammar.slots["state"].words == {"on": 1, "off": 0}
    assert grammar.controls.stop == "stop"
    assert grammar.controls.wake is None


@pytest.mark.parametrize("name", ["robot", "media"])
def test_shipped_grammars_use_words_of_the_shipped_models(name):
    from harken.edge import load_model

    grammar = load_grammar(name)
    assert name in shipped_grammars()
    assert grammar.name == name
    grammar.require_words(load_model("commands").manifest.words)


def test_slots_may_include_others():
    media = load_grammar("media")
    assert media.slots["amount"].words == media.slots["channel"].words


def test_brackets_make_a_part_optional():
    volume = load_grammar("media").commands[0]
    assert [part.optional for part in volume.pattern] == [False, True]


def test_the_digest_tells_meanings_apart_not_wordings():
    grammar = parse_grammar(TEN_LINES)
    assert parse_grammar("# a comment" + TEN_LINES).digest == grammar.digest
    assert parse_grammar('description = "home"' + TEN_LINES).digest == grammar.digest
    assert parse_grammar(TEN_LINES.replace("= 20", "= 21")).digest != grammar.digest


def test_a_grammar_is_explained_in_words():
    text = explain(load_grammar("robot"))
    for said in (
        "move: say ‹direction› ‹number›",
        "“forward zero” means: move forward by zero",
        "‹direction› may be left out for 30 s",
        "with “backward” as ‹direction› it is done only after “yes”",
        "“stop” stops, at any time",
        "repeats the last command for 60 s",
    ):
        assert said in text
    text = explain(load_grammar("media"))
    assert "volume: say ‹change› [‹amount›]" in text
    assert "does the same again" in text


def test_the_example_has_the_words_that_are_taken_if_nobody_says_them():
    text = TEN_LINES.replace("{room} {state}", "{room} [{state}]")
    text = text.replace("remember = { room = 20 }", 'defaults = { state = "off" }')
    assert "“kitchen” means: light kitchen off" in explain(parse_grammar(text))


def test_words_that_the_model_lacks_are_named_with_their_line():
    grammar = parse_grammar(TEN_LINES, source="home.toml")
    with pytest.raises(GrammarError, match=r"home.toml:3: the model has no word bedroom; it has k"):
        grammar.require_words(["kitchen", "on", "off", "stop"])


@pytest.mark.parametrize(
    "word", ["Yes", "grüß", "左", "हाँ", "می\u200cخواهم", "turn_on", "turn on", "o'clock", "5"]
)
def test_what_can_be_recorded_and_trained_can_be_a_word(word):
    assert check_word(word) == word
    grammar = parse_grammar(
        f'[slots]\nx = ["{word}"]\n[commands.a]\nsay = "\'{word}\' on"\n'
        '[commands.b]\nsay = "off {x}"\n[words]\nstop = "stop"'
    )
    assert set(grammar.words) == {word, "on", "off", "stop"}
    grammar.require_words([word, "on", "off", "stop"])


def test_words_have_capitals_and_one_form_of_unicode():
    grammar = parse_grammar('[commands.x]\nsay = "Yes Tu\u0308r"', source="home.toml")
    assert grammar.words == ("Yes", "Tür")
    grammar.require_words(["Yes", "Tür"])
    with pytest.raises(GrammarError, match="no word Yes; it has yes, Tür; did you mean 'yes'"):
        grammar.require_words(["yes", "Tür"])


def test_an_intent_that_is_not_there_is_named():
    grammar = parse_grammar(TEN_LINES)
    grammar.require_intent("light")
    grammar.require_intent("stop")
    with pytest.raises(GrammarError, match="no command 'lamp'; it has light, stop"):
        grammar.require_intent("lamp")


def test_a_missing_file_names_the_grammars_that_ship(tmp_path):
    with pytest.raises(GrammarError, match=r"No such file.*media, robot"):
        load_grammar(tmp_path / "home.toml")


def test_a_file_that_is_no_text_is_refused(tmp_path):
    (tmp_path / "home.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(GrammarError, match="not UTF-8"):
        load_grammar(tmp_path / "home.toml")


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("[slots]", "[slots", "home.toml:2: "),
        (
            '"bedroom"]',
            '"bedroom", "@state"]\nx = ["@room"]\ny = ["@x"]',
            "no command has the slot",
        ),
        (
            '"bedroom"]',
            '"@loop"]\nloop = ["@room"]',
            "3: slots include each other in a loop, room → ",
        ),
        ('"bedroom"]', '"@attic"]', "3: slots.room includes @attic, but there is no such slot"),
        ('"bedroom"]', '"kitchen"]', "3: slots.room has something twice"),
        ('"bedroom"]', '"bed/room"]', "3: 'bed/room' holds '/', which a word cannot have"),
        ('"bedroom"]', '"-bedroom"]', "3: '-bedroom' begins with '-'"),
        ('"bedroom"]', '"unknown"]', "3: 'unknown' is a label that every model has"),
        ('"bedroom"]', '"kitchen"]', "has something twice, 'kitchen'; remove one of them"),
        ('"bedroom"]', "3]", "3: slots.room has 3, which is no word; write one in quotes"),
        ('["kitchen", "bedroom"]', "[]", "3: no word fills the slot room"),
        ('["kitchen", "bedroom"]', '"kitchen"', "3: slots.room is 'kitchen'; it must be a list"),
        ("on = 1", "on = [1]", "4: slots.state.on is [1]; give a number or a text"),
        ("state =", "text =", "4: a slot cannot be called 'text'"),
        (
            "[commands.light]",
            'lamp = ["lamp"]\n\n[commands.light]',
            "6: no command has the slot lamp",
        ),
        ("{room} {state}", "{room} {stat}", "7: there is no slot 'stat'; did you mean state?"),
        ("{room} {state}", "{room} {room}", "7: 'room' occurs twice"),
        ("{room} {state}", "[{room}] {state}", "7: 'state' comes after a part in brackets"),
        ("{room} {state}", "{room} {state", "7: '{room} {state' cannot be read from '{state' on"),
        ("{room} {state}", "{room} {state} stop", "7: 'stop' stands in [words]"),
        ('"{room} {state}"', "3", "7: commands.light.say is 3"),
        ("say =", "said =", "6: commands.light has no say"),
        (
            "remember",
            "remembre",
            "8: commands.light.remembre is no setting; did you mean remember?",
        ),
        ("{ room = 20 }", "{ attic = 20 }", "8: commands.light.remember: 'attic' is no slot"),
        ("{ room = 20 }", "{ room = -1 }", "8: commands.light.remember.room is -1; it must be"),
        ("{ room = 20 }", "20", "8: commands.light.remember is 20; it must be { SLOT"),
        ("remember = { room = 20 }", "defaults = { room = 'attic' }", "8: 'attic' does not fill"),
        ("remember = { room = 20 }", "confirm = true", "8: nothing says yes and no to it"),
        ("remember = { room = 20 }", "repeat = 'maybe'", "8: commands.light.repeat is 'maybe'"),
        (
            "remember = { room = 20 }",
            "says = 'light {lamp}'",
            "8: commands.light.says: {lamp} is no slot of what is said, '{room} {state}'",
        ),
        (
            '{room} {state}"\nremember',
            "{room} [state]\"\nsays = '{room} {state}'\nremember",
            "8: commands.light.says: {state} is no slot of what is said, '{room} [state]'; "
            "write {state} or [{state}] there",
        ),
        ("stop = ", "halt = ", "11: words.halt is no setting; "),
        ('"stop"', '"on"', "4: 'on' stands in [words], so it never fills a slot"),
        ('"stop"', '"stop"\ncancel = "stop"', "12: 'stop' cannot be both stop and cancel"),
        ("[slots]", "window = 3\n[slots]", "2: window is no setting; did you mean window_s?"),
        ("[slots]", "window_s = 0\n[slots]", "2: window_s is 0; it must be a number of seconds"),
        ("[slots]", "settle_s = 9\n[slots]", "2: settle_s is 9; it must be less than window_s, 8"),
        ("[slots]", "max_window_s = 3\n[slots]", "2: max_window_s is 3; it must be at least"),
        ("[slots]", "max_turns = 1\n[slots]", "2: max_turns is 1; it must be in 2..1000"),
        ("[slots]", "name = 'a b'\n[slots]", "2: name is 'a b'"),
        ("[slots]", "description = 3\n[slots]", "2: description is 3"),
        ("[words]", "[commands.light]\nsay = '{room}'\n[words]", "the command light occurs twice"),
        ("[words]", "[commands.lamp]\nsay = '{room}'\n[words]", "nobody can say lamp"),
        ("[words]", "[commands.stop]\nsay = '{room}'\n[words]", "cannot be called 'stop'"),
    ],
)
def test_what_is_wrong_is_named_with_its_line_and_the_remedy(before, after, said):
    assert before in TEN_LINES
    message = refusal(TEN_LINES.replace(before, after, 1))
    assert message.startswith("home.toml:")
    assert said in message


def test_a_memory_in_place_of_a_grammar_is_told_apart():
    assert refusal('{"harken_memory": 1}').startswith("home.toml:1: this is JSON, and a grammar is")


def test_a_grammar_without_commands_is_refused():
    assert "there is no command" in refusal('[words]\nstop = "stop"\n')
