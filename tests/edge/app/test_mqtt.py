"""What `harken listen --mqtt` publishes, at a real broker that goes, comes, refuses and hangs."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from command import harken
from tones import BEEPS, stream

from harken.edge import Model, Spotter
from harken.edge.app.listen import Listener
from harken.edge.app.serve.broker import PASSWORD_VARIABLE, MqttError, parse_broker
from harken.edge.app.serve.home_assistant import node_of
from harken.edge.app.serve.mqtt import mqtt_publisher
from harken.edge.app.serve.outbox import Message as Put
from harken.edge.app.serve.outbox import Outbox
from harken.edge.memory.grammar import Grammar
from harken.edge.memory.grammar_file import load_grammar
from harken.edge.memory.memory import Memory
from harken.edge.sound.pcm import Chunks

pytest.importorskip("paho.mqtt.client", reason="needs harken[mqtt]")

from mosquitto import PROGRAM, Mosquitto, Subscriber, free_port, wait_until

from harken.edge.app.serve import publisher as publisher_module
from harken.edge.app.serve.publisher import MqttPublisher

needs_mosquitto = pytest.mark.skipif(
    PROGRAM is None, reason="needs Mosquitto (Debian: apt-get install mosquitto)"
)
SECRET = "xyzzy-9f2c"


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reconnect soon, for the sake of the tests' time; no password from outside."""
    monkeypatch.setattr(publisher_module, "_FIRST_WAIT_S", 0.1)
    monkeypatch.setattr(publisher_module, "_LONGEST_WAIT_S", 0.4)
    monkeypatch.delenv(PASSWORD_VARIABLE, raising=False)


@pytest.fixture
def grammar(tmp_path: Path) -> Grammar:
    path = tmp_path / "beeps.toml"
    path.write_text(BEEPS)
    return load_grammar(str(path))


class House:
    """A publisher and what it warns of; says words by letting a listener hear them."""

    def __init__(
        self, url: str, model: Model, *, grammar: Grammar | None = None, **options: Any
    ) -> None:
        self.warnings: list[str] = []
        self.model = model
        self.grammar = grammar
        made = mqtt_publisher(
            url, model=model, grammar=grammar, on_warning=self.warnings.append, **options
        )
        assert made is not None
        self.publisher: MqttPublisher = made

    def __enter__(self) -> House:
        return self

    def __exit__(self, *_: object) -> None:
        self.publisher.close()

    def say(self, *words: str) -> list[dict[str, Any]]:
        """Return the events as the spotter gave them."""
        memory = None if self.grammar is None else Memory.of(self.grammar, self.model)
        events: list[dict[str, Any]] = []
        spotter = Spotter(self.model, context=memory)

        class Keep:
            def heard(self, heard: Any) -> None:
                events.extend(event.to_dict() for event in heard.events)

            def notice(self, line: str) -> None: ...
            def close(self) -> None: ...

        Listener(
            spotter,
            Chunks([stream(*words)]),
            observers=[Keep(), self.publisher],
            memory=memory,
        ).run()
        assert [event["word"] for event in events] == list(words)
        return events


def distinct(subscriber: Subscriber) -> list[str]:
    """The words that came, without what was sent twice: quality of service 1 allows that."""
    return list(dict.fromkeys(message.payload for message in subscriber.of("harken/word")))


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path) as running:
        yield running


