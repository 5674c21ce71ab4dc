package android;

/** Stands for Android's class of that name: what Microphone.kt uses of it. */
public final class Manifest {
    public static final class permission {
        public static final String RECORD_AUDIO = "android.permission.RECORD_AUDIO";
    }
}
