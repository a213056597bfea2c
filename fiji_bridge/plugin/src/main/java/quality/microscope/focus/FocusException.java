package quality.microscope.focus;

/** An image, a setting or a model that cannot be used; the message says what would be right. */
public class FocusException extends RuntimeException {
    private static final long serialVersionUID = 1;

    public FocusException(String message) {
        super(message);
    }

    public FocusException(String message, Throwable cause) {
        super(message, cause);
    }
}
