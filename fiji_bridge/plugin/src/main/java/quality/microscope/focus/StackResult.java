package quality.microscope.focus;

import java.util.Collections;
import java.util.List;

/** The focus of a stack of planes. */
public final class StackResult {
    /** The plane in focus, counted from 1 as ImageJ counts slices; 0 when no plane is. */
    public final int bestPlane;
    /** The same, interpolated between planes; NaN when no plane is in focus. */
    public final double bestPosition;
    /** Of the best plane, or of the lowest one with content; NaN when all are without. */
    public final double expectedLevel;
    /** That plane's. */
    public final String status;
    /** One for each plane. */
    public final List<FocusResult> results;

    StackResult(
            int bestPlane, double bestPosition, double expectedLevel, String status,
            List<FocusResult> results) {
        this.bestPlane = bestPlane;
        this.bestPosition = bestPosition;
        this.expectedLevel = expectedLevel;
        this.status = status;
        this.results = Collections.unmodifiableList(results);
    }
}
