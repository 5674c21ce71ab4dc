/* jni.h asks for this header, and uses nothing of it. */
