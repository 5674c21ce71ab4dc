"""`harken export --target web`: the folder, the npm package in Node.js, and what is refused."""

from __future__ import annotations

import dataclasses
import gzip
import json
import math
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import soxr
from c_engine import compile_engine, needs_compiler
from command import harken
from hybrids import LARGE, TINY, drawn_model
from learning import taught

from harken.edge import ExportError, Spotter, load_model
from harken.edge.errors import DependencyError
from harken.edge.memory.grammar_file import load_grammar
from harken.edge.memory.lstm import LstmPrior
from harken.edge.memory.memory import Memory, shipped_prior
from harken.edge.spotting.detector import Detection
from harken.edge.spotting.manifest import Model
from harken.export.cli import _page_grammar
from harken.export.device.compiler import build
from harken.export.device.golden import recording
from harken.export.tflm import TflmRuntime
from harken.export.web import bundle as web_bundle
from harken.export.web import wasm
from harken.export.web.bundle import NODE_MISSING, WebBundle, export_web
from harken.export.web.wasm import custom_section, find_wasm_compiler

PAGE_LIMIT = 150 * 1024  # bytes that a browser loads, compressed


def can_compile() -> bool:
    try:
        find_wasm_compiler()
    except DependencyError:
        return False
    return True


pytestmark = [
    needs_compiler,
    pytest.mark.skipif(not can_compile(), reason="there is no compiler for WebAssembly"),
]
needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
needs_typescript = pytest.mark.skipif(
    shutil.which("tsc") is None, reason="tsc is not installed: apt-get install node-typescript"
)
needs_npm = pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not installed")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> WebBundle:
    """Both models, with the grammar of the robot."""
    models = [load_model("commands"), load_model("commands-tiny")]
    return export_web(
        models, tmp_path_factory.mktemp("web") / "site", grammar=load_grammar("robot")
    )


@pytest.fixture(scope="module")
def site(bundle: WebBundle) -> Path:
    return bundle.folder


