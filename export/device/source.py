"""Layers and tables in, ``model_data.c`` and ``.h`` out: the same model, the same bytes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from ...edge.errors import ExportError
from ...edge.memory.grammar import Grammar
from ...edge.memory.grammar_file import shipped_grammars
from ...edge.memory.lstm import LstmPriorFile
from ...edge.memory.memory import shipped_prior
from ...edge.memory.prior import Learner
from ...edge.spotting.gate import GateTables
from ...edge.spotting.manifest import Manifest, Model
from .graph import (
    Addition,
    ConvLayer,
    DenseLayer,
    EngineNetwork,
    LstmLayer,
    Rescale,
    SvdfLayer,
    read_network,
    up4,
)
from .names import constants_of, identifier_of, in_comment
from .tables import (
    DetectorTables,
    FixedFrontEnd,
    FloatFrontEnd,
    FrontEndTables,
    Habit,
    PriorTables,
    detector_tables,
    fixed_front_end,
    float_front_end,
    front_end_tables,
    habits,
    prior_tables,
)

VERSION = 7
"""HARKEN_VERSION of the engine that the data is for."""

_WIDTH = 100
_STATE_BYTES = 48  # sizeof(struct harken)
_TOLD_BYTES = 40  # sizeof(prior_told)
_GATE_BYTES = 16  # sizeof(gate_state)
_WINDOW = 512


@dataclass(frozen=True, kw_only=True)
class EnginePrior:
    """The prior of the next word, in the engine's form."""

    grammar: Grammar
    file: LstmPriorFile
    network: EngineNetwork
    tables: PriorTables
    habits: tuple[Habit, ...] = ()
    learned: Learner | None = None
    """What its habits are derived from."""

    @classmethod
    def of(
        cls, manifest: Manifest, grammar: Grammar, learned: Learner | None = None
    ) -> EnginePrior:
        """Convert a grammar's LSTM for the engine; see `EngineModel.of`."""
        grammar.require_words(manifest.words)
        file = shipped_prior(grammar)
        if file is None:
            raise ExportError(
                f"the grammar {grammar.name} has no LSTM prior; the C engine can use those that "
                f"ship: {', '.join(shipped_grammars())}"
            )
        return cls(
            grammar=grammar,
            file=file,
            network=read_network(file.content),
            tables=prior_tables(manifest, grammar, file),
            habits=() if learned is None else habits(learned, file),
            learned=learned,
        )

    @property
    def memory_bytes(self) -> int:
        """Additional bytes of memory."""
        factors = len(self.tables.labels) * len(self.tables.gap_share)
        return 2 * _state_bytes(self.network) + _TOLD_BYTES + _up8(4 * factors)


@dataclass(frozen=True, kw_only=True)
class EngineModel:
    """A model in the engine's form."""

    manifest: Manifest
    network: EngineNetwork
    front_end: FrontEndTables
    detector: DetectorTables
    prior: EnginePrior | None = None
    gate: GateTables | None = None

    @classmethod
    def of(
        cls, model: Model, grammar: Grammar | None = None, learned: Learner | None = None
    ) -> EngineModel:
        """Convert a model for the engine.

        Parameters
        ----------
        model
            The model.
        grammar
            The grammar whose prior is included.
        learned
            What a memory of this grammar has learned, to include in the prior.

        Raises
        ------
        ExportError
            The engine cannot run it. Names the layer, or the field of the manifest.
        GrammarError
            The grammar has words that the model lacks.
        """
        manifest = model.manifest
        return cls(
            manifest=manifest,
            network=read_network(model.content),
            front_end=front_end_tables(manifest),
            detector=detector_tables(manifest),
            prior=None if grammar is None else EnginePrior.of(manifest, grammar, learned),
            gate=None
            if manifest.gate is None
            else GateTables.of(manifest.gate, manifest.front_end),
        )

    @property
    def identifier(self) -> str:
        """The model's name as a C identifier, such as ``commands_tiny``."""
        return identifier_of(self.manifest.name)

    @property
    def constants(self) -> tuple[list[str], list[str]]:
        """Endings of the names of constants: for the labels, and for what can be pending."""
        waits = () if self.prior is None else self.prior.tables.pending
        return constants_of(self.manifest.labels, waits)

    @property
    def front_end_scratch_bytes(self) -> int:
        """What harken_frontend_scratch() of the engine returns."""
        return 4 * _WINDOW + _up8(4 * self.manifest.front_end.n_mels)

    @property
    def memory_bytes(self) -> int:
        """What harken_bytes() of the engine returns."""
        manifest, prior = self.manifest, self.prior
        labels = len(manifest.labels)
        scratch = max(
            self.front_end_scratch_bytes,
            _scratch_bytes(self.network),
            _scratch_bytes(prior.network) if prior else 0,
        )
        return sum(
            (
                _STATE_BYTES,
                scratch,
                _state_bytes(self.network),
                _up8(4 * labels * self.detector.smoothing_steps),
                _up8(4 * labels),
                2 * _WINDOW,
                _up8(manifest.step.context_frames * manifest.front_end.n_mfcc),
                _up8(labels),
                _up8(labels),
                prior.memory_bytes if prior else 0,
                _GATE_BYTES if self.gate else 0,
            )
        )


