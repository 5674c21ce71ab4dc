import Foundation
import XCTest

@testable import Harken

final class SpotterTests: XCTestCase {
    private struct Heard: Decodable, Equatable {
        let word: String
        let start_sample: UInt64
        let end_sample: UInt64
    }

    private var golden: URL {
        URL(fileURLWithPath: #filePath)
            .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
            .appendingPathComponent("golden")
    }

    private func samples(_ name: String) throws -> [Int16] {
        let data = try Data(contentsOf: golden.appendingPathComponent(name))
        return stride(from: 0, to: data.count, by: 2).map {
            Int16(bitPattern: UInt16(data[$0]) | UInt16(data[$0 + 1]) << 8)
        }
    }

    func testTheLibraryAnswersAsWhereItWasMade() throws {
        XCTAssertTrue(Spotter.check())
        let file = golden.appendingPathComponent("float.json")
        let lines = try String(contentsOf: file, encoding: .utf8)
        let expected = try lines.split(separator: "\n").map {
            try JSONDecoder().decode(Heard.self, from: Data($0.utf8))
        }
        let heard = try Spotter().feed(samples("pcm.s16le")).map {
            Heard(word: $0.word, start_sample: $0.startSample, end_sample: $0.endSample)
        }
        XCTAssertEqual(heard, expected)
    }

    func testOtherRatesAreConverted() throws {
        let words = try Spotter().feed(samples("pcm.s16le")).map(\.word)
        for rate in [48_000, 44_100] { // the first seconds of the same sound
            let heard = try Spotter(rate: rate).feed(samples("\(rate).s16le")).map(\.word)
            XCTAssertEqual(heard, Array(words.prefix(heard.count)))
        }
    }

    func testWhatCannotBeIsRefused() throws {
        XCTAssertThrowsError(try Spotter(rate: 0))
        XCTAssertThrowsError(try Spotter(rate: -1))
        let spotter = try Spotter()
        XCTAssertThrowsError(try spotter.setThreshold("no such word", 0.5))
        XCTAssertThrowsError(try spotter.setThreshold(Spotter.words[0], 0))
        XCTAssertThrowsError(try spotter.setThreshold(Spotter.words[0], .nan))
        XCTAssertThrowsError(try spotter.setSensitivity(0))
        XCTAssertThrowsError(try spotter.pending("no such name"))
        XCTAssertEqual(spotter.feed([Float](repeating: .nan, count: 48_000)), [])
    }
}
