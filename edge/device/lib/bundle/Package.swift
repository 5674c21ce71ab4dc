// swift-tools-version:5.7
import PackageDescription

let package = Package(
    name: "Harken",
    platforms: [.iOS(.v13), .macOS(.v11)],
    products: [.library(name: "Harken", targets: ["Harken"])],
    targets: [
        .target(name: "CHarken", path: "src", publicHeadersPath: "include"),
        .target(name: "Harken", dependencies: ["CHarken"]),
        .testTarget(name: "HarkenTests", dependencies: ["Harken"]),
    ],
    cLanguageStandard: .c99
)