def _state_bytes(network: EngineNetwork) -> int:
    kept = sum(2 * layer.memory * up4(layer.units) for layer in network.svdf)
    return kept + sum(_up8(3 * up4(layer.units)) for layer in network.lstm)


def _scratch_bytes(network: EngineNetwork) -> int:
    return 4 * network.widest


def header(model: EngineModel) -> str:
    """Return ``model_data.h``."""
    manifest, name = model.manifest, model.identifier
    upper = name.upper()
    constants, waits = model.constants
    labels = "\n".join(
        f"#define HARKEN_{upper}_{constant} {index}"
        + ("" if constant.lower() == label else f" /* {in_comment(label)} */")
        for index, (constant, label) in enumerate(zip(constants, manifest.labels, strict=True))
    )
    pending = "".join(
        f"#define HARKEN_{upper}_{constant} {index}\n" for index, constant in enumerate(waits)
    )
    if pending:
        pending = f"\n/* For harken_pending */\n{pending}"
    return f"""\
/* The model {manifest.name}, as the harken engine has it. Made by `harken export --target c`. */
#ifndef HARKEN_{upper}_H
#define HARKEN_{upper}_H

#include "harken.h"

#ifdef __cplusplus
extern "C" {{
#endif

#define HARKEN_{upper}_BYTES {model.memory_bytes} /* of memory for harken_init */
#define HARKEN_{upper}_SAMPLE_RATE {manifest.front_end.sample_rate_hz}

/* harken_event.label */
{labels}
{pending}
extern const harken_model harken_{name};

/* A recording, and what the engine answered to it; see harken_selftest. */
extern const harken_golden harken_{name}_golden;

#ifdef __cplusplus
}}
#endif
#endif
"""


def data(model: EngineModel) -> str:
    """Return ``model_data.c``."""
    manifest, name = model.manifest, model.identifier
    names = [c_string(label) for label in manifest.labels]
    detector = model.detector
    prior = "&prior" if model.prior else "NULL"
    gate = "&gate" if model.gate else "NULL"
    return "\n".join(
        (
            f"/* The model {manifest.name}: weights, tables, and what its manifest says. Made by\n"
            " * `harken export --target c`; SHA-256 of the TFLite file:\n"
            f" * {manifest.model.sha256} */",
            f'#include "model_data.h"\n\n#if HARKEN_VERSION != {VERSION}\n'
            '#error "harken: the engine and model_data.c are of different versions"\n#endif\n',
            *_network(model.network, "network"),
            _front_end(model.front_end),
            array("uint32_t", "exponentials", detector.exponentials, "u"),
            array("uint32_t", "threshold", detector.threshold, "u"),
            f"static const harken_detector detector = {{exponentials, threshold, "
            f"{detector.negligible}u, {detector.talk_share}u, {detector.talk_penalty}u, "
            f"{detector.refractory_steps}u, "
            f"{detector.smoothing_steps}, {detector.unknown}}};\n",
            *_prior(model.prior),
            *_gate(model.gate),
            _lines("static const char *const labels[] = {", names),
            f"""const harken_model harken_{name} = {{
    {VERSION}, {c_string(manifest.name)}, labels, &frontend, &network, &detector, {prior}, {gate},
    {manifest.front_end.sample_rate_hz}u, {manifest.front_end.hop_samples}, \
{manifest.step.stride_frames}, {manifest.step.context_frames}, {len(manifest.labels)}}};""",
            "",
        )
    )


