"""`harken export --target lib`: the project, the C interface, Kotlin, Swift; what is refused."""

from __future__ import annotations

import ctypes
import dataclasses
import json
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from c_engine import MISMATCH, NO_WORD, NULL, RANGE, Event, needs_compiler
from command import harken
from hybrids import LARGE, drawn_model
from learning import taught

from harken.edge import ExportError, load_model
from harken.edge.folders import RECORD_FILE
from harken.edge.memory.grammar_file import load_grammar
from harken.export.device.bundle import CheckedEngine, checked_engine
from harken.export.lib import bundle as lib_bundle
from harken.export.lib import targets as lib_targets
from harken.export.lib.bundle import ABI, export_library
from harken.export.lib.targets import (
    Machine,
    Sound,
    Target,
    build_target,
    check_answers,
    find_jni,
    library_targets,
)

pytestmark = needs_compiler

ANDROID = Path(__file__).parents[1] / "android"
RATES = {"pcm.s16le": (), "44100.s16le": ("--rate", "44100"),
         "48000.f32le": ("--rate", "48000", "--float")}  # fmt: skip
LIBC = {"malloc", "free", "memcpy", "memmove", "memset"}
STRICT = "-Wall -Wextra -Wpedantic -Wconversion -Werror -Wno-unknown-pragmas"


def needs(*programs: str) -> pytest.MarkDecorator:
    missing = [program for program in programs if shutil.which(program) is None]
    return pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}")


@dataclass(frozen=True)
class Exported:
    folder: Path
    said: dict
    """What --json printed."""

    @property
    def golden(self) -> Path:
        return self.folder / "golden"

    def words(self, sound: str) -> list[tuple[str, int, int]]:
        lines = (self.golden / f"{sound}.json").read_text().splitlines()
        return [(w["word"], w["start_sample"], w["end_sample"]) for w in map(json.loads, lines)]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """The larger model with the grammar of the robot, for all targets."""
    folder = tmp_path_factory.mktemp("lib") / "harken"
    outcome = harken("export", "commands", "--target", "lib", "--grammar", "robot",
                     "--out", folder, "--json")  # fmt: skip
    assert outcome.exit_code == 0, outcome.err
    return Exported(folder, json.loads(outcome.out))


@pytest.fixture(scope="module")
def tiny() -> CheckedEngine:
    return checked_engine(load_model("commands-tiny"))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch, tiny: CheckedEngine) -> None:
    """Export the smaller model for this machine alone, checked beforehand."""
    here = library_targets()[:1]
    monkeypatch.setattr(lib_bundle, "library_targets", lambda: here)
    monkeypatch.setattr(lib_bundle, "checked_engine", lambda model, grammar, **rest: tiny)


