import CHarken
import Foundation

/// A detected word.
public struct Word: Equatable, Sendable {
    /// The word.
    public let word: String
    /// The evidence that decided it, 0 to 1.
    public let confidence: Float
    /// The same without the context (what was said before).
    public let acoustic: Float
    /// First sample of the evidence, at the model's rate, since the reset.
    public let startSample: UInt64
    /// Samples processed when the decision was made.
    public let endSample: UInt64
    /// The clearest faint word before it, after the last word; nil without one, or without a prior.
    public let faint: Faint?
}

/// A word that almost fired: its evidence rose to half of what it needs or more, and fell.
public struct Faint: Equatable, Sendable {
    /// The word.
    public let word: String
    /// Its highest evidence, 0 to 1.
    public let confidence: Float
    /// Samples processed at that moment.
    public let endSample: UInt64
}

/// The level of the audio; full scale is 1.
public struct Level: Equatable, Sendable {
    /// Largest magnitude of a sample.
    public let peak: Float
    /// Mean of the squared samples.
    public let meanSquare: Float
}

/// A bad argument; the message names the value and what is allowed.
public struct HarkenError: Error, Equatable, LocalizedError {
    public let message: String

    public var errorDescription: String? { message }
}

/// Samples in, words out.
///
///     let spotter = try Spotter(rate: 48_000)
///     for word in spotter.feed(samples) { print(word.word) }
///
/// Thread-safe: calls are serialized.
public final class Spotter: @unchecked Sendable {
    /// The name of the model in the library.
    public static let modelName = String(cString: harken_model_name())

    /// The rate in Hz at which positions in a `Word` count; feeding audio at this rate is cheapest.
    public static let modelRate = Int(harken_model_rate())

    /// Everything the model distinguishes: the words, "unknown" and "silence".
    public static let labels = (0..<harken_labels()).map { String(cString: harken_label($0)) }

    /// The words that can be detected.
    public static let words = labels.indices
        .filter { harken_model_threshold(UInt32($0)) > 0 }
        .map { labels[$0] }

    /// The names that `pending` accepts; empty for a model without a prior.
    public static let pendingNames: [String] = {
        var names: [String] = []
        while let name = harken_pending_name(UInt32(names.count)) {
            names.append(String(cString: name))
        }
        return names
    }()

    /// Whether results on this device equal those at export; takes about 0.1 s.
    public static func check() -> Bool { harken_check() == 0 }

    /// Rate of the samples, in Hz.
    public let rate: Int

    private static let chunk = 1024
    private static let room = 16 // most words per chunk, one per step
    private static let q24: Float = 16_777_216

    private let lock = NSLock()
    private let stream: OpaquePointer
    private var events = [harken_event](repeating: harken_event(), count: Spotter.room)
    private var factor: Float = 1
    private var expects = true

    /// - Parameter rate: rate of the samples, 8,000 to 192,000 Hz.
    /// - Throws: `HarkenError` for a rate that cannot be converted.
    public init(rate: Int = Spotter.modelRate) throws {
        var opened: OpaquePointer?
        let status = harken_open(&opened, UInt32(clamping: rate))
        guard let stream = opened else {
            throw HarkenError(
                message: status == HARKEN_ERROR_MEMORY
                    ? String(cString: harken_error(status))
                    : "rate is \(rate); it must be the rate of the audio, 8000 to 192000, such as 48000")
        }
        self.stream = stream
        self.rate = rate
    }

    deinit { harken_close(stream) }

    /// Process samples, mono, with full scale at 1, and return the words that they complete.
    /// Samples that are not finite count as 0.
    public func feed(_ samples: UnsafeBufferPointer<Float>) -> [Word] {
        feed(samples, by: harken_stream_feed)
    }

    /// The same for 16-bit samples.
    public func feed(_ samples: UnsafeBufferPointer<Int16>) -> [Word] {
        feed(samples, by: harken_stream_feed16)
    }

    /// The same for an array.
    public func feed(_ samples: [Float]) -> [Word] {
        samples.withUnsafeBufferPointer { feed($0) }
    }

    /// The same for an array of 16-bit samples.
    public func feed(_ samples: [Int16]) -> [Word] {
        samples.withUnsafeBufferPointer { feed($0) }
    }

    /// Start over: the next sample is sample 0. Thresholds keep their settings.
    public func reset() {
        locked { _ = harken_stream_reset(stream) }
    }

