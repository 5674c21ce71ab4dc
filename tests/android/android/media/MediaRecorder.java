package android.media;

/** Stands for Android's class of that name. */
public class MediaRecorder {
    public final class AudioSource {
        public static final int VOICE_RECOGNITION = 6;
    }
}
