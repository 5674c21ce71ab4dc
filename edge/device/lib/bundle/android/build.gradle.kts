// The library as a module. In the app's settings.gradle.kts:
//     include(":harken")
//     project(":harken").projectDir = file("path/to/this/folder")
// In the app's build.gradle.kts:
//     implementation(project(":harken"))
plugins {
    id("com.android.library")
    id("org.jetbrains.kotlin.android")
}

android {
    namespace = "harken.voice"
    compileSdk = 35

    defaultConfig {
        minSdk = 23
        consumerProguardFiles("consumer-rules.pro")
        ndk { abiFilters += listOf("arm64-v8a", "armeabi-v7a", "x86_64") }
    }

    externalNativeBuild {
        cmake { path = file("../CMakeLists.txt") }
    }
}

kotlin {
    jvmToolchain(17)
}
