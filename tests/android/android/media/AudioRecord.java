package android.media;

/** Stands for Android's class of that name: records what a test puts into it. */
public class AudioRecord {
    public static final int STATE_UNINITIALIZED = 0;
    public static final int STATE_INITIALIZED = 1;
    public static final int RECORDSTATE_STOPPED = 1;
    public static final int RECORDSTATE_RECORDING = 3;
    public static final int ERROR_BAD_VALUE = -2;
    public static final int ERROR_DEAD_OBJECT = -6;

    /** What is recorded, and what read() returns at its end. */
    public static short[] sound = {};
    public static int end = ERROR_DEAD_OBJECT;

    /** How the next one behaves. */
    public static int lowestRate = 8000;
    public static boolean refuses, busy;

    /** How many were made and not released. */
    public static int inUse;

    private int at;

    public static int getMinBufferSize(int rate, int channels, int encoding) {
        return rate < lowestRate ? ERROR_BAD_VALUE : 640;
    }

    public AudioRecord(int source, int rate, int channels, int encoding, int bytes) {
        if (bytes < 640) throw new IllegalArgumentException("bytes: " + bytes);
        inUse++;
    }

    public int getState() {
        return refuses ? STATE_UNINITIALIZED : STATE_INITIALIZED;
    }

    public void startRecording() {
        if (refuses) throw new IllegalStateException("startRecording() called on an uninitialized");
    }

    public int getRecordingState() {
        return busy ? RECORDSTATE_STOPPED : RECORDSTATE_RECORDING;
    }

    public int read(short[] samples, int offset, int count) {
        int n = Math.min(count, sound.length - at);
        if (n == 0) return end;
        System.arraycopy(sound, at, samples, offset, n);
        at += n;
        return n;
    }

    public void release() {
        inUse--;
    }
}
