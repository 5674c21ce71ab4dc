"""`harken serve wyoming`: what a client of the real protocol gets, and what a bad one cannot do."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import soundfile
import soxr
import typer
from command import harken, start_harken
from tones import stream

from harken.edge import AudioError, Model, Spotter, load_model
from harken.edge.app.listen_cli import DEMO
from harken.edge.app.serve.limits import Limits
from harken.edge.app.serve.offer import offers

pytest.importorskip("wyoming", reason="needs harken[wyoming]")

from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.client import AsyncClient
from wyoming.error import Error
from wyoming.event import Event
from wyoming.info import Describe, Info
from wyoming.ping import Ping, Pong
from wyoming.wake import Detect, Detection, NotDetected

from harken.edge.app.serve.wyoming import WyomingService

PATIENCE_S = 10.0


class Service(WyomingService):
    """A service on a free port that notes what it says."""

    def __init__(self, *models: Model, limits: Limits | None = None, **options: Any) -> None:
        self.warnings: list[str] = []
        super().__init__(
            offers(models, **options),
            "tcp://127.0.0.1:0",
            limits=limits,
            warn=self.warnings.append,
        )

    async def __aenter__(self) -> Service:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def client(self) -> AsyncClient:
        return AsyncClient.from_uri(self.uri)

    async def raw(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", int(self.uri.rpartition(":")[2]))

    async def empty(self) -> None:
        """Wait until nobody is connected."""
        async with asyncio.timeout(PATIENCE_S):
            while self.clients:
                await asyncio.sleep(0.01)


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(6 * PATIENCE_S):
            await scenario()

    asyncio.run(bounded())


async def next_event(client: AsyncClient) -> Event | None:
    async with asyncio.timeout(PATIENCE_S):
        return await client.read_event()


async def expect(client: AsyncClient, kind: Any) -> Any:
    event = await next_event(client)
    assert event is not None
    assert kind.is_type(event.type), event
    return kind.from_event(event)


async def send(
    client: AsyncClient,
    samples: np.ndarray,
    *,
    rate: int = 16_000,
    length: int = 1024,
    clock_ms: int | None = None,
) -> None:
    """Send int16 or wider samples, (n,) or (n, channels), as a stream from its start to its end."""
    channels = 1 if samples.ndim == 1 else samples.shape[1]
    form = {"rate": rate, "width": samples.dtype.itemsize, "channels": channels}
    await client.write_event(AudioStart(**form).event())
    for start in range(0, len(samples), length):
        timestamp = None if clock_ms is None else clock_ms + start * 1000 // rate
        audio = samples[start : start + length].tobytes()
        await client.write_event(AudioChunk(**form, audio=audio, timestamp=timestamp).event())
    await client.write_event(AudioStop().event())


async def detections(client: AsyncClient) -> list[tuple[str | None, int | None]]:
    """Read detections until the service has answered a ping that follows the sound."""
    await client.write_event(Ping(text="end").event())
    heard = []
    while True:
        event = await next_event(client)
        assert event is not None
        if Pong.is_type(event.type):
            return heard
        if Detection.is_type(event.type):
            found = Detection.from_event(event)
            heard.append((found.name, found.timestamp))


def expected(model: Model | str, samples: np.ndarray) -> list[tuple[str, int]]:
    """What a spotter hears: words, and when in milliseconds."""
    return [(e.word, round(e.end_sample / 16)) for e in Spotter(model).feed(samples)]


@pytest.fixture(scope="module")
def demo() -> np.ndarray:
    samples, rate = soundfile.read(DEMO, dtype="int16")
    assert rate == 16_000
    return samples


@pytest.fixture(scope="module")
def commands() -> Model:
    return load_model("commands")


class TestDescribe:
    def test_each_word_is_a_wake_model(self, tones_model: Model) -> None:
        async def scenario() -> None:
            async with Service(tones_model) as service, service.client() as client:
                await client.write_event(Describe().event())
                info = await expect(client, Info)
                (program,) = info.wake
                assert program.name == "harken"
                assert program.installed
                assert [model.name for model in program.models] == ["low", "high"]
                for model in program.models:
                    assert model.phrase == model.name
                    assert model.installed
                    assert model.languages == ["en"]
                    assert model.attribution.name
                    assert "tones" in model.description
                    assert tones_model.manifest.model.sha256.startswith(model.version)

        run(scenario)

    def test_a_word_that_two_models_have_is_offered_once(self, commands: Model) -> None:
        tiny = load_model("commands-tiny")
        with pytest.raises(typer.BadParameter, match="no word of commands is offered"):
            offers([tiny, commands])
        assert [offer.words for offer in offers([commands], words=["go", "left"])] == [
            ("left", "go")
        ]

    def test_a_threshold_is_for_the_models_that_have_the_word(
        self, commands: Model, tones_model: Model
    ) -> None:
        first, second = offers([commands, tones_model], thresholds=["0.9", "low=0.7"])
        assert set(first.detector.thresholds.values()) == {0.9}
        assert second.detector.thresholds == {"low": 0.7, "high": 0.9}
        with pytest.raises(typer.BadParameter, match="no word 'lo'"):
            offers([commands, tones_model], thresholds=["lo=0.7"])

    def test_words_of_several_models_are_heard_at_once(
        self, commands: Model, tones_model: Model, demo: np.ndarray
    ) -> None:
        tones = stream("low", "high")

        async def scenario() -> None:
            async with Service(commands, tones_model) as service, service.client() as client:
                assert {"low", "stop"} <= set(service.words)
                await send(client, np.concatenate((tones, demo[: 3 * 16_000])))
                words = [word for word, _ in await detections(client)]
                assert {"low", "high", "left"} <= set(words)

        run(scenario)


class TestHearing:
    @pytest.mark.parametrize("length", [320, 1024, 30_000])
    def test_the_words_and_moments_are_those_of_a_spotter(
        self, commands: Model, demo: np.ndarray, length: int
    ) -> None:
        wanted = expected(commands, demo)
        assert len(wanted) >= 12

        async def scenario() -> None:
            async with Service(commands) as service, service.client() as client:
                await client.write_event(Detect().event())
                await send(client, demo, length=length)
                assert await detections(client) == wanted
            assert service.warnings == []

        run(scenario)

    def test_chunks_need_no_start_before_them(self, tones_model: Model) -> None:
        async def scenario() -> None:
            async with Service(tones_model) as service, service.client() as client:
                samples = stream("low", "high")
                chunk = AudioChunk(rate=16_000, width=2, channels=1, audio=samples.tobytes())
                await client.write_event(chunk.event())
                assert await detections(client) == expected(tones_model, samples)

        run(scenario)

    def test_a_new_start_begins_afresh(self, tones_model: Model) -> None:
        async def scenario() -> None:
            samples = stream("low", "high")
            async with Service(tones_model) as service, service.client() as client:
                for _ in range(2):
                    await send(client, samples)
                    assert await detections(client) == expected(tones_model, samples)

        run(scenario)

    def test_moments_are_those_of_the_clients_clock(self, tones_model: Model) -> None:
        async def scenario() -> None:
            samples = stream("low", "high")
            async with Service(tones_model) as service, service.client() as client:
                await send(client, samples, clock_ms=5_000_000)
                wanted = [(w, 5_000_000 + ms) for w, ms in expected(tones_model, samples)]
                assert await detections(client) == wanted

        run(scenario)

    @pytest.mark.parametrize(
        ("rate", "channels", "dtype"),
        [(48_000, 2, "<i2"), (44_100, 1, "<i4"), (8_000, 1, "<i2"), (16_000, 1, "i1")],
    )
    def test_other_formats_are_converted(
        self, tones_model: Model, rate: int, channels: int, dtype: str
    ) -> None:
        samples = stream("low", "high", "low", level=0.5)
        sound = soxr.resample(samples / 32768, 16_000, rate)
        kind = np.dtype(dtype)
        scaled = np.clip(np.rint(sound * 2.0 ** (8 * kind.itemsize - 1)), *limits_of(kind))
        sent = np.repeat(scaled.astype(kind)[:, None], channels, axis=1)

        async def scenario() -> None:
            async with Service(tones_model) as service, service.client() as client:
                await send(client, sent if channels > 1 else sent[:, 0], rate=rate)
                heard, wanted = await detections(client), expected(tones_model, samples)
                assert [word for word, _ in heard] == [word for word, _ in wanted]
                for (_, at_ms), (_, wanted_ms) in zip(heard, wanted, strict=True):
                    assert abs(at_ms - wanted_ms) <= 40  # one step
            assert service.warnings == []

        run(scenario)

    def test_24_bits_are_heard_as_the_16_they_were_made_of(self, tones_model: Model) -> None:
        samples = stream("low", "high")
        wide = np.zeros((len(samples), 3), np.uint8)
        wide[:, 1:] = samples.view(np.uint8).reshape(-1, 2)

        async def scenario() -> None:
            async with Service(tones_model) as service, service.client() as client:
                chunk = AudioChunk(rate=16_000, width=3, channels=1, audio=wide.tobytes())
                await client.write_event(chunk.event())
                assert await detections(client) == expected(tones_model, samples)

        run(scenario)

    def test_the_rate_may_change_while_sound_comes(self, tones_model: Model) -> None:
        samples = stream("low", "high", "low")
        cut = len(samples) // 2
        fast = soxr.resample(samples[cut:].astype(np.float32), 16_000, 48_000)

        async def scenario() -> None:
            async with Service(tones_model) as service, service.client() as client:
                for rate, part in ((16_000, samples[:cut]), (48_000, fast.astype(np.int16))):
                    chunk = AudioChunk(rate=rate, width=2, channels=1, audio=part.tobytes())
                    await client.write_event(chunk.event())
                await client.write_event(AudioStop().event())
                heard, wanted = await detections(client), expected(tones_model, samples)
                assert [word for word, _ in heard] == [word for word, _ in wanted]
                for (_, at_ms), (_, wanted_ms) in zip(heard, wanted, strict=True):
                    assert abs(at_ms - wanted_ms) <= 40

        run(scenario)

    def test_several_clients_at_once_hear_their_own_sound(
        self, commands: Model, demo: np.ndarray
    ) -> None:
        sounds = [demo, demo[8 * 16_000 :], np.zeros_like(demo), demo[: 6 * 16_000]]

        async def one(service: Service, sound: np.ndarray) -> None:
            async with service.client() as client:
                await send(client, sound)
                assert await detections(client) == expected(commands, sound)

        async def scenario() -> None:
            async with Service(commands) as service:
                await asyncio.gather(*(one(service, sound) for sound in sounds))

        run(scenario)

    def test_a_long_chunk_of_one_client_does_not_hold_up_the_others(
        self, commands: Model, demo: np.ndarray
    ) -> None:
        long = np.tile(demo, 2)[: 30 * 16_000]

        async def scenario() -> None:
            async with (
                Service(commands) as service,
                service.client() as greedy,
                service.client() as modest,
            ):
                await send(greedy, long, length=len(long))
                hears = asyncio.create_task(detections(greedy))
                answers = 0
                while not hears.done():
                    await modest.write_event(Ping().event())
                    await expect(modest, Pong)
                    answers += 1
                assert answers >= 10  # with a turn after all of it there would be one or two
                assert await hears == expected(commands, long)

        run(scenario)


def limits_of(kind: np.dtype[Any]) -> tuple[int, int]:
    return np.iinfo(kind).min, np.iinfo(kind).max


class TestNames:
    def test_only_the_words_that_were_asked_for_are_reported(
        self, commands: Model, demo: np.ndarray
    ) -> None:
        async def scenario() -> None:
            async with Service(commands) as service, service.client() as client:
                await client.write_event(Detect(names=["stop", "left"]).event())
                await send(client, demo)
                wanted = [e for e in expected(commands, demo) if e[0] in ("stop", "left")]
                assert len(wanted) == 2
                assert await detections(client) == wanted

        run(scenario)

    def test_a_word_that_is_not_there_is_said_to_be_so(self, tones_model: Model) -> None:
        async def scenario() -> None:
            async with Service(tones_model) as service, service.client() as client:
                await client.write_event(Detect(names=["okay"]).event())
                error = await expect(client, Error)
                assert "'okay'" in error.text
                assert "low, high" in error.text
                await send(client, stream("low"))
                await expect(client, NotDetected)
            (line,) = service.warnings
            assert "'okay'" in line

        run(scenario)

    def test_words_can_be_kept_from_the_clients(self, tones_model: Model) -> None:
        async def scenario() -> None:
            async with Service(tones_model, words=["high"]) as service, service.client() as client:
                await send(client, stream("low", "high"))
                assert [word for word, _ in await detections(client)] == ["high"]

        run(scenario)


class TestAnswers:
    def test_the_end_of_a_sound_without_a_word_is_answered(self, tones_model: Model) -> None:
        async def scenario() -> None:
            async with Service(tones_model) as service, service.client() as client:
                await send(client, np.zeros(16_000, np.int16))
                await expect(client, NotDetected)
                await send(client, stream("low"))
                await expect(client, Detection)
                await send(client, np.zeros(16_000, np.int16))
                await expect(client, NotDetected)

        run(scenario)

    def test_a_ping_is_answered_and_what_is_not_known_passed_over(self, tones_model: Model) -> None:
        async def scenario() -> None:
            async with Service(tones_model) as service, service.client() as client:
                await client.write_event(Event(type="transcribe", data={"language": "en"}))
                await client.write_event(Ping(text="hello").event())
                assert (await expect(client, Pong)).text == "hello"

        run(scenario)

    def test_the_threshold_and_the_rest_are_those_that_were_asked_for(
        self, tones_model: Model
    ) -> None:
        (offer,) = offers([tones_model], thresholds=["0.9", "low=0.7"], refractory_ms=1500)
        assert offer.detector.thresholds == {"low": 0.7, "high": 0.9}
        assert offer.detector.refractory_ms == 1500


RUBBISH = {
    "a web browser": b"GET / HTTP/1.1\r\nHost: harken\r\n\r\n",
    "no object": b"[1, 2]\n",
    "no type": b"{}\n",
    "a type that is a number": b'{"type": 7}\n',
    "noise": bytes(range(256)) * 16 + b"\n",
    "no end of line": b"{" * (1 << 18),
    "nested without end": b'{"type": "x", "data": ' + b"[" * 30_000 + b"\n",
    "a huge payload": b'{"type": "audio-chunk", "payload_length": 1000000000000}\n',
    "a negative payload": b'{"type": "audio-chunk", "payload_length": -5}\n',
    "a payload of true": b'{"type": "audio-chunk", "payload_length": true}\n',
    "huge data": b'{"type": "describe", "data_length": 10000000}\n',
    "data that are noise": b'{"type": "describe", "data_length": 4}\n\xff\xfe\x00\x01',
    "data that are a list": b'{"type": "describe", "data": [1]}\n',
    "names that are a number": b'{"type": "detect", "data": {"names": 3}}\n',
    "sound without a format": b'{"type": "audio-chunk", "payload_length": 2}\n\0\0',
    "half a sample": b'{"type": "audio-chunk", "data": {"rate": 16000, "width": 2, "channels": 1}'
    b', "payload_length": 3}\n\0\0\0',
    "a rate of 0": b'{"type": "audio-chunk", "data": {"rate": 0, "width": 2, "channels": 1}'
    b', "payload_length": 2}\n\0\0',
    "a width of 9": b'{"type": "audio-chunk", "data": {"rate": 16000, "width": 9, "channels": 1}'
    b', "payload_length": 9}\n' + bytes(9),
    "a message cut off": b'{"type": "audio-chunk", "payload_length": 100}\n' + bytes(50),
}


class TestBadClients:
    @pytest.mark.parametrize("sent", RUBBISH.values(), ids=RUBBISH.keys())
    def test_rubbish_closes_its_connection_with_one_line_and_no_other(
        self,
        tones_model: Model,
        sent: bytes,
        capfd: pytest.CaptureFixture[str],
        request: pytest.FixtureRequest,
    ) -> None:
        async def scenario() -> None:
            async with Service(tones_model) as service, service.client() as good:
                samples = stream("low", "high")
                await good.write_event(Ping().event())
                await expect(good, Pong)
                reader, writer = await service.raw()
                writer.write(sent)
                if "cut off" in request.node.callspec.id:
                    writer.write_eof()
                async with asyncio.timeout(PATIENCE_S):
                    with contextlib.suppress(ConnectionError):
                        while await reader.read(1 << 16):
                            pass
                writer.close()
                await send(good, samples)
                assert await detections(good) == expected(tones_model, samples)
                assert len(service.clients) == 1
            (line,) = service.warnings
            assert "half a message" not in line  # it is refused, not waited for
            assert line.isprintable()
            assert line.isascii()
            assert len(line) < 300
            assert line.startswith("client 2 (127.0.0.1:")

        run(scenario)
        assert "Traceback" not in capfd.readouterr().err

    def test_half_a_message_is_not_waited_for(self, tones_model: Model) -> None:
        async def scenario() -> None:
            limits = Limits(message_s=0.2)
            async with Service(tones_model, limits=limits) as service:
                for half in (b'{"type": "desc', b'{"type": "x", "payload_length": 9}\nabc'):
                    reader, writer = await service.raw()
                    writer.write(half)
                    async with asyncio.timeout(PATIENCE_S):
                        answer = await reader.read()
                    assert b"half a message" in answer
                    writer.close()
            assert [line.count("half a message") for line in service.warnings] == [1, 1]

        run(scenario)

    def test_who_is_silent_for_too_long_makes_room(self, tones_model: Model) -> None:
        async def scenario() -> None:
            async with Service(tones_model, limits=Limits(idle_s=0.2)) as service:
                reader, writer = await service.raw()
                async with asyncio.timeout(PATIENCE_S):
                    await reader.read()
                writer.close()
            (line,) = service.warnings
            assert "silent for 0.2 s" in line

        run(scenario)

    def test_who_takes_no_answers_is_closed(self, tones_model: Model) -> None:
        async def scenario() -> None:
            limits = Limits(message_s=0.3)
            async with Service(tones_model, limits=limits) as service:
                sock = socket.create_connection(("127.0.0.1", int(service.uri.split(":")[2])))
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 12)
                sock.setblocking(False)
                loop = asyncio.get_running_loop()
                with contextlib.suppress(ConnectionError, TimeoutError):
                    async with asyncio.timeout(PATIENCE_S):
                        while True:
                            await loop.sock_sendall(sock, b'{"type": "describe"}\n' * 1000)
                await service.empty()
                sock.close()
            (line,) = service.warnings
            assert "accepted no answer for 0.3 s" in line

        run(scenario)

    def test_who_vanishes_leaves_nothing_behind(
        self, tones_model: Model, capfd: pytest.CaptureFixture[str]
    ) -> None:
        async def scenario() -> None:
            async with Service(tones_model) as service:
                async with service.client() as client:
                    await client.write_event(Ping().event())
                    await expect(client, Pong)
                    assert len(service.clients) == 1
                    writer = client._writer
                    assert writer is not None
                    sock = writer.get_extra_info("socket")
                    # Closed without goodbye, as by a plug that is pulled and put back.
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    writer.transport.abort()
                    with contextlib.suppress(ConnectionError):
                        await client.disconnect()
                await service.empty()
                assert service.warnings == []

        run(scenario)
        assert capfd.readouterr().err == ""

    def test_one_too_many_is_told_so_and_the_others_stay(self, tones_model: Model) -> None:
        async def scenario() -> None:
            async with Service(tones_model, limits=Limits(clients=1)) as service:
                async with service.client() as first:
                    await first.write_event(Ping().event())
                    await expect(first, Pong)
                    async with service.client() as second:
                        assert "one too many" in (await expect(second, Error)).text
                        assert await next_event(second) is None
                    await first.write_event(Ping().event())
                    await expect(first, Pong)
                await service.empty()
                async with service.client() as third:
                    await third.write_event(Ping().event())
                    await expect(third, Pong)

        run(scenario)


class TestAddress:
    @pytest.mark.parametrize(
        "uri",
        [
            "10400",
            "tcp://127.0.0.1",
            "tcp://:1",
            "tcp://h:99999",
            "http://h:80",
            "unix://",
            "tcp://h:1/a",
            "tcp://h:1?a",
            "tcp://h:1#",
            "tcp://a@h:1",
            "unix:///a#b",
        ],
    )
    def test_what_is_no_address_is_refused(self, tones_model: Model, uri: str) -> None:
        with pytest.raises(AudioError, match=r"use tcp://HOST:PORT or unix:///PATH"):
            WyomingService(offers([tones_model]), uri)

    def test_a_port_in_use_is_one_line_and_exit_code_4(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            uri = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
            outcome = harken("serve", "wyoming", "--uri", uri)
        assert outcome.exit_code == 4
        assert f"cannot listen on {uri}" in outcome.error
        assert "--uri" in outcome.error

    def test_a_unix_socket_serves_and_is_removed(self, tones_model: Model, tmp_path: Path) -> None:
        path = tmp_path / "harken.sock"
        socket.socket(socket.AF_UNIX).bind(str(path))  # left behind by somebody who crashed

        async def scenario() -> None:
            service = WyomingService(offers([tones_model]), f"unix://{path}")
            await service.start()
            async with AsyncClient.from_uri(f"unix://{path}") as client:
                await client.write_event(Ping().event())
                await expect(client, Pong)
                with pytest.raises(AudioError, match="it is in use"):
                    await WyomingService(offers([tones_model]), f"unix://{path}").start()
            await service.stop()

        run(scenario)
        assert not path.exists()

    def test_a_file_that_is_no_socket_is_left_alone(
        self, tones_model: Model, tmp_path: Path
    ) -> None:
        path = tmp_path / "notes.txt"
        path.write_text("mine")
        with pytest.raises(AudioError, match="not a socket"):
            asyncio.run(WyomingService(offers([tones_model]), f"unix://{path}").start())
        assert path.read_text() == "mine"


class TestCommand:
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_it_says_when_it_is_ready_and_ends_in_peace(self, number: signal.Signals) -> None:
        process = start_harken(
            "serve", "wyoming", "--uri", "tcp://127.0.0.1:0", "--word", "stop", "--json"
        )
        try:
            assert process.stdout is not None
            ready = json.loads(process.stdout.readline())
            assert ready["words"] == ["stop"]
            _, port = ready["uri"].rsplit(":", 1)
            with socket.create_connection(("127.0.0.1", int(port)), timeout=PATIENCE_S) as client:
                client.sendall(b'{"type": "ping", "data": {"text": "hello"}}\n')
                answer = b""
                while not answer.endswith(b'{"text": "hello"}'):
                    answer += client.recv(1000)
                os.kill(process.pid, number)
                _, errors = process.communicate(timeout=PATIENCE_S)
                assert client.recv(1000) == b""
        finally:
            process.kill()
        assert process.returncode == 0
        assert errors == b""

    def test_a_word_that_no_model_has(self) -> None:
        outcome = harken("serve", "wyoming", "--word", "abracadabra")
        assert outcome.exit_code == 2
        assert "abracadabra" in outcome.err
        assert "backward" in outcome.err

    def test_a_model_that_is_not_there(self) -> None:
        outcome = harken("serve", "wyoming", "nothing-of-the-kind")
        assert outcome.exit_code == 3
        assert "nothing-of-the-kind" in outcome.error

    def test_without_the_package_it_says_what_to_install(self) -> None:
        hidden = {name: None for name in sys.modules if name.partition(".")[0] == "wyoming"}
        with mock.patch.dict(sys.modules, {**hidden, "wyoming": None}):
            for module in ("wyoming", "wire"):
                sys.modules.pop(f"harken.edge.app.serve.{module}", None)
            outcome = harken("serve", "wyoming")
        assert outcome.exit_code == 6
        assert "pip install 'harken[wyoming]'" in outcome.error

    def test_nothing_else_needs_the_package(self) -> None:
        code = "import sys, harken.edge, harken.cli; print('wyoming' in sys.modules)"
        shown = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
        assert shown.stdout == b"False\n"
