package quality.microscope.focus;

import java.util.Collections;
import java.util.List;

/** The focus of a stack of planes. */
public final class StackResult {
    /**
     * The sharpest plane, in focus or not, counted from 1 as ImageJ counts slices; 0 when no plane
     * has content, unless planes are too small for a level.
     */
    public final int bestPlane;
    /** The same, interpolated between planes; NaN likewise. */
    public final double bestPosition;
    /** Of the best plane; NaN when it has no content. */
    public final double expectedLevel;
    /** That plane's: it says whether the stack has a plane in focus. */
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