def front_end_source(model: EngineModel) -> str:
    """Return ``frontend_data.c``: only the front end, for running the network elsewhere."""
    tables = _front_end(model.front_end).replace(
        "static const harken_frontend frontend",
        f"const harken_frontend harken_{model.identifier}_frontend",
    )
    return f'/* The front end of {model.manifest.name}. */\n#include "frontend_data.h"\n\n{tables}'


def _network(network: EngineNetwork, name: str) -> Iterable[str]:
    if network.conv:
        parts = [
            _dense_parts(layer.dense, f"{name}_conv_{index}")
            for index, layer in enumerate(network.conv)
        ]
        yield from (arrays for arrays, _ in parts)
        yield _lines(
            f"static const harken_conv {name}_conv[] = {{",
            [
                f"{{{fields}, {_geometry(layer)}}}"
                for layer, (_, fields) in zip(network.conv, parts, strict=True)
            ],
        )
    for index, stem in enumerate(network.svdf):
        yield from _svdf(stem, f"{name}_svdf_{index}")
    if network.svdf:
        yield _lines(
            f"static const harken_svdf {name}_svdf[] = {{",
            [_svdf_fields(stem, f"{name}_svdf_{i}") for i, stem in enumerate(network.svdf)],
        )
    for index, layer in enumerate(network.lstm):
        yield from _lstm(layer, f"{name}_lstm_{index}")
    yield _lines(
        f"static const harken_lstm {name}_lstm[] = {{",
        [_lstm_fields(layer, f"{name}_lstm_{index}") for index, layer in enumerate(network.lstm)],
    )
    yield _dense(network.last, f"{name}_last")
    conv = f"{name}_conv" if network.conv else "NULL"
    svdf = f"{name}_svdf" if network.svdf else "NULL"
    yield (
        f"static const harken_network {name} = {{{conv}, {svdf}, {name}_lstm, "
        f"&{name}_last, {len(network.conv)}, {len(network.svdf)}, {len(network.lstm)}, "
        f"{network.widest}}};\n"
    )


def _geometry(layer: ConvLayer) -> str:
    """Return what a ``harken_conv`` holds behind its dense layer."""
    return f"{layer.rows}, {layer.run}, {layer.pitch}, {layer.across}, {layer.places}"


def _prior(prior: EnginePrior | None) -> Iterable[str]:
    if prior is None:
        return
    tables = prior.tables
    yield from _network(prior.network, "prior_network")
    yield array("uint32_t", "prior_exponentials", tables.exponentials, "u")
    yield array("uint8_t", "prior_labels", tables.labels)
    yield array("uint32_t", "gap_samples", tables.gap_samples, "u")
    yield array("uint32_t", "gap_share", tables.gap_share, "u")
    if prior.habits:
        shares = [share for habit in prior.habits for share in habit.share]
        yield array("uint32_t", "habit_shares", shares, "u")
        yield _lines(
            "static const harken_habit habits[] = {",
            [
                f"{{habit_shares + {index * len(habit.share)}, {habit.pending}, {habit.word}}}"
                for index, habit in enumerate(prior.habits)
            ],
        )
    yield (
        f"/* The grammar {prior.grammar.name}. */\nstatic const harken_prior prior = {{\n"
        "    &harken_with_prior, &prior_network, prior_exponentials, prior_labels, gap_samples,\n"
        f"    gap_share, {'habits' if prior.habits else 'NULL'}, {tables.window_samples}u, "
        f"{tables.faint_steps}u, {tables.least}u, {tables.most}u, {tables.zero}, {tables.one}, "
        f"{len(tables.labels)}, {len(tables.gap_share)}, {len(tables.pending)}, "
        f"{len(prior.habits)}}};\n"
    )


