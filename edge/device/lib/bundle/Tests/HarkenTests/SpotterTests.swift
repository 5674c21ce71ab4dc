import Foundation
import XCTest

@testable import Harken

final class SpotterTests: XCTestCase {
    private struct Heard: Decodable, Equatable {
        let word: String
        let start_sample: UInt64
        let end_sample: UInt64
        let faint: HeardFaint?
    }

    private struct HeardFaint: Decodable, Equatable {
        let word: String
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

    private func expected(_ name: String) throws -> [Heard] {
        let lines = try String(contentsOf: golden.appendingPathComponent(name), encoding: .utf8)
        return try lines.split(separator: "\n").map {
            try JSONDecoder().decode(Heard.self, from: Data($0.utf8))
        }
    }

    private func heard(_ words: [Word]) -> [Heard] {
        words.map {
            Heard(
                word: $0.word, start_sample: $0.startSample, end_sample: $0.endSample,
                faint: $0.faint.map { HeardFaint(word: $0.word, end_sample: $0.endSample) })
        }
    }

    func testResultsEqualThoseAtExport() throws {
        XCTAssertTrue(Spotter.check())
        let words = try Spotter().feed(samples("pcm.s16le"))
        XCTAssertEqual(heard(words), try expected("pcm.json"))
    }

    func testOtherRatesAreConverted() throws {
        let sound = try samples("44100.s16le")
        let integers = try Spotter(rate: 44_100).feed(sound)
        XCTAssertEqual(heard(integers), try expected("44100.json"))
        let floats = try Spotter(rate: 44_100).feed(sound.map { Float($0) / 32768 })
        XCTAssertEqual(floats, integers)
    }

    func testBadArgumentsAreRefused() throws {
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
