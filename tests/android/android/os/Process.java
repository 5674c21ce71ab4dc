package android.os;

/** Stands for Android's class of that name. */
public class Process {
    public static final int THREAD_PRIORITY_AUDIO = -16;

    public static void setThreadPriority(int priority) {}
}
