package quality.microscope.focus;

/** The focus at points of a plane. */
public final class PointsResult {
    /** Of each point; NaN where the patch is constant or mostly masked. */
    public final double[] levels;
    /** Of each point; NaN likewise. */
    public final double[] expectedLevels;
    /** Of each point; 0 where the patch is constant or mostly masked. */
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