def listen(site: Path, model: str, pcm: np.ndarray, *options: str) -> bytes:
    """Let listen.mjs hear PCM."""
    done = subprocess.run(
        ["node", site / "listen.mjs", *options, site / "models" / f"{model}.wasm"],
        input=pcm.astype("<i2").tobytes(), capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def run_js(folder: Path, code: str, *arguments: str) -> Any:
    """Run a module in a folder; return what it prints, as JSON."""
    script = folder / "run.mjs"
    script.write_text(code)
    done = subprocess.run(
        ["node", script, *arguments], capture_output=True, text=True, check=False, cwd=folder
    )
    script.unlink()
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def odds(probability: float) -> float:
    return math.log(probability / (1 - probability))


def demo() -> np.ndarray:
    samples, _ = soundfile.read("models/demo.flac", dtype="int16")
    return samples


class Noting(Memory):
    """A memory that notes the detections that it accepts."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.noted: list[Detection] = []

    def accept(self, detection: Detection) -> None:
        self.noted.append(detection)
        super().accept(detection)


class TestFolder:
    def test_the_same_models_give_the_same_bytes(self, site: Path, tmp_path: Path) -> None:
        models = [load_model("commands"), load_model("commands-tiny")]
        export_web(models, tmp_path, grammar=load_grammar("robot"))
        for path in site.rglob("*"):
            if path.is_file():
                assert (tmp_path / path.relative_to(site)).read_bytes() == path.read_bytes(), path

    def test_no_field_of_a_template_is_left(self, site: Path) -> None:
        for path in site.rglob("*"):
            if path.suffix in (".html", ".js", ".json", ".md", ".mjs", ".webmanifest"):
                assert not re.search(r"@[A-Z0-9_]+@", path.read_text()), path

    def test_it_is_small(self, bundle: WebBundle) -> None:
        """All that a browser loads with the larger model, compressed one by one."""
        loaded = {
            path.relative_to(bundle.folder).as_posix(): path.read_bytes()
            for path in bundle.folder.rglob("*")
            if path.relative_to(bundle.folder).as_posix() in bundle.compressed
        }
        assert len(loaded) == len(bundle.compressed)
        assert {"index.html", "sw.js", "page/page.css", "models/commands.wasm"} < loaded.keys()
        assert "models/commands-tiny.wasm" not in loaded
        total = sum(len(gzip.compress(content, 9)) for content in loaded.values())
        assert total == sum(bundle.compressed.values()) <= PAGE_LIMIT

    def test_the_page_refers_to_nothing_that_is_not_there(self, site: Path) -> None:
        page = (site / "index.html").read_text()
        for address in re.findall(r'(?:href|src)="([^"]+)"', page):
            assert (site / address).is_file(), address
        cached = json.loads(re.search(r"FILES = (\[.*?\]);", (site / "sw.js").read_text(), re.S)[1])
        assert all((site / name).is_file() for name in cached)
        for script in site.glob("**/*.js"):
            for name in re.findall(r'from "(\.[^"]+)"', script.read_text()):
                assert (script.parent / name).is_file(), (script, name)

    def test_nothing_is_asked_of_anybody_else(self, site: Path) -> None:
        """No address of another machine is in any file that a browser loads."""
        for path in site.rglob("*"):
            if path.suffix in (".html", ".js", ".css", ".webmanifest"):
                found = re.findall(r"https?://(?!localhost|www\.w3\.org)[\w.]+", path.read_text())
                assert not found, path

    def test_what_the_page_offers(self, site: Path) -> None:
        offers = json.loads((site / "site.json").read_text())
        assert [model["name"] for model in offers["models"]] == ["commands", "commands-tiny"]
        for model in offers["models"]:
            assert model["bytes"] == (site / model["file"]).stat().st_size
            assert model["digest"] == load_model(model["name"]).manifest.model.sha256[:12]
        assert offers["grammar"]["digest"] == load_grammar("robot").digest
        grammar = json.loads((site / offers["grammar"]["file"]).read_text())
        assert grammar["digest"] == offers["grammar"]["digest"]

    def test_a_change_of_any_file_gives_the_cache_another_name(
        self, site: Path, tmp_path: Path
    ) -> None:
        tiny = export_web([load_model("commands-tiny")], tmp_path)
        names = [
            json.loads((folder / "site.json").read_text())["digest"]
            for folder in (site, tiny.folder)
        ]
        assert names[0] != names[1]
        assert names[0] in (site / "sw.js").read_text()
        assert names[1] in (tmp_path / "sw.js").read_text()

    def test_without_a_grammar_it_is_a_page_of_words_alone(self, tmp_path: Path) -> None:
        outcome = harken("export", "commands-tiny", "--target", "web", "--grammar", "none",
                         "--json", "--out", tmp_path / "site")  # fmt: skip
        assert outcome.exit_code == 0, outcome.err
        assert json.loads((tmp_path / "site" / "site.json").read_text())["grammar"] is None
        assert not list((tmp_path / "site" / "models").glob("*.json"))
        assert "new Dialogue" not in (tmp_path / "site" / "README.md").read_text()
        assert json.loads(outcome.out)["compressed_bytes"] < PAGE_LIMIT

    def test_a_grammar_of_ones_own_has_a_dialogue_and_no_prior(self, tmp_path: Path) -> None:
        (tmp_path / "lamp.toml").write_text(
            'name = "lamp"\n[slots]\nstate = ["up", "down"]\n[commands.lamp]\nsay = "{state}"\n'
        )
        outcome = harken("export", "commands-tiny", "--target", "web", "--out", tmp_path / "site",
                         "--grammar", tmp_path / "lamp.toml")  # fmt: skip
        assert outcome.exit_code == 0, outcome.err
        assert (tmp_path / "site" / "models" / "lamp.json").is_file()
        content = (tmp_path / "site" / "models" / "commands-tiny.wasm").read_bytes()
        assert b'"grammar":null,"pending":[]}' in content

    def test_what_a_memory_has_learned_is_what_the_page_begins_with(self, tmp_path: Path) -> None:
        kept = tmp_path / "memory.json"
        learned = taught(load_grammar("robot"), kept)
        outcome = harken("export", "commands-tiny", "--target", "web", "--memory", kept,
                         "--out", tmp_path / "site")  # fmt: skip
        assert outcome.exit_code == 0, outcome.err
        grammar = json.loads((tmp_path / "site" / "models" / "robot.json").read_text())
        assert grammar["learned"] == learned.to_dict()

    def test_without_a_prior_there_is_nothing_to_learn_on_top_of(self, tmp_path: Path) -> None:
        lamp = tmp_path / "lamp.toml"
        lamp.write_text(
            'name = "lamp"\n[slots]\nstate = ["up", "down"]\n[commands.lamp]\nsay = "{state}"\n'
        )
        kept = tmp_path / "memory.json"
        taught(load_grammar(lamp), kept, sessions=5)
        outcome = harken("export", "commands-tiny", "--target", "web", "--grammar", lamp,
                         "--memory", kept, "--out", tmp_path / "site")  # fmt: skip
        assert outcome.exit_code == 7
        assert "lamp has no LSTM prior" in outcome.error
        assert not (tmp_path / "site").exists()

    def test_only_a_model_that_knows_the_words_of_the_robot_gets_it_unasked(
        self, tones_model: Model
    ) -> None:
        assert _page_grammar(tones_model, None) is None
        robot = _page_grammar(load_model("commands"), None)
        assert robot is not None
        assert robot.name == "robot"

    def test_the_readme_says_what_was_checked(self, site: Path) -> None:
        readme = (site / "README.md").read_text()
        assert "byte for byte (in Node.js)" in readme or NODE_MISSING in readme
        assert 'fetch("models/robot.json")' in readme


@needs_node
class TestEngine:
    """The engine as WebAssembly, in Node.js."""

    @pytest.mark.slow
    @pytest.mark.parametrize("model", ["commands", "commands-tiny"])
    def test_it_answers_as_c_does_over_twenty_thousand_frames(
        self, site: Path, tmp_path: Path, model: str
    ) -> None:
        """Byte for byte: the logits of all steps, and the features of all frames."""
        rng = np.random.default_rng(5)
        loud = recording().astype(np.float64)
        parts = [
            loud * gain + rng.normal(0, 30, len(loud)) for gain in (1, 0.05, 4, 0.3, 0.7, 2, 1.5)
        ]
        pcm = np.concatenate(parts).clip(-32768, 32767).astype(np.int16)
        engine = compile_engine(load_model(model), tmp_path, grammar=load_grammar("robot"))
        listener, features, logits, events = engine.listener(), [], [], []
        for frame in listener.frames(pcm):
            events += frame
            features.append(listener.features())
            if listener.steps() != len(logits):
                logits.append(listener.logits())
        assert len(features) > 20_000
        assert listen(site, model, pcm, "--features") == np.concatenate(features).tobytes()
        assert listen(site, model, pcm, "--logits") == np.concatenate(logits).tobytes()
        heard = [json.loads(line) for line in listen(site, model, pcm).splitlines()]
        labels = load_model(model).manifest.labels
        assert [(w["word"], w["startSample"], w["endSample"]) for w in heard] == [
            (labels[event.label], event.start_sample, event.end_sample) for event in events
        ]

    @pytest.mark.parametrize("rate", [44_100, 48_000])
    def test_words_at_the_rates_of_microphones(self, site: Path, rate: int) -> None:
        """Those that Python hears, at their times within 60 ms.

        Without the last word, "no", which stands at the threshold of another.
        """
        pcm = demo()[: 17 * 16_000]
        sound = soxr.resample(pcm, 16_000, rate)
        found = [
            json.loads(line)
            for line in listen(site, "commands", sound, "--rate", str(rate)).splitlines()
        ]
        wanted = harken("listen", "commands", "--grammar", "robot", "--stdin", "--json",
                        stdin=pcm.astype("<i2").tobytes()).out  # fmt: skip
        words = [event for event in map(json.loads, wanted.splitlines()) if "word" in event]
        assert [each["word"] for each in found] == [each["word"] for each in words]
        for each, event in zip(found, words, strict=True):
            assert each["end"] == pytest.approx(event["end_s"], abs=0.06)

    def test_with_a_memory_it_hears_and_learns_as_python_does(
        self, site: Path, tmp_path: Path
    ) -> None:
        """The words of the demo, with what others have taught it; the LSTM by the same kernels."""
        pytest.importorskip("tflite_micro")
        # Played from its beginning, "two" and silence have nearly the same evidence at the word's
        # end (0.4524, 0.4513), so that rounding decides when it comes; from 10 ms on they have not.
        robot, model, pcm = load_grammar("robot"), load_model("commands"), demo()[160:]
        file = shipped_prior(robot)
        assert file is not None
        learned = taught(robot, tmp_path / "memory.json").to_dict()
        prior = LstmPrior(file, runtime=TflmRuntime(file))
        memory = Memory.of(robot, model, prior=prior, now_s=0.0)
        memory.prior.from_dict(learned)
        wanted = Spotter(model, context=memory).feed(pcm)
        memory.log_odds(len(pcm) + 10 * 16_000)
        (site / "demo.raw").write_bytes(pcm.astype("<i2").tobytes())
        (site / "learned.json").write_text(json.dumps(learned))
        found = run_js(site, """
            import { readFileSync } from "node:fs";
            import { Engine, Memory } from "./harken.js";
            const json = (path) => JSON.parse(readFileSync(path));
            const engine = await Engine.load(readFileSync("models/commands.wasm"));
            const memory = new Memory(json("models/robot.json"), null, json("learned.json"));
            const bytes = readFileSync("demo.raw");
            const pcm = new Int16Array(bytes.buffer, bytes.byteOffset, bytes.length / 2);
            const words = [];
            let end = 0;
            for (let at = 0; at < pcm.length; at += 320) {
              for (const word of engine.feed(pcm.subarray(at, at + 320))) {
                words.push(word);
                const threshold = engine.info.thresholds[word.word];
                memory.hear(word.word, word.end, word.confidence, { ...word, threshold });
                engine.pending(memory.pending, memory.habit);
              }
              end = (at + 320) / 16000;
              if (memory.due !== null && end >= memory.due) memory.tick(end);
            }
            memory.tick(pcm.length / 16000 + 10);
            console.log(JSON.stringify({ words, learned: memory.learned }));
        """)  # fmt: skip
        for name in ("demo.raw", "learned.json"):
            (site / name).unlink()
        assert [(word["word"], word["endSample"]) for word in found["words"]] == [
            (event.word, event.end_sample) for event in wanted
        ]
        for word, event in zip(found["words"], wanted, strict=True):
            gained = odds(event.confidence) - odds(event.acoustic)
            assert odds(word["confidence"]) - odds(word["acoustic"]) == pytest.approx(
                gained, abs=2e-3
            )
            assert 0 < word["foreseen"] < 1
        python = memory.prior.to_dict()
        assert found["learned"]["lessons"] == python["lessons"] > learned["lessons"]
        assert found["learned"]["trust"] == pytest.approx(python["trust"], abs=1e-3)
        assert found["learned"]["counts"].keys() == python["counts"].keys()
        for key, counts in python["counts"].items():
            assert found["learned"]["counts"][key] == pytest.approx(counts, abs=2e-4)

    def test_a_faint_word_is_part_of_the_command(self, site: Path) -> None:
        """Those of Python: left, if it needs all evidence, before three and five."""
        pytest.importorskip("tflite_micro")
        robot, model, pcm = load_grammar("robot"), load_model("commands"), demo()[:68_000]
        file, manifest = shipped_prior(robot), model.manifest
        assert file is not None
        thresholds = {**manifest.detector.thresholds, "left": 1.0}
        detector = dataclasses.replace(manifest.detector, thresholds=thresholds)
        model = dataclasses.replace(
            model, manifest=dataclasses.replace(manifest, detector=detector)
        )
        prior = LstmPrior(file, runtime=TflmRuntime(file))
        memory = Noting.of(robot, model, prior=prior, now_s=0.0)
        assert isinstance(memory, Noting)
        Spotter(model, context=memory).feed(pcm)
        (site / "demo.raw").write_bytes(pcm.astype("<i2").tobytes())
        found = run_js(site, """
            import { readFileSync } from "node:fs";
            import { Engine, Memory } from "./harken.js";
            const engine = await Engine.load(readFileSync("models/commands.wasm"));
            const memory = new Memory(JSON.parse(readFileSync("models/robot.json")));
            const bytes = readFileSync("demo.raw");
            const pcm = new Int16Array(bytes.buffer, bytes.byteOffset, bytes.length / 2);
            engine.setThreshold("left", 1);
            const words = [], said = [];
            for (let at = 0; at < pcm.length; at += 320) {
              for (const word of engine.feed(pcm.subarray(at, at + 320))) {
                words.push(word);
                const { commands } = memory.hear(word.word, word.end, word.confidence, word);
                said.push(...commands.map(({ text }) => text));
                engine.pending(memory.pending, memory.habit);
              }
            }
            engine.expecting = false;
            engine.reset();
            const without = engine.feed(pcm).map(({ faint }) => faint);
            console.log(JSON.stringify({ words, said, without }));
        """)  # fmt: skip
        (site / "demo.raw").unlink()
        assert [word["word"] for word in found["words"]] == ["three", "five"]
        for word, event in zip(found["words"], memory.noted, strict=True):
            assert (word["word"], word["endSample"]) == (event.word, event.end_sample)
            if event.faint is None:
                assert word["faint"] is None
                continue
            assert word["faint"].keys() == {"word", "confidence", "end", "endSample"}
            assert word["faint"]["word"] == event.faint.word == "left"
            assert word["faint"]["confidence"] == pytest.approx(event.faint.confidence, abs=0.01)
            assert abs(word["faint"]["endSample"] - event.faint.end_sample) <= 640
            assert word["faint"]["end"] == word["faint"]["endSample"] / 16_000
        assert [word["faint"] is None for word in found["words"]] == [False, True]
        turns = memory.take_turns()
        said = [command.text for turn in turns for command in turn.commands]
        assert found["said"] == said == ["move left by three", "move left by five"]
        assert found["without"]
        assert set(found["without"]) == {None}

    def test_without_expecting_it_hears_as_a_spotter_does(self, site: Path) -> None:
        pcm = demo()
        (site / "demo.raw").write_bytes(pcm.astype("<i2").tobytes())
        found = run_js(site, """
            import { readFileSync } from "node:fs";
            import { Engine } from "./harken.js";
            const engine = await Engine.load(readFileSync("models/commands.wasm"));
            engine.expecting = false;
            const bytes = readFileSync("demo.raw");
            const pcm = new Int16Array(bytes.buffer, bytes.byteOffset, bytes.length / 2);
            console.log(JSON.stringify(engine.feed(pcm)));
        """)  # fmt: skip
        (site / "demo.raw").unlink()
        heard = [(w["word"], w["startSample"], w["endSample"]) for w in found]
        wanted = [(e.word, e.start_sample, e.end_sample) for e in Spotter("commands").feed(pcm)]
        assert heard == wanted

    def test_settings_and_their_bounds(self, site: Path) -> None:
        found = run_js(site, """
            import { readFileSync } from "node:fs";
            import { Engine } from "./harken.js";
            const model = readFileSync("models/commands-tiny.wasm");
            const engine = await Engine.load(model, { rate: 48000 });
            const refused = (call) => {
              try { call(); } catch (problem) { return `${problem.name}: ${problem.message}`; }
            };
            engine.setThreshold("yes", 0.9);
            engine.setThreshold("yes", 1e-12);
            engine.setThreshold("yes", null);
            engine.sensitivity = 64;
            engine.pending("nothing that it knows");
            engine.pending("number");
            engine.forget();
            engine.reset();
            const before = engine.steps;
            engine.feed(new Float32Array(48000));
            console.log(JSON.stringify({
              before, after: engine.steps, sum: engine.posteriors().reduce((a, b) => a + b),
              sizes: [engine.posteriors().length, engine.logits().length, engine.features().length],
              level: engine.level(), info: engine.info, sensitivity: engine.sensitivity,
              refused: [
                refused(() => engine.setThreshold("lamp", 0.5)),
                refused(() => engine.setThreshold("yes", 0)),
                refused(() => engine.setThreshold("yes", NaN)),
                refused(() => (engine.sensitivity = 65)),
                refused(() => engine.feed([1, 2])), refused(() => engine.feed(new Float64Array(4))),
              ],
            }));
        """)  # fmt: skip
        manifest = load_model("commands-tiny").manifest
        labels, n_mfcc = len(manifest.labels), manifest.front_end.n_mfcc
        assert found["before"] == 0
        assert found["after"] == 24
        assert found["sum"] == pytest.approx(1, abs=1e-6)
        assert found["sizes"] == [labels, labels, n_mfcc]
        assert found["level"] == {"peak": 0, "rms": 0}
        assert found["sensitivity"] == 64
        assert found["info"]["words"] == list(manifest.words)
        assert found["info"]["thresholds"] == dict(manifest.detector.thresholds)
        assert found["refused"][0].startswith(
            "RangeError: lamp is not a word of the model; its words are yes"
        )
        assert found["refused"][1].startswith(
            "RangeError: the threshold of yes is 0; it must be more"
        )
        assert found["refused"][2].startswith("RangeError: the threshold of yes is NaN")
        assert found["refused"][3].startswith("RangeError: the sensitivity is 65")
        assert found["refused"][4].startswith("TypeError: samples must be a Float32Array")
        assert found["refused"][5].startswith("TypeError: samples must be a Float32Array")

    @pytest.mark.parametrize(
        ("damage", "code", "said"),
        [
            (lambda content: content[:40_000], "bad-model", "damaged or incomplete"),
            (lambda content: content[: content.rindex(b"\0", 0, -900)], "bad-model", "damaged"),
            (lambda content: b"<!doctype html>", "bad-model", "damaged"),
            (lambda content: b"\0asm\1\0\0\0", "bad-model", "not a harken model"),
            (
                lambda content: content.replace(b'{"format":2,', b'{"format":3,'),
                "version",
                "version 3; this library reads version 2",
            ),
        ],
    )  # fmt: skip
    def test_files_that_are_no_model(
        self, site: Path, tmp_path: Path, damage: Any, code: str, said: str
    ) -> None:
        content = damage((site / "models" / "commands-tiny.wasm").read_bytes())
        (tmp_path / "model.wasm").write_bytes(content)
        found = run_js(site, """
            import { readFileSync } from "node:fs";
            import { Engine } from "./harken.js";
            const [path] = process.argv.slice(2);
            await Engine.load(readFileSync(path)).catch(({ code, message, remedy }) =>
              console.log(JSON.stringify({ code, message, remedy })));
        """, str(tmp_path / "model.wasm"))  # fmt: skip
        assert found["code"] == code
        assert said in found["message"]
        assert found["remedy"]

    @pytest.mark.parametrize("rate", ["44056", "0", "7999", "48000.5", "many"])
    def test_rates_that_cannot_be_converted(self, site: Path, rate: str) -> None:
        done = subprocess.run(
            ["node", site / "listen.mjs", "--rate", rate, site / "models" / "commands-tiny.wasm"],
            capture_output=True, text=True, check=False, input="",
        )  # fmt: skip
        assert done.returncode == 1
        assert re.fullmatch(r"error: Audio at \S+ Hz cannot be converted\. .*\n", done.stderr)

    @pytest.mark.parametrize(("target", "said"), [("| true", ""), ("> /dev/full", "ENOSPC")])
    def test_output_that_takes_nothing_more(self, site: Path, target: str, said: str) -> None:
        command = ["node", site / "listen.mjs", "--logits", site / "models" / "commands-tiny.wasm"]
        done = subprocess.run(
            ["bash", "-c", f'"$@" {target}', "bash", *command],
            capture_output=True, check=False, input=bytes(32_000),
        )  # fmt: skip
        assert said.encode() in done.stderr
        assert b"    at " not in done.stderr  # no stack

    def test_a_missing_model(self, site: Path) -> None:
        done = subprocess.run(
            ["node", site / "listen.mjs", "nowhere.wasm"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 1
        assert done.stderr.startswith("error: ENOENT")
        assert done.stderr.count("\n") == 1


@pytest.fixture(scope="module")
def project(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    npm = ["npm", "--offline", "--no-audit", "--no-fund"]
    subprocess.run([*npm, "pack", "--pack-destination", folder, site], check=True,
                   capture_output=True, cwd=folder)  # fmt: skip
    [package] = folder.glob("harken-*.tgz")
    (folder / "package.json").write_text('{"type": "module", "private": true}')
    subprocess.run([*npm, "install", package], check=True, capture_output=True, cwd=folder)
    return folder


@needs_node
@needs_npm
class TestPackage:
    """`npm pack`, and the package in a project of somebody's."""

    def test_what_is_in_it(self, project: Path, site: Path) -> None:
        package = project / "node_modules" / "harken"
        names = {
            path.relative_to(package).as_posix() for path in package.rglob("*") if path.is_file()
        }
        assert {"harken.js", "harken.d.ts", "worklet.js", "models/commands.wasm"} < names
        assert not names & {"index.html", "sw.js", "site.json"}
        assert not [name for name in names if name.startswith("page/")]
        facts = json.loads((package / "package.json").read_text())
        assert facts["name"] == "harken"
        assert "dependencies" not in facts

    def test_the_example_of_the_readme(self, project: Path, site: Path) -> None:
        """As it stands there, but for where PCM comes from."""
        example = re.search(
            r"## In Node.js\n\n```js\n(.*?)```", (site / "README.md").read_text(), re.S
        )
        assert example is not None
        pcm = soxr.resample(demo(), 16_000, 48_000)
        (project / "demo.raw").write_bytes(pcm.astype("<i2").tobytes())
        code = example[1].replace("console.log(word, start, end)", "found.push(word)")
        found = run_js(project, f"""
            const raw = await readFile("demo.raw");
            const pcm = new Int16Array(raw.buffer, raw.byteOffset, raw.length / 2);
            const found = [];
            {code}
            console.log(JSON.stringify(found));
        """)  # fmt: skip
        assert found[:3] == ["left", "three", "five"]
        assert len(found) == 14

    def test_its_command(self, project: Path) -> None:
        done = subprocess.run(
            ["node_modules/.bin/harken-listen", "node_modules/harken/models/commands-tiny.wasm"],
            input=demo().astype("<i2").tobytes(), capture_output=True, check=True, cwd=project,
        )  # fmt: skip
        assert len(done.stdout.splitlines()) == 14

    @needs_typescript
    def test_its_types(self, project: Path) -> None:
        """What is right passes; the compiler itself sees to it that each mistake is found."""
        (project / "app.ts").write_text(TYPED)
        options = ["--strict", "--noEmit", "--target", "es2022", "--lib", "es2022,dom"]
        done = subprocess.run(
            ["tsc", *options, "--module", "nodenext", "--moduleResolution", "nodenext", "app.ts"],
            capture_output=True, text=True, check=False, cwd=project,
        )  # fmt: skip
        assert (done.stdout, done.returncode) == ("", 0)


TYPED = """\
import { Dialogue, Engine, Spotter, type Grammar, type Word } from "harken";

export async function listen(grammar: Grammar, model: ArrayBuffer): Promise<Word[]> {
  const options = { sensitivity: 2, thresholds: { left: 0.5 } };
  const spotter = await Spotter.load("commands.wasm", options);
  const hear = ({ detail }: CustomEvent<Word>) => detail.word;
  spotter.addEventListener("word", hear);
  spotter.removeEventListener("word", hear);
  spotter.addEventListener("word", () => console.log("any"), { once: true });
  spotter.addEventListener("state", ({ detail }) => detail.state === "interrupted");
  spotter.addEventListener("error", ({ detail }) => detail.code === "denied" && detail.remedy);
  await spotter.start();
  spotter.setThreshold("left", null);
  const rate: number = (await spotter.snapshot()).sampleRate;
  const engine = await Engine.load(model, { rate });
  const dialogue = new Dialogue(grammar);
  for (const command of dialogue.hear("left", 1).commands) console.log(command.values);

  // @ts-expect-error
  spotter.addEventListener("word", ({ detail }) => detail.wrod);
  // @ts-expect-error
  spotter.addEventListener("state", ({ detail }) => detail.state === "interupted");
  // @ts-expect-error
  spotter.addEventListener("error", hear);
  // @ts-expect-error
  await Spotter.load("commands.wasm", { sensitivity: "2" });
  // @ts-expect-error
  spotter.state = "idle";
  // @ts-expect-error
  engine.feed([0, 1]);
  return engine.feed(new Int16Array(320));
}
"""


class TestBadInput:
    def test_a_grammar_whose_words_the_model_lacks(
        self, tones_folder: Path, tmp_path: Path
    ) -> None:
        outcome = harken("export", tones_folder / "tones.tflite", "--target", "web",
                         "--grammar", "robot", "--out", tmp_path / "site")  # fmt: skip
        assert outcome.exit_code == 9
        assert "the model has no word" in outcome.error
        assert not (tmp_path / "site").exists()

    def test_two_models_of_one_name(self, tmp_path: Path) -> None:
        outcome = harken("export", "commands", "--also", "commands", "--target", "web",
                         "--out", tmp_path / "site")  # fmt: skip
        assert outcome.exit_code == 7
        assert "have the same name" in outcome.error

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            (("--target", "c", "--also", "commands"), "--also"),
            (("--target", "tflm", "--grammar", "robot"), "--grammar"),
            (("--target", "web", "--name", "other"), "--name"),
        ],
    )
    def test_options_of_other_targets(
        self, tmp_path: Path, options: tuple[str, ...], said: str
    ) -> None:
        outcome = harken("export", "commands-tiny", *options, "--out", tmp_path / "site")
        assert outcome.exit_code == 2
        assert said in outcome.err
        assert not (tmp_path / "site").exists()

    def test_a_file_in_place_of_the_folder(self, tmp_path: Path) -> None:
        (tmp_path / "site").write_text("mine")
        outcome = harken("export", "commands-tiny", "--target", "web", "--out", tmp_path / "site")
        assert outcome.exit_code == 10
        assert (tmp_path / "site").read_text() == "mine"

    def test_odd_words_are_escaped_wherever_they_stand(self, tmp_path: Path) -> None:
        """Of a model that was trained before there was a rule for words."""
        model = load_model("commands-tiny")
        words = ('rock"n"roll', "a\\b", "</script>", "c\nd", "左", *model.manifest.words[5:])
        detector = dataclasses.replace(
            model.manifest.detector, thresholds=dict.fromkeys(words, 0.5)
        )
        manifest = dataclasses.replace(
            model.manifest, labels=(*words, "unknown", "silence"), detector=detector
        )
        export_web([dataclasses.replace(model, manifest=manifest)], tmp_path)
        for name in ("package.json", "site.json"):
            assert 'rock"n"roll' in str(json.loads((tmp_path / name).read_text()))
        assert "\\</script\\>" in (tmp_path / "README.md").read_text()

    def test_files_of_somebody_else(self, tmp_path: Path) -> None:
        (tmp_path / "index.html").write_text("mine")
        outcome = harken("export", "commands-tiny", "--target", "web", "--out", tmp_path)
        assert outcome.exit_code == 10
        assert "index.html; choose another --out" in outcome.error
        assert [path.name for path in tmp_path.iterdir()] == ["index.html"]

    def test_no_compiler_for_webassembly(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(wasm.shutil, "which", lambda name: None)
        monkeypatch.setattr(wasm.importlib.util, "find_spec", lambda name: None)
        with pytest.raises(
            DependencyError, match=r"apt-get install clang lld.*pip install ziglang"
        ):
            export_web([load_model("commands-tiny")], tmp_path / "site")
        assert not (tmp_path / "site").exists()

    def test_wasm_that_answers_otherwise_is_not_written(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The other model, in this case: its features differ, or if not, its logits."""
        tiny = load_model("commands-tiny")
        other = wasm.compile_wasm(web_bundle.checked_engine(load_model("commands")).model)
        monkeypatch.setattr(web_bundle, "compile_wasm", lambda model: other)
        if shutil.which("node") is None:
            pytest.skip("node is not installed")
        with pytest.raises(
            ExportError, match=r"WebAssembly check: the (features|logits) of models/commands-tiny"
        ):
            export_web([tiny], tmp_path / "site")
        assert not (tmp_path / "site").exists()

    def test_without_node_the_check_is_left_out_and_the_readme_says_so(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        which = shutil.which
        monkeypatch.setattr(web_bundle.shutil, "which", lambda n: None if n == "node" else which(n))
        bundle = export_web([load_model("commands-tiny")], tmp_path)
        assert bundle.not_checked == NODE_MISSING
        assert NODE_MISSING in (tmp_path / "README.md").read_text()


@pytest.mark.parametrize("size", [0, 1, 127, 128, 20_000, 3_000_000])
def test_custom_sections(size: int) -> None:
    """Id 0, the length as LEB128, the length of the name, the name, the content."""
    section = custom_section("harken", bytes(size))
    assert section[0] == 0
    length, shift, at = 0, 0, 1
    while True:
        length |= (section[at] & 0x7F) << shift
        shift, at = shift + 7, at + 1
        if section[at - 1] < 0x80:
            break
    assert length == len(section) - at == size + 7
    assert section[at : at + 7] == b"\x06harken"


def test_a_failing_compiler_is_named(tmp_path: Path) -> None:
    (tmp_path / "wrong.c").write_text("int f(void) { return nothing; }\n")
    with pytest.raises(ExportError, match=r"the C compiler clang|the C compiler .*python"):
        build([tmp_path / "wrong.c"], tmp_path / "out", compiler=find_wasm_compiler())


@needs_node
def test_networks_with_a_stem_answer_as_c_does(tmp_path: Path) -> None:
    """The export compares features and logits in Node, to the last byte."""
    models = [drawn_model(*LARGE, name="large"), drawn_model(*TINY, name="tiny")]
    bundle = export_web(models, tmp_path / "site")
    assert not bundle.not_checked
    script = gzip.compress((tmp_path / "site" / "models" / "large.wasm").read_bytes())
    assert len(script) < PAGE_LIMIT
