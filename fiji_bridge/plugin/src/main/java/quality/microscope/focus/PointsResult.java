package quality.microscope.focus;

/** The focus at points of a plane. */
public final class PointsResult {
    /** Of each point; NaN where there is nothing in the patch to judge by. */
    public final double[] levels;
    /** Of each point; NaN likewise. */
    public final double[] expectedLevels;
    /** Of each point; 0 likewise. */
    public final double[] certainties;
    /** Of each point, for each level. */
    public final double[][] probabilities;

    PointsResult(double[][] probabilities) {
        this.probabilities = probabilities;
        levels = new double[probabilities.length];
        expectedLevels = new double[probabilities.length];
        certainties = new double[probabilities.length];
        for (int i = 0; i < probabilities.length; i++) {
            levels[i] = Certainty.level(probabilities[i]);
            expectedLevels[i] = Certainty.expectedLevel(probabilities[i]);
            certainties[i] = Certainty.certainty(probabilities[i]);
        }
    }
}