@needs_mosquitto
class TestMessages:
    def test_a_word_is_published_as_the_event_that_it_is(
        self, broker: Mosquitto, tones_model: Model
    ) -> None:
        with (
            Subscriber(broker) as subscriber,
            House(f"{broker.url}/house/hall", tones_model) as house,
        ):
            events = house.say("low", "high")
            messages = subscriber.await_of("house/hall/word", 2)
        for message, event in zip(messages, events, strict=True):
            values = json.loads(message.payload)
            assert values.pop("time").endswith("+00:00")
            assert values.pop("event_type") == event["word"]
            assert values == event
            assert message.qos == 1
            assert not message.retained
        assert house.warnings == []

    def test_a_command_is_published_and_the_last_one_is_kept(
        self, broker: Mosquitto, tones_model: Model, grammar: Grammar
    ) -> None:
        with (
            Subscriber(broker) as subscriber,
            House(broker.url, tones_model, grammar=grammar) as house,
        ):
            house.say("low", "high")
            (message,) = subscriber.await_of("harken/command")
            values = json.loads(message.payload)
            assert values["event_type"] == values["intent"] == "beep"
            assert values["slots"] == {"first": "low", "second": "high"}
            assert not {"before", "after"} & set(values)
            turn = json.loads(subscriber.await_of("harken/turn")[0].payload)
            assert (turn["turn"], turn["word"]) == ("pending", "low")
            subscriber.await_of("harken/last_command")
        with Subscriber(broker) as late:
            (kept,) = late.await_of("harken/last_command")
            assert kept.retained
            assert json.loads(kept.payload) == values
            assert late.of("harken/command") == late.of("harken/word") == []

    def test_what_is_amiss_is_published(self, broker: Mosquitto, tones_model: Model) -> None:
        with Subscriber(broker) as subscriber, House(broker.url, tones_model) as house:
            house.publisher.notice("mqtt: this is about itself")
            house.publisher.notice("the microphone is gone")
            (message,) = subscriber.await_of("harken/notice")
        assert json.loads(message.payload)["notice"] == "the microphone is gone"

    def test_the_end_waits_for_what_was_heard_last(
        self, broker: Mosquitto, tones_model: Model
    ) -> None:
        with Subscriber(broker) as subscriber:
            with House(broker.url, tones_model) as house:
                house.say("low", "high", "low")
            subscriber.await_of("harken/word", 3)
            subscriber.await_payload("harken/state", "offline")
        assert house.warnings == []


@needs_mosquitto
class TestState:
    def test_it_is_online_until_it_is_closed(self, broker: Mosquitto, tones_model: Model) -> None:
        with House(broker.url, tones_model), Subscriber(broker) as first:
            first.await_payload("harken/state", "online")
        with Subscriber(broker) as second:
            (message,) = second.await_of("harken/state")
            assert (message.payload, message.retained) == ("offline", True)

    def test_who_is_killed_is_offline_by_the_last_will(
        self, broker: Mosquitto, tones_model: Model
    ) -> None:
        code = f"""
import time
from harken.edge import load_model
from harken.edge.app.serve.mqtt import mqtt_publisher
mqtt_publisher({broker.url!r}, model=load_model({str(tones_model.path)!r}))
time.sleep(60)
"""
        with Subscriber(broker) as subscriber:
            process = subprocess.Popen([sys.executable, "-c", code])
            try:
                subscriber.await_payload("harken/state", "online")
            finally:
                process.kill()
                process.wait()
            subscriber.await_payload("harken/state", "offline")
        with Subscriber(broker) as late:
            assert late.await_of("harken/state")[0].retained


