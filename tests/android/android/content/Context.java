package android.content;

/** Stands for Android's class of that name. */
public abstract class Context {
    public abstract int checkSelfPermission(String permission);
}
