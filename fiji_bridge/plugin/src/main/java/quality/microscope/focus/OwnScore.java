package quality.microscope.focus;

import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/** A lab's own score: what its raters would say, from what a rater sees of a patch. */
final class OwnScore {
    private static final List<String> PARTS = Arrays.asList("centre", "hidden", "readout", "scale");
    private static final double MOST = 4;

    /** Standard deviation of the error of the score of what was labelled. */
    final double spread;

    private final float[] centre;
    private final float[] scale;
    private final float[] hidden;
    private final float[] readout;
    private final int bends;

    /**
     * Makes it of what a model has for it.
     *
     * @param values what the description tells of it
     * @param weights of its own, by {@code rating/centre} and so on
     * @throws FocusException for what is missing, superfluous or of another shape
     */
    OwnScore(Map<String, Object> values, Map<String, Weights> weights) {
        ModelFiles.checkEntries(
                "own_score", values, Arrays.asList("spread", "labels"), Arrays.asList());
        spread = ModelFiles.number(values, "spread");
        if (!(spread >= 0 && spread <= 1)) {
            throw new FocusException("spread must be a number from 0 to 1, not " + spread + ".");
        }
        Map<String, Object> found = new TreeMap<>();
        weights.forEach((name, array) -> found.put(name.substring(name.indexOf('/') + 1), array));
        ModelFiles.checkEntries("Weights of own_score", found, PARTS, Arrays.asList());
        int n = Components.OUTPUTS;
        int[] shape = ((Weights) found.get("hidden")).shape;
        bends = shape.length == 2 ? shape[1] : 0;
        centre = part(found, "centre", n);
        scale = part(found, "scale", n);
        hidden = part(found, "hidden", n + 1, bends);
        readout = part(found, "readout", n + 1 + bends);
        for (float one : scale) {
            if (!(one > 0)) {
                throw new FocusException("scale must be above 0.");
            }
        }
    }

    private static float[] part(Map<String, Object> weights, String name, int... shape) {
        Weights array = (Weights) weights.get(name);
        if (!Arrays.equals(array.shape, shape)) {
            throw new FocusException(
                    name + " must be of shape " + Arrays.toString(shape) + ", not "
                            + Arrays.toString(array.shape) + ".");
        }
        return array.values;
    }

    /** Gives the score of a patch, 0.1 to 1, by its outputs. */
    double of(double[] outputs) {
        double[] line = new double[outputs.length + 1];
        line[0] = 1;
        for (int i = 0; i < outputs.length; i++) {
            line[i + 1] = Components.clipped((outputs[i] - centre[i]) / scale[i], -MOST, MOST);
        }
        double score = 0;
        for (int i = 0; i < line.length; i++) {
            score += line[i] * readout[i];
        }
        for (int bend = 0; bend < bends; bend++) {
            double sum = 0;
            for (int i = 0; i < line.length; i++) {
                sum += line[i] * hidden[i * bends + bend];
            }
            score += Math.tanh(sum) * readout[line.length + bend];
        }
        return Components.clipped(score, Components.LOWEST_SCORE, 1);
    }
}