def run(*command: object, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Run a program; it must succeed."""
    done = subprocess.run([str(word) for word in command], input=stdin, capture_output=True,
                          check=False)  # fmt: skip
    assert done.returncode == 0, (done.stdout + done.stderr).decode()
    return done


def declared(folder: Path) -> set[str]:
    """The functions and constants of data that the public headers declare."""
    text = "".join(path.read_text() for path in (folder / "src" / "include").glob("*.h"))
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
    data = re.findall(r"extern const \w+ (harken_\w+);", text)
    return {*re.findall(r"\b(harken_\w+)\(", text), *data}


@pytest.mark.slow
class TestFolder:
    def test_every_target_whose_tools_are_here_was_compiled_and_compared(
        self, exported: Exported
    ) -> None:
        """Features, logits and words of all frames, byte for byte; see TestCheck."""
        assert exported.said["checks"]["frames"] > 3000
        built = {each["target"]: each for each in exported.said["built"]}
        targets = {target.name: target for target in library_targets()}
        assert [*built, *exported.said["not_built"]] == list(targets)
        readme = (exported.folder / "README.md").read_text()
        for name, target in targets.items():
            if target.missing is not None:
                assert exported.said["not_built"][name] == target.missing
                assert f"{name} ({target.missing})" in readme
                continue
            machine = target.machine
            assert built[name]["run"] == (machine is not None and machine.missing_to_run is None)
            assert built[name]["kotlin"] == (name.startswith("Android") and bool(find_jni()))
            assert 100_000 < built[name]["bytes"] < 220_000
            [row] = re.findall(rf"^\| {name} \|.*$", readme, re.M)
            assert ("| yes" in row) == built[name]["run"]
            assert ("only compiled" in row) != built[name]["run"]
            assert f"{built[name]['bytes']:,}" in row

    def test_the_same_model_gives_the_same_bytes(
        self, exported: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        here = library_targets()[:1]
        monkeypatch.setattr(lib_bundle, "library_targets", lambda: here)
        export_library(load_model("commands"), tmp_path, grammar=load_grammar("robot"))
        names = {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file()}
        assert len(names) > 45
        for name in names - {"README.md", RECORD_FILE}:  # which say what was compiled
            assert (tmp_path / name).read_bytes() == (exported.folder / name).read_bytes(), name

    def test_no_field_of_a_template_is_left(self, exported: Exported) -> None:
        for path in exported.folder.rglob("*"):
            if path.is_file() and path.parent.name != "golden":
                assert not re.search(r"@[A-Z0-9_]+@", path.read_text()), path

    def test_the_readme_says_what_the_model_waits_for(self, exported: Exported) -> None:
        readme = (exported.folder / "README.md").read_text()
        assert '`"confirm"`, `"direction"`, `"number"`' in readme


@pytest.mark.slow
class TestCMake:
    pytestmark = needs("cmake")

    @pytest.fixture(scope="class")
    @staticmethod
    def build(exported: Exported, tmp_path_factory: pytest.TempPathFactory) -> Path:
        folder = tmp_path_factory.mktemp("build")
        run("cmake", "-S", exported.folder, "-B", folder, "-DHARKEN_STATIC=ON",
            f"-DCMAKE_C_FLAGS={STRICT}")  # fmt: skip
        run("cmake", "--build", folder, "--parallel", 2)
        return folder

    def test_its_checks_pass(self, build: Path) -> None:
        done = run("ctest", "--test-dir", build)
        assert b"100% tests passed, 0 tests failed out of 8" in done.stdout

    @pytest.mark.parametrize("file", ["pcm.features", "44100.logits", "48000.json"])
    def test_another_answer_fails_a_check(
        self, exported: Exported, build: Path, tmp_path: Path, file: str
    ) -> None:
        sound, part = file.split(".")
        content = bytearray((exported.golden / file).read_bytes())
        content[-2] ^= 1
        (tmp_path / file).write_bytes(content)
        [source] = exported.golden.glob(f"{sound}.*le")
        done = subprocess.run(
            ["cmake", f"-DLISTEN={build / 'listen'}",
             f"-DOPTIONS={';'.join((*RATES[source.name], '--' + part))}", f"-DSOUND={source}",
             f"-DGOLDEN={tmp_path / file}", f"-DOUT={tmp_path / 'out'}",
             "-P", exported.folder / "desk" / "check.cmake"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode != 0
        assert "differs from" in " ".join(done.stderr.split())

    def test_what_is_installed_is_found_by_another_project(
        self, build: Path, tmp_path: Path
    ) -> None:
        run("cmake", "--install", build, "--prefix", tmp_path / "prefix")
        (tmp_path / "CMakeLists.txt").write_text(
            "cmake_minimum_required(VERSION 3.16)\nproject(app C)\n"
            "find_package(harken REQUIRED)\nadd_executable(app app.c)\n"
            "target_link_libraries(app harken::harken)\n"
            "add_executable(alone app.c)\ntarget_link_libraries(alone harken::harken_static)\n"
        )
        (tmp_path / "app.c").write_text(
            '#include <stdio.h>\n#include "harken_app.h"\n'
            'int main(void) { printf("%s %d", harken_model_name(), harken_check()); return 0; }\n'
        )
        run("cmake", "-S", tmp_path, "-B", tmp_path, f"-DCMAKE_PREFIX_PATH={tmp_path / 'prefix'}")
        run("cmake", "--build", tmp_path)
        for program in ("app", "alone"):
            assert run(tmp_path / program).stdout == b"commands 0"

    def test_the_example_of_the_readme(
        self, exported: Exported, build: Path, tmp_path: Path
    ) -> None:
        """As it stands there, with a microphone that plays the golden recording."""
        example = re.search(r"```c\n(.*?)```", (exported.folder / "README.md").read_text(), re.S)
        assert example is not None
        include, code = example[1].split("\n", 1)
        (tmp_path / "app.c").write_text(f"""{include}
            #include <stdio.h>
            #include <stdlib.h>
            static void microphone_read(float *samples, size_t n) {{
                if (fread(samples, 4, n, stdin) < n) exit(0);
            }}
            int main(void) {{
                float samples[480];
                {code}
            }}
        """)
        run("cc", "-Wall", "-Wextra", "-Werror", f"-I{exported.folder / 'src' / 'include'}",
            tmp_path / "app.c", build / "libharken.so", f"-Wl,-rpath,{build}",
            "-o", tmp_path / "app")  # fmt: skip
        done = run(tmp_path / "app", stdin=(exported.golden / "48000.f32le").read_bytes())
        heard = done.stdout.decode().split()
        assert heard == [word for word, _, _ in exported.words("48000")]
        assert heard[:3] == ["left", "three", "five"]

    @pytest.mark.parametrize(
        ("options", "code", "said"),
        [
            (("--what",), 2, "usage:"),
            (("--json", "--logits"), 2, "usage:"),
            (("--features", "--rate", "48000"), 2, "usage:"),
            (("--rate", "7999"), 1, "error: harken_open: a rate, label, threshold or state is"),
            (("--rate", "many"), 1, "error: harken_open: a rate, label, threshold or state is"),
            (("--rate", "99999999999999999999"), 1, "error: harken_open: a rate"),
        ],
    )
    def test_mistakes_on_a_desk(
        self, build: Path, options: tuple[str, ...], code: int, said: str
    ) -> None:
        done = subprocess.run([build / "listen", *options], capture_output=True, text=True,
                              input="", check=False)  # fmt: skip
        assert done.returncode == code
        assert done.stderr.startswith(said)

    @needs("nm")
    def test_only_the_functions_of_the_headers_are_shown(
        self, exported: Exported, build: Path
    ) -> None:
        shown = run("nm", "-D", "--defined-only", build / "libharken.so").stdout.decode()
        names = {line.split()[-1] for line in shown.splitlines()}
        assert {"harken_open", "harken_stream_feed", "harken_posteriors"} < names
        assert names == declared(exported.folder)


@pytest.mark.slow
@needs("clang", "ld.lld")
class TestPhones:
    """What clang and lld make for systems whose headers are not here."""

    @pytest.fixture(scope="class")
    @staticmethod
    def libraries(exported: Exported, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
        made = {}
        for target in library_targets():
            if target.declared is not None:
                folder = tmp_path_factory.mktemp("phone")
                build_target(dataclasses.replace(target, machine=None), exported.folder, folder)
                made[target.name] = folder / "libharken.so"
        return made

    def test_pages_of_16_kb(self, libraries: dict[str, Path]) -> None:
        for abi in ("arm64-v8a", "armeabi-v7a", "x86_64"):
            program = run("readelf", "-lW", libraries[f"Android {abi}"]).stdout.decode()
            aligned = re.findall(r"^  LOAD .* (0x[0-9a-f]+)$", program, re.M)
            assert len(aligned) >= 3
            assert set(aligned) == {"0x4000"}

    def test_android_finds_the_functions_of_the_headers_and_those_of_kotlin(
        self, exported: Exported, libraries: dict[str, Path]
    ) -> None:
        kotlin = exported.folder / "android" / "src" / "main" / "kotlin" / "harken" / "voice"
        native = re.findall(r"external fun (\w+)\(", (kotlin / "Native.kt").read_text())
        assert len(native) > 15
        expected = declared(exported.folder)
        if find_jni():
            expected |= {f"Java_harken_voice_Native_{name}" for name in native}
        for abi in ("arm64-v8a", "armeabi-v7a", "x86_64"):
            library = libraries[f"Android {abi}"]
            shown = run("nm", "-D", "--defined-only", library).stdout.decode()
            assert {line.split()[-1] for line in shown.splitlines()} == expected
            missing = run("nm", "-D", "--undefined-only", library).stdout.decode()
            functions = {line.split()[-1] for line in missing.splitlines()}
            assert {name for name in functions if not name.startswith("__aeabi_")} <= LIBC
            assert not functions - LIBC or abi == "armeabi-v7a"

    def test_apple_gets_its_own_format(self, libraries: dict[str, Path]) -> None:
        for name in ("iOS arm64", "macOS arm64"):
            content = libraries[name].read_bytes()
            assert content[:8] == b"\xcf\xfa\xed\xfe\x0c\x00\x00\x01"  # Mach-O, 64 bits, of Arm
            assert b"\0_harken_open\0" in content


@pytest.fixture(scope="module")
def library(exported: Exported, tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    return load(exported.folder, tmp_path_factory.mktemp("library"))


def load(project: Path, folder: Path) -> ctypes.CDLL:
    build_target(library_targets()[0], project, folder)
    loaded = ctypes.CDLL(str(folder / "libharken.so"))
    for name in ("model_name", "label", "pending_name", "error"):
        getattr(loaded, f"harken_{name}").restype = ctypes.c_char_p
    loaded.harken_stream_engine.restype = ctypes.c_void_p
    return loaded


@dataclass
class Stream:
    """One that harken_open opened."""

    library: ctypes.CDLL
    rate: int = 16_000

    def __post_init__(self) -> None:
        self.handle = ctypes.c_void_p()
        status = self.library.harken_open(ctypes.byref(self.handle), self.rate)
        assert status == 0, self.library.harken_error(status)

    def feed(self, pcm: np.ndarray) -> list[tuple[str, int, int]]:
        return [(self.name(e.label), e.start_sample, e.end_sample) for e in self.events(pcm)]

    def name(self, label: int) -> str:
        return str(self.library.harken_label(label).decode())

    def events(self, pcm: np.ndarray) -> list[Event]:
        call = self.library.harken_stream_feed16
        if pcm.dtype == np.float32:
            call = self.library.harken_stream_feed
        events = (Event * 64)()
        count = call(self.handle, pcm.ctypes.data_as(ctypes.c_void_p),
                     ctypes.c_size_t(len(pcm)), events, ctypes.c_size_t(64))  # fmt: skip
        assert 0 <= count <= 64
        return list(events[:count])

    def close(self) -> None:
        self.library.harken_close(self.handle)


@pytest.mark.slow
class TestInterface:
    """The C interface, as another language calls it."""

    def test_the_words_are_those_of_the_engine(
        self, exported: Exported, library: ctypes.CDLL
    ) -> None:
        for file, rate in (("pcm.s16le", 16_000), ("44100.s16le", 44_100), ("48000.f32le", 48_000)):
            dtype = np.float32 if file.endswith("f32le") else np.int16
            stream = Stream(library, rate)
            heard = stream.feed(np.fromfile(exported.golden / file, dtype))
            assert heard == exported.words(file.split(".")[0])
            stream.close()
            # At any rate the words of the one sound, at their times within 20 ms.
            same = exported.words("pcm")[: len(heard)]
            assert [word for word, _, _ in heard] == [word for word, _, _ in same]
            assert all(abs(a[2] - b[2]) <= 320 for a, b in zip(heard, same, strict=True))
            assert len(heard) >= 4

    def test_what_it_says_of_the_model(self, exported: Exported, library: ctypes.CDLL) -> None:
        manifest = load_model("commands").manifest
        labels = [library.harken_label(i) for i in range(library.harken_labels())]
        assert [label.decode() for label in labels] == list(manifest.labels)
        assert library.harken_label(len(labels)) is None
        assert library.harken_label(0xFFFFFFFF) is None
        assert library.harken_model_name() == b"commands"
        assert library.harken_model_rate() == 16_000
        assert library.harken_n_features() == manifest.front_end.n_mfcc
        thresholds = [library.harken_model_threshold(i) for i in range(len(labels) + 1)]
        for label, threshold in zip(manifest.labels, thresholds, strict=False):
            wanted = manifest.detector.thresholds.get(label, 0)
            assert threshold / 2**24 == pytest.approx(wanted, abs=1e-6), label
        assert thresholds[-1] == 0
        assert [library.harken_pending_name(i) for i in range(8)] == [
            b"", b"confirm", b"direction", b"number", None, None, None, None,
        ]  # fmt: skip

    def test_the_number_of_the_interface(self, exported: Exported, library: ctypes.CDLL) -> None:
        header = (exported.folder / "src" / "include" / "harken_app.h").read_text()
        assert f"#define HARKEN_ABI {ABI}\n" in header
        assert library.harken_abi() == ABI

    @pytest.mark.parametrize("rate", [0, 7999, 44_056, 192_001, 0xFFFFFFFF])
    def test_rates_that_cannot_be_converted(self, library: ctypes.CDLL, rate: int) -> None:
        handle = ctypes.c_void_p(1)
        assert library.harken_open(ctypes.byref(handle), ctypes.c_uint32(rate)) == RANGE
        assert handle.value is None

    @pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 32_000, 96_000, 192_000])
    def test_rates_that_can(self, library: ctypes.CDLL, rate: int) -> None:
        stream = Stream(library, rate)
        assert stream.feed(np.zeros(rate, np.float32)) == []
        stream.close()

    def test_null(self, library: ctypes.CDLL) -> None:
        assert library.harken_open(None, 16_000) == NULL
        library.harken_close(None)
        assert library.harken_stream_feed16(None, None, 0, None, 0) == NULL
        stream = Stream(library)
        assert library.harken_stream_feed(stream.handle, None, ctypes.c_size_t(5), None, 0) == NULL
        stream.close()

    def test_every_error_has_a_sentence_of_its_own(self, library: ctypes.CDLL) -> None:
        said = [library.harken_error(status) for status in (0, *range(NULL, RANGE - 1, -1), -100)]
        assert len(set(said)) == 9
        assert library.harken_error(-99) == b"unknown error"
        assert library.harken_error(3) == library.harken_error(0) == b"no error"
        assert b"self-test" in library.harken_error(MISMATCH)

    @needs("g++")
    def test_the_headers_are_cpp(self, exported: Exported, tmp_path: Path) -> None:
        include = exported.folder / "src" / "include"
        (tmp_path / "all.cc").write_text(
            "".join(f'#include "{path.name}"\n' for path in sorted(include.iterdir()))
            + "int main() { return harken_abi() - HARKEN_ABI; }\n"
        )
        run("g++", "-std=c++17", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", f"-I{include}",
            tmp_path / "all.cc")  # fmt: skip

    @needs("g++")
    def test_the_sources_are_cpp_too(self, exported: Exported, tmp_path: Path) -> None:
        sources = exported.folder / "src"
        listen = tmp_path / "listen"
        run("g++", "-std=c++11", "-O2", "-ffp-contract=off", "-Wall", "-Wextra", "-Werror",
            "-Wno-deprecated", "-x", "c++", f"-I{sources}", f"-I{sources / 'include'}",
            *sorted(sources.glob("*.c")), exported.folder / "desk" / "listen.c", "-o", listen,
        )  # fmt: skip
        run(listen, "--check")

    def test_many_at_once_hear_as_one_does(self, exported: Exported, library: ctypes.CDLL) -> None:
        """Each in a thread, fed in turns of another length."""
        pcm = np.fromfile(exported.golden / "pcm.s16le", np.int16)[: 20 * 16_000]
        alone = Stream(library)
        expected = alone.feed(pcm)
        alone.close()
        heard: list[list[tuple[str, int, int]]] = [[] for _ in range(24)]

        def listen(number: int) -> None:
            stream, chunk = Stream(library), 160 + 37 * number
            for start in range(0, len(pcm), chunk):
                heard[number] += stream.feed(pcm[start : start + chunk])
            stream.close()

        threads = [threading.Thread(target=listen, args=(i,)) for i in range(len(heard))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(expected) >= 14
        assert all(words == expected for words in heard)

    def test_a_model_that_knows_nothing_of_earlier_words(self, quick: None, tmp_path: Path) -> None:
        export_library(load_model("commands-tiny"), tmp_path / "project")
        (tmp_path / "built").mkdir()
        tiny = load(tmp_path / "project", tmp_path / "built")
        assert tiny.harken_pending_name(0) is None
        stream = Stream(tiny)
        engine = ctypes.c_void_p(tiny.harken_stream_engine(stream.handle))
        assert tiny.harken_pending(engine, 1) == RANGE
        stream.close()
        assert "pending" not in (tmp_path / "project" / "README.md").read_text()

    def test_the_sanitizers_find_nothing(self, exported: Exported, tmp_path: Path) -> None:
        """In the program that listens, with sound of all kinds."""
        source = exported.folder / "src"
        flags = "-std=c99", "-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"
        done = subprocess.run(
            ["cc", *flags, f"-I{source / 'include'}", f"-I{source}", *source.glob("*.c"),
             exported.folder / "desk" / "listen.c", "-o", tmp_path / "listen"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode and "asan" in done.stderr:
            pytest.skip("the compiler has no AddressSanitizer")
        assert done.returncode == 0, done.stderr
        for file, options in RATES.items():
            content = (exported.golden / file).read_bytes()[:1_200_000]
            words = run(tmp_path / "listen", *options, "--json", stdin=content).stdout
            assert words.splitlines()[0].startswith(b'{"word": "left"')
        noise = np.random.default_rng(1).bytes(200_001)  # NaN among them, and half a sample
        for options in (("--float", "--rate", "8000"), ("--float", "--rate", "192000"), ()):
            run(tmp_path / "listen", *options, "--logits", stdin=noise)
        run(tmp_path / "listen", "--features", stdin=noise)
        run(tmp_path / "listen", "--check")
        run(tmp_path / "listen", stdin=b"")


@pytest.mark.slow
@needs("cmake", "javac", "java", "kotlinc")
class TestKotlin:
    """The classes in a Java virtual machine, with stand-ins for those of Android."""

    @pytest.fixture(scope="class")
    @staticmethod
    def said(exported: Exported, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
        """What tests/android/Driver.kt says, and that the example of the README compiles."""
        folder = tmp_path_factory.mktemp("kotlin")
        run("cmake", "-S", exported.folder, "-B", folder / "jni", "-DHARKEN_JNI=ON",
            "-DHARKEN_DESK=OFF", f"-DCMAKE_C_FLAGS={STRICT}")  # fmt: skip
        run("cmake", "--build", folder / "jni", "--parallel", 2)
        classes = folder / "classes"
        classes.mkdir()
        run("javac", "-d", classes, *ANDROID.rglob("*.java"))
        example = re.search(
            r"```kotlin\n(.*?)```", (exported.folder / "README.md").read_text(), re.S
        )
        assert example is not None
        (folder / "Readme.kt").write_text(f"""
            import harken.voice.Microphone
            abstract class Activity : android.content.Context() {{
                fun runOnUiThread(action: () -> Unit) = action()
                fun show(text: String?) = println(text)
                fun example() {{
                    {example[1]}
                }}
            }}
        """)
        sources = exported.folder / "android" / "src" / "main" / "kotlin"
        done = run("kotlinc", "-include-runtime", "-cp", classes, "-d", folder / "harken.jar",
                   sources, ANDROID / "Driver.kt", folder / "Readme.kt")  # fmt: skip
        assert b"voice/" not in done.stderr  # no warning
        lines = run("java", "-Xcheck:jni", f"-Djava.library.path={folder / 'jni'}", "-cp",
                    f"{folder / 'harken.jar'}{os.pathsep}{classes}", "DriverKt",
                    exported.golden).stdout.decode().splitlines()  # fmt: skip
        assert not [line for line in lines if "\t" not in line], lines  # -Xcheck:jni complains here
        return dict(line.split("\t") for line in lines)

    @staticmethod
    def text(words: list[tuple[str, int, int]]) -> str:
        return " ".join(f"{word}/{start}/{end}" for word, start, end in words)

    def test_the_words_are_those_of_c(self, exported: Exported, said: dict[str, str]) -> None:
        expected = self.text(exported.words("pcm"))
        assert said["pcm"] == said["pcm in parts"] == said["eight threads"] == expected
        for sound in ("44100", "48000"):
            assert said[sound] == self.text(exported.words(sound))

    def test_what_it_says_of_the_model(self, said: dict[str, str]) -> None:
        manifest = load_model("commands").manifest
        assert said["check"] == "true"
        assert said["model"] == "commands 16000"
        assert said["labels"] == " ".join(manifest.labels)
        assert said["words"] == " ".join(manifest.words)
        assert said["pending names"] == "|confirm|direction|number"

    def test_settings(self, exported: Exported, said: dict[str, str]) -> None:
        assert said["again after a reset"] == "true"
        assert said["sum of the posteriors"] == "1.0"
        assert said["peak"] == "true"
        assert "left" not in said["left that needs all evidence"]
        assert "three" in said["left that needs all evidence"]
        assert said["left as the model has it"] == "true"
        assert int(said["words of the least sensitivity"]) < len(said["pcm"].split())
        assert said["not expecting"] != said["pcm"]
        assert said["what is not finite"] == "0"

    def test_faint_words_are_those_of_c(
        self, exported: Exported, library: ctypes.CDLL, said: dict[str, str]
    ) -> None:
        """If left needs all evidence, it is faint."""
        stream = Stream(library)
        left = load_model("commands").manifest.labels.index("left")
        assert library.harken_stream_threshold(stream.handle, left, 2**24) == 0
        events = stream.events(np.fromfile(exported.golden / "pcm.s16le", np.int16)[:68_000])
        faint = [
            "null"
            if event.faint == NO_WORD
            else f"{stream.name(event.faint)}/{event.faint_confidence}/{event.faint_sample}"
            for event in events
        ]
        stream.close()
        assert said["faint"] == f"[{', '.join(faint)}]"
        assert said["faint"].startswith("[left/")
        assert "null" in said["faint"]

    def test_mistakes_are_exceptions_that_say_what_would_be_right(
        self, said: dict[str, str]
    ) -> None:
        wrong = "IllegalArgumentException: "
        for rate in (-1, 0, 7999, 44056, 192001):
            assert said[f"rate {rate}"].startswith(f"{wrong}rateHz is {rate}; it must be the rate")
        assert said["word"].startswith(f'{wrong}word is "lamp"; the words are yes, no')
        assert said["label that is no word"].startswith(f'{wrong}word is "silence"; the words are')
        for value in ("0.0", "1.5", "NaN"):
            assert said[f"threshold {value}"].startswith(f"{wrong}threshold is {value}; it must be")
        for value in ("0.0", "65.0", "NaN"):
            assert said[f"sensitivity {value}"].startswith(f"{wrong}sensitivity is {value}; it")
        assert said["sensitivity"] == "1.0"
        assert said["pending"].startswith(f'{wrong}name is "nothing that it knows"; it must be one')
        for what in ("offset", "negative offset", "count", "huge count"):
            assert said[what].startswith("IndexOutOfBoundsException: offset ")
        assert said["no samples"] == "0"

    def test_a_spotter_that_is_closed(self, said: dict[str, str]) -> None:
        closed = {key: value for key, value in said.items() if key.startswith("closed: ")}
        assert len(closed) == 9
        assert set(closed.values()) == {"IllegalStateException: the spotter is closed"}
        assert said["closed while fed"] == "IllegalStateException: the spotter is closed"

    def test_the_microphone(self, exported: Exported, said: dict[str, str]) -> None:
        words = self.text(exported.words("44100"))  # of the first seconds
        gone = "the microphone is gone: call start() again"
        assert said["microphone"] == f"{words}; {gone}; 16000 Hz; 0 in use"
        assert "stopped sending audio (0)" in said["no more sound"]
        assert said["another rate"] == f"; {gone}; 48000 Hz; 0 in use"
        assert said["begun again"] == f"{words} {words}"
        assert said["stopped by a callback"] == "1 0 0"  # a word, no problem, none in use

    def test_a_microphone_that_cannot_be_had(self, said: dict[str, str]) -> None:
        problem = "MicrophoneException: "
        assert said["no rate"].startswith(f"{problem}this device has no microphone")
        assert said["no permission"].startswith(f"{problem}the permission RECORD_AUDIO is missing")
        assert said["busy"].startswith(f"{problem}another app is using the microphone: close it")
        assert said["refuses"].startswith(f"{problem}the microphone cannot be opened")
        assert said["in use after errors"] == said["end"] == "0"


@pytest.mark.slow
class TestSwift:
    """No compiler of Swift can be had here: what can be seen without one."""

    @staticmethod
    def sources(folder: Path) -> Iterator[tuple[str, str]]:
        for path in sorted(folder.rglob("*.swift")):
            yield path.name, path.read_text()
        readme = (folder / "README.md").read_text()
        yield from (("README.md", code) for code in re.findall(r"```swift\n(.*?)```", readme, re.S))

    def test_all_that_it_takes_of_c_is_in_the_headers(self, exported: Exported) -> None:
        known = "".join(
            path.read_text() for path in (exported.folder / "src" / "include").glob("*.h")
        )
        names = set(re.findall(r"\w+", re.sub(r"/\*.*?\*/", "", known, flags=re.S)))
        used = {
            word
            for _, text in self.sources(exported.folder)
            for word in re.findall(r"\b(?:harken|HARKEN)_\w+", re.sub(r"//.*", "", text))
        }
        assert len(used) > 15
        assert used <= names

    def test_it_follows_the_grammar_of_swift(self, exported: Exported) -> None:
        tree_sitter = pytest.importorskip("tree_sitter")
        swift = pytest.importorskip("tree_sitter_swift")
        parser = tree_sitter.Parser(tree_sitter.Language(swift.language()))
        texts = list(self.sources(exported.folder))
        assert [name for name, _ in texts] == [
            "Package.swift", "Microphone.swift", "Spotter.swift", "SpotterTests.swift", "README.md",
        ]  # fmt: skip
        for name, text in texts:
            assert not parser.parse(text.encode()).root_node.has_error, name

    def test_the_package_names_folders_that_are_there(self, exported: Exported) -> None:
        package = (exported.folder / "Package.swift").read_text()
        assert 'path: "src", publicHeadersPath: "include"' in package
        assert (exported.folder / "src" / "include" / "harken_app.h").is_file()
        for folder in ("Sources/Harken", "Tests/HarkenTests"):
            assert list((exported.folder / folder).glob("*.swift"))


@pytest.mark.slow
class TestComparison:
    """What each machine's answers are held against."""

    @pytest.fixture(scope="class")
    @staticmethod
    def sounds(exported: Exported) -> list[Sound]:
        return [
            Sound(
                file=file,
                content=(exported.golden / file).read_bytes(),
                options=options,
                answers={
                    part: (exported.golden / f"{file.split('.')[0]}.{part}").read_bytes()
                    for part in (("features",) if file == "pcm.s16le" else ()) + ("logits", "json")
                },
            )
            for file, options in RATES.items()
        ]

    @pytest.fixture(scope="class")
    @staticmethod
    def program(exported: Exported, tmp_path_factory: pytest.TempPathFactory) -> Path:
        _, program = build_target(
            library_targets()[0], exported.folder, tmp_path_factory.mktemp("here")
        )
        assert program is not None
        return program

    def test_what_is_written_is_what_the_library_answers(
        self, sounds: list[Sound], program: Path
    ) -> None:
        check_answers(library_targets()[0], program, sounds)

    def test_one_byte_of_any_answer_is_missed(self, sounds: list[Sound], program: Path) -> None:
        for i, sound in enumerate(sounds):
            for part, answer in sound.answers.items():
                wrong = answer[:-3] + bytes([answer[-3] ^ 1]) + answer[-2:]
                changed = dataclasses.replace(sound, answers={**sound.answers, part: wrong})
                with pytest.raises(ExportError, match=rf"the {part} of {sound.file} differ"):
                    check_answers(
                        library_targets()[0], program, [*sounds[:i], changed, *sounds[i + 1 :]]
                    )


def other(**compiler: tuple[str, ...]) -> Target:
    """A target that is this machine under another name, changed."""
    machine = library_targets()[0].machine
    assert machine is not None
    return Target(name="another", machine=dataclasses.replace(machine, **compiler))


class TestCheck:
    """What stops an export: then nothing is written."""

    @pytest.mark.parametrize("first", [False, True])
    def test_an_answer_that_differs(
        self, quick: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: bool
    ) -> None:
        """By a compiler that takes the other front end; on this machine, or on another."""
        [here] = library_targets()[:1]
        assert here.machine is not None
        wrong = other(compiler=(*here.machine.compiler, "-DHARKEN_FIXED_POINT=1"))
        targets = (wrong,) if first else (here, wrong)
        monkeypatch.setattr(lib_bundle, "library_targets", lambda: targets)
        with pytest.raises(
            ExportError, match=r"library check: on another the features of pcm.s16le differ"
        ):
            export_library(load_model("commands-tiny"), tmp_path / "out")
        assert not (tmp_path / "out").exists()

    def test_a_program_that_fails(
        self, quick: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(lib_bundle, "library_targets", lambda: (other(emulator=("false",)),))
        with pytest.raises(
            ExportError, match=r"another: the library failed \(code 1\): no message"
        ):
            export_library(load_model("commands-tiny"), tmp_path / "out")
        assert not (tmp_path / "out").exists()

    def test_tools_that_are_missing_are_named(
        self, quick: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        here = library_targets()[0]
        assert here.machine is not None
        compiler = here.machine.compiler
        targets = (
            here,
            Target(name="Board", machine=Machine(compiler=("no-such-gcc",))),
            Target(name="Bare", machine=Machine(compiler=compiler, libc="/no/such/stdlib.h")),
            Target(name="Far", machine=Machine(compiler=compiler, emulator=("no-such-qemu",))),
        )
        monkeypatch.setattr(lib_bundle, "library_targets", lambda: targets)
        bundle = export_library(load_model("commands-tiny"), tmp_path)
        assert bundle.not_built == {"Board": "no-such-gcc", "Bare": "/no/such/stdlib.h"}
        assert [built.run for built in bundle.built] == [True, False]
        readme = (tmp_path / "README.md").read_text()
        assert (
            "Not compiled, because programs were missing: Board (no-such-gcc), Bare (/no/" in readme
        )
        assert re.search(r"\| Far .*\| only compiled, no-such-qemu is missing \|", readme)
        assert "For Android" not in readme
        assert bundle.to_dict()["not_built"]["Board"] == "no-such-gcc"

    @needs("clang", "ld.lld")
    def test_without_a_jdk_the_readme_says_so(
        self, quick: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        here, *others = library_targets()
        android = next(target for target in others if target.kotlin)
        only = (here, dataclasses.replace(android, machine=None))
        monkeypatch.setattr(lib_bundle, "library_targets", lambda: only)
        monkeypatch.setattr(lib_targets, "find_jni", lambda: ())
        bundle = export_library(load_model("commands-tiny"), tmp_path)
        assert not any(built.kotlin for built in bundle.built)
        assert "that Kotlin calls were not compiled" in (tmp_path / "README.md").read_text()

    def test_without_clang_there_is_nothing_for_phones(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        which = shutil.which
        monkeypatch.setattr(
            lib_targets.shutil, "which", lambda name: None if name == "ld.lld" else which(name)
        )
        missing = {target.name: target.missing for target in library_targets()}
        assert missing["Android arm64-v8a"] == missing["iOS arm64"] == "ld.lld"
        assert missing[library_targets()[0].name] is None

    def test_the_folder_of_jni(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "include" / "linux").mkdir(parents=True)
        (tmp_path / "include" / "jni.h").write_text("")
        monkeypatch.setenv("JAVA_HOME", str(tmp_path))
        assert find_jni() == (tmp_path / "include", tmp_path / "include" / "linux")
        monkeypatch.delenv("JAVA_HOME")
        monkeypatch.setenv("PATH", "")
        assert find_jni() == ()


class TestCommand:
    def test_it_says_what_came_of_each_target(self, quick: None, tmp_path: Path) -> None:
        outcome = harken("export", "commands-tiny", "--target", "lib", "--out", tmp_path)
        assert outcome.exit_code == 0
        assert "a library for apps, all checks passed" in outcome.out
        assert re.search(r"  \w+ \w+: \d\d,\d{3} bytes; same output as the engine here\n",
                         outcome.out)  # fmt: skip

    @pytest.mark.parametrize(
        ("arguments", "code", "said"),
        [
            (("no-such-model",), 3, "no-such-model"),
            (("commands", "--grammar", "no-such"), 9, "no-such"),
            (("commands", "--name", "x"), 2, "--name"),
            (("commands", "--also", "commands-tiny"), 2, "--also"),
        ],
        ids=lambda value: " ".join(value) if isinstance(value, tuple) else str(value),
    )
    def test_what_does_not_fit(
        self, tmp_path: Path, arguments: tuple[str, ...], code: int, said: str
    ) -> None:
        outcome = harken("export", *arguments, "--target", "lib", "--out", tmp_path / "out")
        assert outcome.exit_code == code
        assert said in outcome.err
        assert "Traceback" not in outcome.err
        assert not (tmp_path / "out").exists()

    def test_files_of_somebody_else(self, tmp_path: Path) -> None:
        (tmp_path / "Package.swift").write_text("mine")
        outcome = harken("export", "commands-tiny", "--target", "lib", "--out", tmp_path)
        assert outcome.exit_code == 10
        assert "Package.swift; choose another --out" in outcome.error

    @pytest.mark.slow
    def test_what_a_memory_has_learned_is_part_of_it(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The library hears with it what the engine does, and that what Python does."""
        here = library_targets()[:1]
        monkeypatch.setattr(lib_bundle, "library_targets", lambda: here)
        memory = tmp_path / "memory.json"
        taught(load_grammar("robot"), memory)
        outcome = harken("export", "commands-tiny", "--target", "lib", "--grammar", "robot",
                         "--memory", memory, "--out", tmp_path / "out")  # fmt: skip
        assert outcome.exit_code == 0, outcome.err
        assert "what a memory has learned from" in (tmp_path / "out" / "README.md").read_text()
        source = (tmp_path / "out" / "src" / "model_data.c").read_text()
        assert "static const harken_habit habits[]" in source

    def test_a_grammar_whose_words_the_model_lacks(
        self, tones_folder: Path, tmp_path: Path
    ) -> None:
        outcome = harken("export", tones_folder / "tones.tflite", "--target", "lib",
                         "--grammar", "robot", "--out", tmp_path / "out")  # fmt: skip
        assert outcome.exit_code == 9
        assert "the model has no word" in outcome.error
        assert not (tmp_path / "out").exists()

    def test_a_file_in_place_of_the_folder(self, tmp_path: Path) -> None:
        (tmp_path / "out").write_text("mine")
        outcome = harken("export", "commands-tiny", "--target", "lib", "--out", tmp_path / "out")
        assert outcome.exit_code == 10
        assert (tmp_path / "out").read_text() == "mine"

    def test_without_a_compiler(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CC", "no-such-compiler")
        outcome = harken("export", "commands-tiny", "--target", "lib", "--out", tmp_path / "out")
        assert outcome.exit_code == 6
        assert "CC is 'no-such-compiler'" in outcome.error
        assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_network_with_a_stem_answers_the_same_everywhere(tmp_path: Path) -> None:
    """Compiled for all targets whose tools are here; run, and compared byte for byte."""
    bundle = export_library(drawn_model(*LARGE), tmp_path)
    assert any(built.run for built in bundle.built)
    assert not {built.target for built in bundle.built} & bundle.not_built.keys()
