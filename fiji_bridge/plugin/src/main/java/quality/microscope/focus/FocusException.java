package quality.microscope.focus;

/** An image, a setting or a model that cannot be used; the message says what would be right. */
public class FocusException extends RuntimeException {
    private static final long serialVersionUID = 1;

    /** The setting that is wrong, as macros call it; empty where it is none. */
    final String setting;
    /** What is wrong with it, to be read after a name of the setting. */
    final String fault;

    public FocusException(String message) {
        this("", message, null);
    }

    public FocusException(String message, Throwable cause) {
        this("", message, cause);
    }

    private FocusException(String setting, String fault, Throwable cause) {
        super(setting.isEmpty() ? fault : setting + " " + fault, cause);
        this.setting = setting;
        this.fault = fault;
    }

    /** Makes the error of a setting, as in {@code of("na", "must be positive.")}. */
    static FocusException of(String setting, String fault) {
        return new FocusException(setting, fault, null);
    }
}