    /// Set the evidence that a word needs.
    ///
    /// - Parameters:
    ///   - word: one of `words`.
    ///   - threshold: more than 0, up to 1; nil: the model's threshold.
    /// - Throws: `HarkenError` for any other word or number.
    public func setThreshold(_ word: String, _ threshold: Float?) throws {
        guard Spotter.words.contains(word), let label = Spotter.labels.firstIndex(of: word) else {
            throw HarkenError(
                message: "word is \"\(word)\"; the words are "
                    + Spotter.words.joined(separator: ", "))
        }
        var number: UInt32 = 0
        if let threshold = threshold {
            guard threshold > 0, threshold <= 1 else {
                throw HarkenError(
                    message: "threshold is \(threshold); it must be more than 0, and at most 1")
            }
            number = max(1, UInt32((threshold * Spotter.q24).rounded()))
        }
        locked { _ = harken_stream_threshold(stream, UInt32(label), number) }
    }

    /// Divides the odds that every word needs; 1 keeps the model's thresholds.
    public var sensitivity: Float { locked { factor } }

    /// - Throws: `HarkenError` for a number outside 1/64 to 64.
    public func setSensitivity(_ value: Float) throws {
        guard value >= 1.0 / 64, value <= 64 else {
            throw HarkenError(message: "sensitivity is \(value); it must be between 1/64 and 64")
        }
        locked {
            factor = value
            _ = harken_stream_sensitivity(stream, UInt32((value * 65536).rounded()))
        }
    }

    /// Whether the context (what was said before) affects detection, for a model with a prior.
    public var expecting: Bool {
        get { locked { expects } }
        set {
            locked {
                expects = newValue
                _ = harken_stream_expecting(stream, newValue ? 1 : 0)
            }
        }
    }

    /// Posteriors of the last step: one number from 0 to 1 for each of `labels`.
    public var posteriors: [Float] {
        locked {
            guard let numbers = harken_posteriors(harken_stream_engine(stream)) else { return [] }
            return Spotter.labels.indices.map { Float(numbers[$0]) / 268_435_456 }
        }
    }

    /// The level since the last call.
    public func level() -> Level {
        locked {
            var peak: Float = 0
            var meanSquare: Float = 0
            _ = harken_stream_level(stream, &peak, &meanSquare)
            return Level(peak: peak, meanSquare: meanSquare)
        }
    }

    /// Set what the app waits for after the last word, so that it needs less evidence.
    ///
    /// - Parameter name: one of `pendingNames`; "" for nothing.
    /// - Throws: `HarkenError` for any other name.
    public func pending(_ name: String) throws {
        guard let number = Spotter.pendingNames.firstIndex(of: name) else {
            let known = Spotter.pendingNames.map { "\"\($0)\"" }.joined(separator: ", ")
            throw HarkenError(
                message: known.isEmpty
                    ? "the model \(Spotter.modelName) has no prior, so nothing can be pending"
                    : "name is \"\(name)\"; it must be one of \(known)")
        }
        locked { _ = harken_pending(harken_stream_engine(stream), UInt32(number)) }
    }

    /// Forget the words said so far, and nothing else.
    public func forget() {
        locked { _ = harken_forget(harken_stream_engine(stream)) }
    }

    private func feed<Sample>(
        _ samples: UnsafeBufferPointer<Sample>,
        by take: (
            OpaquePointer?, UnsafePointer<Sample>?, Int, UnsafeMutablePointer<harken_event>?, Int
        ) -> Int32
    ) -> [Word] {
        locked {
            guard let start = samples.baseAddress else { return [] }
            var words: [Word] = []
            var from = 0
            while from < samples.count {
                let count = min(Spotter.chunk, samples.count - from)
                let found = take(stream, start + from, count, &events, Spotter.room)
                for event in events.prefix(max(0, Int(found))) { words.append(Spotter.word(event)) }
                from += count
            }
            return words
        }
    }

    private func locked<T>(_ use: () -> T) -> T {
        lock.lock()
        defer { lock.unlock() }
        return use()
    }

    private static func word(_ event: harken_event) -> Word {
        Word(
            word: labels[Int(event.label)],
            confidence: Float(event.confidence) / q24,
            acoustic: Float(event.acoustic) / q24,
            startSample: event.start_sample,
            endSample: event.end_sample,
            faint: event.faint == HARKEN_NO_WORD
                ? nil
                : Faint(
                    word: labels[Int(event.faint)],
                    confidence: Float(event.faint_confidence) / q24,
                    endSample: event.faint_sample)
        )
    }
}