def _gate(gate: GateTables | None) -> Iterable[str]:
    if gate is not None:
        yield (
            f"static const harken_gate gate = {{{gate.margin}, {gate.rise}, "
            f"{{{_pair(gate.least)}}}, {{{_pair(gate.most)}}}, {gate.hold}, {gate.warm_up}}};\n"
        )


def _pair(values: tuple[int, int]) -> str:
    return f"{values[0]}, {values[1]}"


def _dense(layer: DenseLayer, name: str) -> str:
    arrays, fields = _dense_parts(layer, name)
    return f"{arrays}\nstatic const harken_dense {name} = {fields};\n"


def _dense_parts(layer: DenseLayer, name: str) -> tuple[str, str]:
    """Return the arrays of a layer, and the structure that refers to them."""
    arrays = (
        _weights(f"{name}_weights", blocks_of_four(layer.weights)),
        array("int32_t", f"{name}_bias", rows_of_four(layer.bias)),
    )
    fields = (
        f"{{{name}_weights.bytes, {name}_bias, {_scale(layer.scale)}, {layer.inputs}, "
        f"{layer.outputs}, {layer.zero_point}, {layer.lowest}}}"
    )
    return "\n".join(arrays), fields


def blocks_of_four(weights: np.ndarray) -> np.ndarray:
    """(rows, columns) to (rows / 4, columns / 4, 4 rows, 4 columns), in one."""
    rows, columns = weights.shape
    padded = np.zeros((up4(rows), up4(columns)), np.int64)
    padded[:rows, :columns] = weights
    return padded.reshape(up4(rows) // 4, 4, up4(columns) // 4, 4).transpose(0, 2, 1, 3).ravel()


def rows_of_four(values: np.ndarray) -> np.ndarray:
    """(rows, ...) to (rows / 4, ..., 4 rows), in one."""
    padded = np.zeros((up4(len(values)), *values.shape[1:]), np.int64)
    padded[: len(values)] = values
    return np.moveaxis(padded.reshape(-1, 4, *values.shape[1:]), 1, -1).ravel()


def _svdf(layer: SvdfLayer, name: str) -> Iterable[str]:
    yield _weights(f"{name}_weights", blocks_of_four(layer.weights))
    yield array("int16_t", f"{name}_time", rows_of_four(layer.time_weights))
    biases = np.stack((layer.bias, layer.time_bias), axis=1)
    yield array("int32_t", f"{name}_bias", rows_of_four(biases))
    if layer.addition is not None:
        yield f"static const harken_addition {name}_sum = {_addition_fields(layer.addition)};\n"


def _addition_fields(addition: Addition) -> str:
    scales = ", ".join(_scale(scale) for scale in addition.scales)
    zero_points = ", ".join(str(zero_point) for zero_point in addition.zero_points)
    return f"{{{{{scales}}}, {{{zero_points}}}, {addition.lowest}, {addition.span}}}"


def _svdf_fields(layer: SvdfLayer, name: str) -> str:
    addition = "NULL" if layer.addition is None else f"&{name}_sum"
    return (
        f"{{{name}_weights.bytes, {name}_time, {name}_bias, {addition},\n"
        f"     {{{_scale(layer.scale)}, {_scale(layer.time_scale)}}},\n     "
        f"{layer.inputs}, {layer.units}, {layer.memory}, {layer.zero_point}}}"
    )


def _lstm(layer: LstmLayer, name: str) -> Iterable[str]:
    def blocks(weights: np.ndarray) -> np.ndarray:  # (4, units, n) to (units, n / 4, 4, 4)
        gates, units, columns = weights.shape
        padded = np.zeros((gates, units, up4(columns)), np.int64)
        padded[..., :columns] = weights
        return padded.reshape(gates, units, -1, 4).transpose(1, 2, 0, 3)

    joined = np.concatenate((blocks(layer.input_weights), blocks(layer.state_weights)), axis=1)
    yield _weights(f"{name}_weights", joined.ravel())
    bias = np.stack((layer.input_bias.T, layer.state_bias.T), axis=1)  # (units, 2, 4)
    yield array("int32_t", f"{name}_bias", bias.ravel())


def _lstm_fields(layer: LstmLayer, name: str) -> str:
    scales = ",\n      ".join(
        "{" + ", ".join(_scale(scale) for scale in part) + "}"
        for part in (layer.input_scales, layer.state_scales)
    )
    return (
        f"{{{name}_weights.bytes, {name}_bias,\n     {{{scales}}},\n     {_scale(layer.hidden)}, "
        f"{layer.inputs}, {layer.units}, {layer.cell_clip}, {layer.cell_bits}, "
        f"{layer.zero_point}}}"
    )


def _front_end(tables: FrontEndTables) -> str:
    fixed, real = fixed_front_end(tables), float_front_end(tables)
    bins = ("bins", tables.first_bin, len(real.floor), len(real.offset), tables.zero_point)
    rest = ", ".join(str(part) for part in bins)
    return "\n".join(
        (
            array("uint8_t", "bins", tables.bins),
            "#if HARKEN_FIXED_POINT",
            _fixed_front_end(fixed),
            "static const harken_frontend frontend = {cosine, rise, levels, dct, offset, "
            f"row_shift, {rest}}};",
            "#else",
            _float_front_end(real),
            "static const harken_frontend frontend = {cosine, rise, levels, dct, offset, "
            f"{rest}}};",
            "#endif\n",
        )
    )


def _fixed_front_end(front_end: FixedFrontEnd) -> str:
    return "\n".join(
        (
            array("int16_t", "cosine", front_end.cosine),
            array("uint16_t", "rise", front_end.rise),
            array("int32_t", "levels", front_end.floor),
            array("int16_t", "dct", front_end.dct.ravel()),
            array("int32_t", "offset", front_end.offset),
            array("int8_t", "row_shift", front_end.row_shift),
        )
    )


def _float_front_end(front_end: FloatFrontEnd) -> str:
    return "\n".join(
        _floats(name, values)
        for name, values in (
            ("cosine", front_end.cosine),
            ("rise", front_end.rise),
            ("levels", front_end.floor),
            ("dct", front_end.dct.ravel()),
            ("offset", front_end.offset),
        )
    )


def _scale(scale: Rescale) -> str:
    return f"{{{scale.multiplier}, {scale.left}, {scale.right}}}"


def _weights(name: str, values: np.ndarray) -> str:
    """Return an array of int8, aligned to four bytes."""
    body = _wrapped(str(value) for value in values)
    return (
        f"static const union {{\n    int8_t bytes[{len(values)}];\n    uint32_t alignment;\n}} "
        f"{name} = {{{{\n{body}}}}};\n"
    )


def array(kind: str, name: str, values: Sequence[int] | np.ndarray, suffix: str = "") -> str:
    """Return a C array, such as ``static const int8_t name[3] = {...};``."""
    body = _wrapped(f"{int(value)}{suffix}" for value in values)
    return f"static const {kind} {name}[{len(values)}] = {{\n{body}}};\n"


def _floats(name: str, values: np.ndarray) -> str:
    """Return an array of float32, written so that reading it back gives the same values."""
    body = _wrapped(_float(value) for value in values)
    return f"static const float {name}[{len(values)}] = {{\n{body}}};\n"


def _float(value: float) -> str:
    rounded = np.float32(value)
    if not math.isfinite(rounded):
        raise ValueError(f"{value} is not a float32")
    text = f"{rounded:.9g}"
    return (text if "." in text or "e" in text else f"{text}.0") + "f"


def _lines(opening: str, items: Sequence[str]) -> str:
    return opening + "\n    " + ",\n    ".join(items) + "};\n"


def _wrapped(items: Iterable[str]) -> str:
    lines, line = [], ""
    for item in items:
        if len(line) + len(item) + 1 > _WIDTH:
            lines.append(line)
            line = ""
        line += f"{item},"
    return "\n".join((*lines, line))


def c_string(text: str) -> str:
    """Return a C string literal; bytes outside ASCII are octal escapes."""
    escaped = "".join(
        chr(byte) if 32 <= byte < 127 and chr(byte) not in '"\\?' else f"\\{byte:03o}"
        for byte in text.encode()
    )
    return f'"{escaped}"'


def _up8(count: int) -> int:
    return (count + 7) // 8 * 8