@needs_mosquitto
class TestAway:
    def test_a_broker_that_comes_later_gets_what_was_said_before(
        self, tmp_path: Path, tones_model: Model
    ) -> None:
        broker = Mosquitto(tmp_path)
        with broker, Subscriber(broker) as subscriber:
            broker.stop()
            with House(broker.url, tones_model) as house:
                wait_until(lambda: house.warnings, "a warning")
                began = time.monotonic()
                house.say("low", "high")
                assert time.monotonic() - began < 1.0
                time.sleep(0.5)  # several attempts
                (line,) = house.warnings
                assert f"cannot reach {broker.url}" in line
                assert "Connection refused" in line
                broker.start()
                messages = subscriber.await_of("harken/word", 2)
                wait_until(lambda: len(house.warnings) == 2, "it is said that it works again")
            assert [json.loads(m.payload)["word"] for m in messages] == ["low", "high"]
            assert "again" in house.warnings[1]
            assert house.publisher.dropped == 0

    def test_nothing_is_lost_while_the_broker_starts_again(
        self, broker: Mosquitto, tones_model: Model
    ) -> None:
        with Subscriber(broker) as subscriber, House(broker.url, tones_model) as house:
            house.say("low")
            subscriber.await_of("harken/word")
            broker.stop()
            house.say("high", "low", "high")
            wait_until(lambda: house.warnings, "a warning")
            broker.start()
            house.say("low")
            # The broker may stop before it acknowledges the first word, which is then sent again.
            wait_until(lambda: len(distinct(subscriber)) >= 5, "all words")
            subscriber.await_payload("harken/state", "online")
        words = [json.loads(payload)["word"] for payload in distinct(subscriber)]
        assert words == ["low", "high", "low", "high", "low"]
        assert house.publisher.dropped == 0

    def test_what_a_broker_took_but_did_not_acknowledge_is_sent_again(
        self, tmp_path: Path, tones_model: Model
    ) -> None:
        lines = ("autosave_on_changes true", "autosave_interval 1")  # keeps all when it is killed
        broker = Mosquitto(tmp_path, *lines)
        with broker, Subscriber(broker) as subscriber, House(broker.url, tones_model) as house:
            house.say("low")
            subscriber.await_of("harken/word")
            assert broker.process is not None
            broker.process.send_signal(signal.SIGSTOP)
            house.say("high", "low")
            time.sleep(0.3)  # the first of them is on its way
            broker.process.kill()
            broker.process.wait()
            broker.start()
            wait_until(lambda: len(distinct(subscriber)) == 3, "all words")
        words = [json.loads(payload)["word"] for payload in distinct(subscriber)]
        assert words == ["low", "high", "low"]

    def test_what_is_too_old_is_dropped_and_counted(
        self, tmp_path: Path, tones_model: Model
    ) -> None:
        broker = Mosquitto(tmp_path)
        with broker, Subscriber(broker) as subscriber:
            broker.stop()
            with House(broker.url, tones_model, keep_s=0.3) as house:
                house.say("low", "high")
                time.sleep(0.5)
                broker.start()
                wait_until(lambda: len(house.warnings) == 2, "it is said that it works again")
                house.say("low")
                (message,) = subscriber.await_of("harken/word")
            assert json.loads(message.payload)["word"] == "low"
            assert house.publisher.dropped == 2
            assert "2 messages were dropped" in house.warnings[1]

    def test_a_broker_that_hangs_holds_up_nobody(
        self, broker: Mosquitto, tones_model: Model, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(publisher_module, "_CLOSE_S", 0.3)
        with Subscriber(broker) as subscriber, House(broker.url, tones_model) as house:
            subscriber.await_payload("harken/state", "online")
            assert broker.process is not None
            broker.process.send_signal(signal.SIGSTOP)
            try:
                began = time.monotonic()
                house.say("low", "high")
                house.publisher.close()
                assert time.monotonic() - began < 3.0
            finally:
                broker.process.send_signal(signal.SIGCONT)
            assert "2 messages were not delivered" in house.warnings[-1]

    def test_at_the_end_what_cannot_be_delivered_is_counted(
        self, tones_model: Model, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(publisher_module, "_CLOSE_S", 0.3)
        with House(f"mqtt://127.0.0.1:{free_port()}", tones_model) as house:
            house.say("low")
        assert "1 message was not delivered" in house.warnings[-1]


class TestNotABroker:
    def test_a_server_of_something_else_is_one_line(self, tones_model: Model) -> None:
        server = socket.create_server(("127.0.0.1", 0))

        def hang_up() -> None:
            while True:
                try:
                    server.accept()[0].close()
                except OSError:
                    return

        thread = threading.Thread(target=hang_up)
        thread.start()
        try:
            with House(f"mqtt://127.0.0.1:{server.getsockname()[1]}", tones_model) as house:
                wait_until(lambda: house.warnings, "a warning")
                time.sleep(0.5)
            (line,) = house.warnings
            assert "does not answer in MQTT" in line
            assert "mqtts://" in line
        finally:
            server.shutdown(socket.SHUT_RDWR)
            server.close()
            thread.join()

    def test_a_name_that_nobody_has(self, tones_model: Model) -> None:
        with House("mqtt://no-such-host.invalid", tones_model) as house:
            wait_until(lambda: house.warnings, "a warning")
        assert "cannot reach mqtt://no-such-host.invalid:1883" in house.warnings[0]


class TestOutbox:
    def outbox(self, **options: Any) -> Outbox:
        return Outbox(threading.Condition(), **{"keep_s": 60.0, **options})

    def test_the_oldest_is_dropped_when_it_is_full(self) -> None:
        outbox = self.outbox(most=3)
        for name in "abcde":
            outbox.put(Put(topic=name, payload=""))
        first = outbox.first()
        assert first is not None
        assert (first.topic, len(outbox), outbox.dropped) == ("c", 3, 2)

    def test_what_was_dropped_while_it_was_sent_takes_no_other_with_it(self) -> None:
        outbox = self.outbox(most=1)
        outbox.put(Put(topic="a", payload=""))
        sent = outbox.first()
        outbox.put(Put(topic="b", payload=""))
        assert sent is not None
        outbox.done(sent)
        assert len(outbox) == 1

    def test_what_is_too_old_is_not_given_out(self) -> None:
        outbox = self.outbox(keep_s=1.0)
        outbox.put(Put(topic="old", payload="", put_at=time.monotonic() - 2))
        outbox.put(Put(topic="new", payload=""))
        first = outbox.first()
        assert first is not None
        assert (first.topic, outbox.dropped) == ("new", 1)


@pytest.fixture
def locked(tmp_path: Path) -> Iterator[Mosquitto]:
    """A broker that knows anna and her password only."""
    passwords = tmp_path / "passwords"
    command = ["mosquitto_passwd", "-b", "-c", passwords, "anna", SECRET]
    subprocess.run(command, check=True, capture_output=True)
    with Mosquitto(tmp_path, f"password_file {passwords}", anonymous=False) as running:
        yield running


@needs_mosquitto
class TestPassword:
    def url(self, broker: Mosquitto, user: str = "anna@") -> str:
        return broker.url.replace("//", f"//{user}")

    def subscriber(self, broker: Mosquitto) -> Subscriber:
        return Subscriber(broker, setup=lambda client: client.username_pw_set("anna", SECRET))

    def test_it_is_taken_from_the_first_line_of_a_file(
        self, locked: Mosquitto, tones_model: Model, tmp_path: Path
    ) -> None:
        file = tmp_path / "password"
        file.write_text(f"{SECRET}\nnot this\n")
        with (
            self.subscriber(locked) as subscriber,
            House(self.url(locked), tones_model, password_file=file) as house,
        ):
            subscriber.await_payload("harken/state", "online")
        assert house.warnings == []

    def test_it_is_taken_from_the_environment(
        self, locked: Mosquitto, tones_model: Model, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv(PASSWORD_VARIABLE, SECRET)
        with (
            self.subscriber(locked) as subscriber,
            House(self.url(locked), tones_model) as house,
        ):
            subscriber.await_payload("harken/state", "online")
        assert house.warnings == []

    def test_a_wrong_one_is_one_line_and_listening_goes_on(
        self, locked: Mosquitto, tones_model: Model, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(publisher_module, "_CLOSE_S", 0.3)
        monkeypatch.setenv(PASSWORD_VARIABLE, "wrong-7c1")
        with House(self.url(locked), tones_model) as house:
            wait_until(lambda: house.warnings, "a warning")
            house.say("low")
            time.sleep(0.5)  # several attempts
            (line,) = house.warnings
        assert f"{locked.url} refuses the user 'anna' (" in line
        assert "--mqtt-password-file" in line
        assert "wrong-7c1" not in " ".join(house.warnings)

    def test_no_user_where_there_must_be_one_is_one_line(
        self, locked: Mosquitto, tones_model: Model
    ) -> None:
        with House(locked.url, tones_model) as house:
            wait_until(lambda: house.warnings, "a warning")
        assert "refuses a client without a user (" in house.warnings[0]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a CA, a server's and a client's certificate by it, and another CA."""
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl")
    folder = tmp_path_factory.mktemp("certificates")

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    ec = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    for name in ("ca", "other"):
        openssl("req", "-x509", *ec, "-keyout", f"{name}.key", "-out", f"{name}.pem",
                "-days", "2", "-subj", f"/CN=test {name}")  # fmt: skip
    (folder / "server.ext").write_text("subjectAltName=IP:127.0.0.1\n")
    (folder / "elsewhere.ext").write_text("subjectAltName=DNS:broker.invalid\n")
    (folder / "client.ext").write_text("extendedKeyUsage=clientAuth\n")
    for name in ("server", "elsewhere", "client"):
        openssl("req", *ec, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key",
                "-CAcreateserial", "-out", f"{name}.pem", "-days", "2",
                "-extfile", f"{name}.ext")  # fmt: skip
    openssl("pkcs8", "-topk8", "-in", "client.key", "-out", "locked.key", "-passout", "pass:secret")
    return folder


@needs_mosquitto
class TestTls:
    @pytest.fixture
    def secure(self, tmp_path: Path, certificates: Path) -> Iterator[Mosquitto]:
        lines = self.lines(certificates, "server")
        with Mosquitto(tmp_path, *lines) as running:
            yield running

    def lines(self, certificates: Path, name: str) -> tuple[str, ...]:
        return (
            f"cafile {certificates}/ca.pem",
            f"certfile {certificates}/{name}.pem",
            f"keyfile {certificates}/{name}.key",
        )

    def subscriber(self, broker: Mosquitto, certificates: Path, *, name: str = "") -> Subscriber:
        pair = (str(certificates / f"{name}.pem"), str(certificates / f"{name}.key"))
        return Subscriber(
            broker,
            setup=lambda client: client.tls_set(
                str(certificates / "ca.pem"), *(pair if name else ())
            ),
        )

    def test_it_is_encrypted_where_the_certificate_is_trusted(
        self, secure: Mosquitto, certificates: Path, tones_model: Model
    ) -> None:
        url = secure.url.replace("mqtt:", "mqtts:")
        with (
            self.subscriber(secure, certificates) as subscriber,
            House(url, tones_model, ca_file=certificates / "ca.pem") as house,
        ):
            house.say("low")
            subscriber.await_of("harken/word")
        assert house.warnings == []

    def test_without_a_look_at_the_certificate_if_that_is_asked_for(
        self, secure: Mosquitto, certificates: Path, tones_model: Model
    ) -> None:
        url = secure.url.replace("mqtt:", "mqtts:")
        with (
            self.subscriber(secure, certificates) as subscriber,
            House(url, tones_model, insecure=True) as house,
        ):
            subscriber.await_payload("harken/state", "online")
        assert house.warnings == []

    @pytest.mark.parametrize("ca", [None, "other.pem"])
    def test_a_certificate_of_a_stranger_is_refused(
        self, secure: Mosquitto, certificates: Path, tones_model: Model, ca: str | None
    ) -> None:
        url = secure.url.replace("mqtt:", "mqtts:")
        ca_file = None if ca is None else certificates / ca
        with House(url, tones_model, ca_file=ca_file) as house:
            wait_until(lambda: house.warnings, "a warning")
        assert "its certificate is not trusted" in house.warnings[0]
        assert "--mqtt-ca" in house.warnings[0]

    def test_a_certificate_for_another_host_is_refused(
        self, tmp_path: Path, certificates: Path, tones_model: Model
    ) -> None:
        with Mosquitto(tmp_path, *self.lines(certificates, "elsewhere")) as broker:
            url = broker.url.replace("mqtt:", "mqtts:")
            with House(url, tones_model, ca_file=certificates / "ca.pem") as house:
                wait_until(lambda: house.warnings, "a warning")
        assert "not valid for '127.0.0.1'" in house.warnings[0]

    def test_a_client_shows_its_own_certificate_where_it_must(
        self, tmp_path: Path, certificates: Path, tones_model: Model
    ) -> None:
        lines = (*self.lines(certificates, "server"), "require_certificate true")
        with Mosquitto(tmp_path, *lines) as broker:
            url = broker.url.replace("mqtt:", "mqtts:")
            ca = certificates / "ca.pem"
            with House(url, tones_model, ca_file=ca) as stranger:
                wait_until(lambda: stranger.warnings, "a warning")
            assert "--mqtt-cert" in stranger.warnings[0]
            with (
                self.subscriber(broker, certificates, name="client") as subscriber,
                House(
                    url,
                    tones_model,
                    ca_file=ca,
                    cert_file=certificates / "client.pem",
                    key_file=certificates / "client.key",
                ) as house,
            ):
                subscriber.await_payload("harken/state", "online")
        assert house.warnings == []

    def test_tls_to_a_port_without_it_is_one_line(
        self, broker: Mosquitto, tones_model: Model
    ) -> None:
        with House(broker.url.replace("mqtt:", "mqtts:"), tones_model, insecure=True) as house:
            wait_until(lambda: house.warnings, "a warning")
        assert f"cannot reach mqtts://127.0.0.1:{broker.port}" in house.warnings[0]

    def test_no_tls_to_a_port_with_it_is_one_line(
        self, secure: Mosquitto, tones_model: Model
    ) -> None:
        with House(secure.url, tones_model) as house:
            wait_until(lambda: house.warnings, "a warning")
        assert "write mqtts://" in house.warnings[0]

    @pytest.mark.parametrize(
        ("files", "line"),
        [
            ({"ca_file": "missing.pem"}, "--mqtt-ca .*missing.pem: No such file"),
            ({"ca_file": "server.ext"}, "--mqtt-ca .*server.ext: cannot be used"),
            ({"cert_file": "missing.pem"}, "--mqtt-cert .*missing.pem: No such file"),
            ({"cert_file": "client.pem"}, "--mqtt-cert .*client.pem: cannot be used"),
            (
                {"cert_file": "client.pem", "key_file": "server.key"},
                "--mqtt-key .*server.key: cannot be used .key values mismatch.",
            ),
            ({"cert_file": "client.pem", "key_file": "locked.key"}, "without a password"),
            ({"key_file": "client.key"}, "--mqtt-key needs --mqtt-cert"),
        ],
    )
    def test_a_file_that_cannot_be_used_is_named(
        self, certificates: Path, files: dict[str, str], line: str
    ) -> None:
        paths: Any = {name: certificates / file for name, file in files.items()}
        with pytest.raises(MqttError, match=line) as raised:
            parse_broker("mqtts://localhost", **paths)
        assert raised.value.exit_code == 2


class TestUrl:
    @pytest.mark.parametrize(
        ("url", "shown", "user", "prefix"),
        [
            ("mqtt://host", "mqtt://host:1883", None, "harken"),
            ("mqtt://host/", "mqtt://host:1883", None, "harken"),
            ("mqtt://an%20na@host:99/a/b/", "mqtt://host:99", "an na", "a/b"),
            ("mqtts://[::1]/k%C3%BCche", "mqtts://[::1]:8883", None, "küche"),
        ],
    )
    def test_what_it_means(self, url: str, shown: str, user: str | None, prefix: str) -> None:
        broker = parse_broker(url)
        assert (str(broker), broker.user, broker.prefix) == (shown, user, prefix)

    @pytest.mark.parametrize(
        "url",
        [
            "host",
            "http://host",
            "mqtt://",
            "mqtt:///a",
            "mqtt://h:x",
            "mqtt://h:0",
            "mqtt://h:70000",
            "mqtt://h?a=b",
            "mqtt://h#a",
            "mqtt://h/a/#",
            "mqtt://h/a?",
            "mqtt://@h/a",
            "mqtt://h/a b",
            "mqtt://a..b",
            f"mqtt://{'h' * 70}",
        ],
    )
    def test_what_is_no_broker_is_named(self, url: str) -> None:
        with pytest.raises(MqttError, match=r"is not a broker; it must be mqtt\[s\]://") as raised:
            parse_broker(url)
        assert url in str(raised.value)

    @pytest.mark.parametrize("odd", ["\t", "\n", " "])
    def test_nothing_is_dropped_in_silence(self, odd: str) -> None:
        for url in (f"mqtt://h/a{odd}b", f"mqtt://h/a{odd}"):
            with pytest.raises(MqttError, match="is not a broker"):
                parse_broker(url)

    @pytest.mark.parametrize("path", ["a+", "#", "$SYS/a", "a//b", "/a", "a//", "x" * 201, "a%00b"])
    def test_what_cannot_begin_a_topic_is_named(self, path: str) -> None:
        url = f"mqtt://h/{path.replace('#', '%23')}"
        with pytest.raises(MqttError, match="cannot begin a topic"):
            parse_broker(url)

    @pytest.mark.parametrize(
        "url", [f"mqtt://anna:{SECRET}{odd}@host/a" for odd in ("", "/", "#", "?", "[", "@", ":")]
    )
    def test_a_password_is_refused_and_not_repeated(self, url: str) -> None:
        with pytest.raises(MqttError, match="must not contain a password") as raised:
            parse_broker(url)
        assert SECRET not in str(raised.value)
        assert PASSWORD_VARIABLE in str(raised.value)

    def test_a_password_is_never_shown(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(PASSWORD_VARIABLE, SECRET)
        broker = parse_broker("mqtt://anna@host")
        assert broker.password == SECRET
        assert SECRET not in f"{broker} {broker!r}"

    def test_a_password_needs_a_user(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(PASSWORD_VARIABLE, SECRET)
        with pytest.raises(MqttError, match="but no user") as raised:
            parse_broker("mqtt://host")
        assert SECRET not in str(raised.value)

    @pytest.mark.parametrize(
        ("content", "line"),
        [
            (None, "No such file"),
            (b"", "does not contain a password: .* 1 to 65535 bytes"),
            (b"\xff\xfe", "not UTF-8"),
        ],
    )
    def test_a_file_without_a_password(
        self, tmp_path: Path, content: bytes | None, line: str
    ) -> None:
        file = tmp_path / "password"
        if content is not None:
            file.write_bytes(content)
        with pytest.raises(MqttError, match=line):
            parse_broker("mqtt://anna@host", password_file=file)

    @pytest.mark.parametrize(
        "options", [{"insecure": True}, {"ca_file": Path("ca.pem")}, {"cert_file": Path("c.pem")}]
    )
    def test_options_of_tls_need_it(self, options: Any) -> None:
        with pytest.raises(MqttError, match="needs TLS; write mqtts://"):
            parse_broker("mqtt://host", **options)


class TestOptions:
    def test_without_a_broker_nothing_is_published(self, tones_model: Model) -> None:
        assert mqtt_publisher(None, model=tones_model) is None

    @pytest.mark.parametrize(
        ("options", "name"),
        [
            ({"discovery": "homeassistant"}, "--mqtt-discovery"),
            ({"insecure": True}, "--mqtt-insecure"),
            ({"keep_s": 3.0}, "--mqtt-keep"),
            ({"password_file": Path("p")}, "--mqtt-password-file"),
        ],
    )
    def test_an_option_alone_is_refused(
        self, tones_model: Model, options: dict[str, Any], name: str
    ) -> None:
        with pytest.raises(MqttError, match=f"{name} needs --mqtt"):
            mqtt_publisher(None, model=tones_model, **options)

    def test_without_the_package_it_says_what_to_install(self) -> None:
        hidden = {name: None for name in sys.modules if name.partition(".")[0] == "paho"}
        with mock.patch.dict(sys.modules, {**hidden, "paho": None}):
            outcome = harken("serve", "mqtt-forget", "mqtt://127.0.0.1:1")
        assert outcome.exit_code == 6
        assert "pip install 'harken[mqtt]'" in outcome.error

    def test_nothing_else_needs_the_package(self) -> None:
        code = "import sys, harken.edge, harken.cli; print('paho' in sys.modules)"
        shown = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
        assert shown.stdout == b"False\n"


@needs_mosquitto
class TestHomeAssistant:
    def configs(self, subscriber: Subscriber) -> dict[str, Any]:
        return {
            message.topic: json.loads(message.payload)
            for message in subscriber.messages
            if message.topic.endswith("/config") and message.payload
        }

    def test_it_is_told_what_there_is_and_forgets_it_on_request(
        self, broker: Mosquitto, tones_model: Model, grammar: Grammar
    ) -> None:
        url = f"{broker.url}/house/hall"
        with (
            Subscriber(broker) as subscriber,
            House(url, tones_model, grammar=grammar, discovery="homeassistant") as house,
        ):
            house.say("low", "high")
            subscriber.await_of("house/hall/last_command")
            wait_until(lambda: len(self.configs(subscriber)) == 3, "three messages of discovery")
        with Subscriber(broker) as late:
            wait_until(lambda: len(self.configs(late)) == 3, "they are kept")
            configs = self.configs(late)
        word = configs["homeassistant/event/house_hall/word/config"]
        command = configs["homeassistant/event/house_hall/command/config"]
        last = configs["homeassistant/sensor/house_hall/last_command/config"]
        assert word["state_topic"] == "house/hall/word"
        assert word["event_types"] == ["low", "high"]
        assert command["state_topic"] == "house/hall/command"
        assert command["event_types"] == ["beep"]
        assert last["state_topic"] == "house/hall/last_command"
        assert len({config["unique_id"] for config in configs.values()}) == 3
        for config in configs.values():
            assert config["availability_topic"] == "house/hall/state"
            assert config["device"]["identifiers"] == ["house_hall"]
            assert config["device"]["model"] == "tones"
        # What Home Assistant demands of an event: JSON with one of the types that it was told of.
        for name, config in (("word", word), ("command", command)):
            for message in subscriber.of(f"house/hall/{name}"):
                assert json.loads(message.payload)["event_type"] in config["event_types"]
                assert not message.retained

        outcome = harken("serve", "mqtt-forget", url, "--json")
        assert outcome.exit_code == 0, outcome.err
        removed = json.loads(outcome.out)["removed"]
        assert set(configs) < set(removed)
        with Subscriber(broker) as later:
            time.sleep(0.3)
            assert later.messages == []
        again = harken("serve", "mqtt-forget", url)
        assert again.exit_code == 0
        assert "There was nothing to remove" in again.err

    def test_what_somebody_brings_back_is_told(self, broker: Mosquitto, tones_model: Model) -> None:
        with Subscriber(broker) as subscriber, House(broker.url, tones_model):
            subscriber.await_payload("harken/state", "online")
            outcome = harken("serve", "mqtt-forget", broker.url)
        assert outcome.exit_code == 0
        assert "another harken is publishing at harken" in outcome.err

    def test_without_a_grammar_there_are_words_only(
        self, broker: Mosquitto, tones_model: Model
    ) -> None:
        with Subscriber(broker) as subscriber:
            with House(broker.url, tones_model, discovery="ha/"):
                subscriber.await_of("ha/event/harken/word/config")
            subscriber.await_payload("harken/state", "offline")
            assert list(self.configs(subscriber)) == ["ha/event/harken/word/config"]

    def test_nothing_is_told_unless_it_is_asked_for(
        self, broker: Mosquitto, tones_model: Model
    ) -> None:
        with Subscriber(broker) as subscriber:
            with House(broker.url, tones_model):
                subscriber.await_payload("harken/state", "online")
            subscriber.await_payload("harken/state", "offline")
            assert self.configs(subscriber) == {}

    def test_no_two_prefixes_are_one_device(self) -> None:
        prefixes = ["a/b", "a_b", "a b", "a-b", "küche", "kuche", "k_che", "A/b"]
        nodes = [node_of(prefix) for prefix in prefixes]
        assert len(set(nodes)) == len(prefixes)
        assert all(node.isascii() and node.replace("_", "").replace("-", "").isalnum()
                   for node in nodes)  # fmt: skip

    def test_to_forget_needs_a_broker_that_answers(self) -> None:
        url = f"mqtt://127.0.0.1:{free_port()}"
        outcome = harken("serve", "mqtt-forget", url)
        assert outcome.exit_code == 1
        assert f"cannot reach {url}" in outcome.error

    @pytest.mark.parametrize("root", ["", "a+b", "#", "a//b"])
    def test_where_it_cannot_look(self, tones_model: Model, root: str) -> None:
        with pytest.raises(MqttError, match="--mqtt-discovery"):
            mqtt_publisher("mqtt://127.0.0.1:1", model=tones_model, discovery=root)
