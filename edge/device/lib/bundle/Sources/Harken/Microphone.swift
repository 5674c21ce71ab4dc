#if canImport(AVFoundation) && (os(iOS) || os(macOS))
import AVFoundation

/// The microphone is unavailable or was lost.
public enum MicrophoneError: Error, LocalizedError {
    /// Ask with `Microphone.requestPermission` first; a user who refused can allow it in Settings.
    case permissionMissing
    /// There is no microphone.
    case noMicrophone
    /// A call or another app took the microphone and did not release it: `start()` again.
    case interrupted
    /// The system refused, with this error.
    case refused(Error)

    public var errorDescription: String? {
        switch self {
        case .permissionMissing:
            return "the permission for the microphone is missing: ask for it first"
        case .noMicrophone:
            return "there is no microphone: plug one in, and start again"
        case .interrupted:
            return "another app took the microphone: start again"
        case .refused(let problem):
            return "the microphone cannot be started: \(problem.localizedDescription)"
        }
    }
}

/// Listens to the microphone on a system thread.
///
///     let microphone = Microphone(
///         onWord: { word in DispatchQueue.main.async { show(word) } },
///         onProblem: { problem in … })
///     Microphone.requestPermission { granted in if granted { try? microphone.start() } }
///
/// Info.plist must contain NSMicrophoneUsageDescription. start and stop may be called on any thread,
/// but not from within a callback.
public final class Microphone: @unchecked Sendable {
    private let onWord: (Word) -> Void
    private let onProblem: (MicrophoneError) -> Void
    private let onSpotter: (Spotter) -> Void
    private let queue = DispatchQueue(label: "harken.microphone")
    private let engine = AVAudioEngine()
    private var spotter: Spotter?
    private var observers: [NSObjectProtocol] = []

    /// - Parameters:
    ///   - onWord: called with each word, on a system thread.
    ///   - onProblem: called when the microphone is lost while listening; listening has then stopped.
    ///   - onSpotter: called with each new `Spotter`, at the start and when a headset with another
    ///     rate is plugged in: set thresholds here. Do not feed it.
    public init(
        onWord: @escaping (Word) -> Void,
        onProblem: @escaping (MicrophoneError) -> Void,
        onSpotter: @escaping (Spotter) -> Void = { _ in }
    ) {
        self.onWord = onWord
        self.onProblem = onProblem
        self.onSpotter = onSpotter
    }

    deinit { observers.forEach(NotificationCenter.default.removeObserver) }

    /// Ask the user for permission, unless that was done before.
    public static func requestPermission(_ answer: @escaping (Bool) -> Void) {
        #if os(iOS)
        AVAudioSession.sharedInstance().requestRecordPermission(answer)
        #else
        AVCaptureDevice.requestAccess(for: .audio, completionHandler: answer)
        #endif
    }

    /// Start listening from a reset state. Does nothing while it already listens.
    ///
    /// - Throws: `MicrophoneError`.
    public func start() throws {
        try queue.sync {
            guard observers.isEmpty else { return }
            guard Microphone.permitted else { throw MicrophoneError.permissionMissing }
            #if os(iOS)
            do {
                let session = AVAudioSession.sharedInstance()
                try session.setCategory(.record, mode: .measurement)
                try session.setActive(true)
            } catch {
                throw MicrophoneError.refused(error)
            }
            #endif
            spotter = nil
            try listen()
            watch()
        }
    }

    /// Stop listening, and release the microphone.
    public func stop() {
        queue.sync { end() }
    }

    private static var permitted: Bool {
        #if os(iOS)
        return AVAudioSession.sharedInstance().recordPermission == .granted
        #else
        return AVCaptureDevice.authorizationStatus(for: .audio) == .authorized
        #endif
    }

    /// Connect to the current microphone at its current rate.
    private func listen() throws {
        let input = engine.inputNode
        input.removeTap(onBus: 0)
        let format = input.outputFormat(forBus: 0)
        guard format.sampleRate > 0, format.channelCount > 0 else {
            throw MicrophoneError.noMicrophone
        }
        let rate = Int(format.sampleRate.rounded())
        let hears: Spotter
        if let same = spotter, same.rate == rate {
            hears = same
        } else {
            do { hears = try Spotter(rate: rate) } catch { throw MicrophoneError.refused(error) }
            spotter = hears
            onSpotter(hears)
        }
        let onWord = self.onWord
        input.installTap(onBus: 0, bufferSize: 1024, format: format) { buffer, _ in
            guard let channels = buffer.floatChannelData else { return }
            let samples = UnsafeBufferPointer(start: channels[0], count: Int(buffer.frameLength))
            hears.feed(samples).forEach(onWord)
        }
        do {
            engine.prepare()
            try engine.start()
        } catch {
            input.removeTap(onBus: 0)
            throw MicrophoneError.refused(error)
        }
    }

    private func watch() {
        let center = NotificationCenter.default
        observers.append(
            center.addObserver(
                forName: .AVAudioEngineConfigurationChange, object: engine, queue: nil
            ) { [weak self] _ in self?.again() })
        #if os(iOS)
        observers.append(
            center.addObserver(
                forName: AVAudioSession.interruptionNotification, object: nil, queue: nil
            ) { [weak self] notification in self?.interrupted(notification) })
        #endif
    }

    #if os(iOS)
    private func interrupted(_ notification: Notification) {
        let info = notification.userInfo
        guard let raw = info?[AVAudioSessionInterruptionTypeKey] as? UInt,
            AVAudioSession.InterruptionType(rawValue: raw) == .ended
        else { return }
        let options = AVAudioSession.InterruptionOptions(
            rawValue: info?[AVAudioSessionInterruptionOptionKey] as? UInt ?? 0)
        if options.contains(.shouldResume) {
            again()
        } else {
            queue.async { self.lost(.interrupted) }
        }
    }
    #endif

    private func again() {
        queue.async {
            guard !self.observers.isEmpty else { return }
            do {
                try self.listen()
            } catch let problem as MicrophoneError {
                self.lost(problem)
            } catch {
                self.lost(.refused(error))
            }
        }
    }

    private func lost(_ problem: MicrophoneError) {
        guard !observers.isEmpty else { return }
        end()
        onProblem(problem)
    }

    private func end() {
        observers.forEach(NotificationCenter.default.removeObserver)
        observers = []
        engine.inputNode.removeTap(onBus: 0)
        engine.stop()
        #if os(iOS)
        try? AVAudioSession.sharedInstance().setActive(
            false, options: .notifyOthersOnDeactivation)
        #endif
    }
}
#endif
