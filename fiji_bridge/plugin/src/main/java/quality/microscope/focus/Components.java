package quality.microscope.focus;

import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** What is wrong with an image, or a patch; NaN where it was not rated. */
public final class Components {
    /** What a rater gives of a patch. */
    static final int OUTPUTS = 7;
    /** Their places. */
    static final int SCORE = 0;
    static final int BLUR = 1;
    static final int ALONG = 2;
    static final int DIAGONAL = 3;
    static final int NOISE = 4;
    static final int LINE_NOISE = 5;
    static final int JITTER = 6;

    /** The score of an image that has nothing in common with its ideal; the best one is 1. */
    static final double LOWEST_SCORE = 0.1;
    /** The lowest score that is good, unless another one is asked for. */
    static final double LOWEST_GOOD_SCORE;

    // Of the library's components.py: `python tests/fiji_vectors.py` writes them anew.
    private static final String CONSTANTS = "components.json";
    private static final double LEAST_BLUR_PX;
    private static final double LEAST_ELONGATION;
    private static final double LEAST_LOSS;
    private static final double LINE_NOISE_UNIT;
    private static final double JITTER_UNIT_PX;
    // What to do, by cause.
    private static final Map<String, Object> ACTIONS;
    // Values of a fault, as logarithms, and the score that it costs.
    private static final Map<String, double[][]> LOST = new LinkedHashMap<>();

    static {
        Map<String, Object> values;
        try (InputStream stream = Components.class.getResourceAsStream(CONSTANTS)) {
            byte[] content = Weights.bytes(stream);
            values = ModelFiles.object(
                    Json.parse(new String(content, StandardCharsets.UTF_8)), CONSTANTS);
        } catch (IOException error) {
            throw new ExceptionInInitializerError(error);
        }
        LOWEST_GOOD_SCORE = ModelFiles.number(values, "lowest_good_score");
        LEAST_BLUR_PX = ModelFiles.number(values, "least_blur_px");
        LEAST_ELONGATION = ModelFiles.number(values, "least_elongation");
        LEAST_LOSS = ModelFiles.number(values, "least_loss");
        LINE_NOISE_UNIT = ModelFiles.number(values, "line_noise_unit");
        JITTER_UNIT_PX = ModelFiles.number(values, "jitter_unit_px");
        ACTIONS = ModelFiles.object(values.get("actions"), "actions");
        Map<String, Object> lost = ModelFiles.object(values.get("lost"), "lost");
        for (Map.Entry<String, Object> cause : lost.entrySet()) {
            List<?> table = (List<?>) cause.getValue();
            double[][] numbers = {numbers(table.get(0)), numbers(table.get(1))};
            for (int i = 0; i < numbers[0].length; i++) {
                numbers[0][i] = Math.log(numbers[0][i]);
            }
            LOST.put(cause.getKey(), numbers);
        }
    }

    /**
     * RMS width of the probe in pixels, the root of the mean square of its long and short width; 0.7
     * at the least, which an ideal image has.
     */
    public final double blurPx;
    /** Long width over short width, 1 at the least. */
    public final double elongation;
    /**
     * Direction of the long width in degrees, counter-clockwise from the lines' direction, 0 to 180.
     */
    public final double angleDeg;
    /** Standard deviation of the noise, over that of the specimen's detail. */
    public final double noise;
    /** RMS of offsets of lines and of charging streaks, over the same. */
    public final double lineNoise;
    /** RMS displacement of lines along themselves, in pixels. */
    public final double jitterPx;

    private Components(
            double blurPx, double elongation, double angleDeg, double noise, double lineNoise,
            double jitterPx) {
        this.blurPx = blurPx;
        this.elongation = elongation;
        this.angleDeg = angleDeg;
        this.noise = noise;
        this.lineNoise = lineNoise;
        this.jitterPx = jitterPx;
    }

    private static double[] numbers(Object values) {
        return ((List<?>) values).stream().mapToDouble(value -> (Double) value).toArray();
    }

    /** Gives the components that outputs of a patch, or means of them, stand for. */
    static Components of(double[] outputs) {
        double blur = clipped(outputs[BLUR], -32, 32);
        double along = clipped(outputs[ALONG], -32, 32);
        double diagonal = clipped(outputs[DIAGONAL], -32, 32);
        // Seen on the screen, where lines follow each other downwards, the angle runs the other way.
        double angle = Math.toDegrees(-0.5 * Math.atan2(diagonal, along));
        return new Components(
                LEAST_BLUR_PX * Math.pow(2, Math.max(blur, 0)),
                Math.pow(2, 2 * Math.hypot(along, diagonal)),
                (angle + 180) % 180,
                Math.pow(10, clipped(outputs[NOISE], -4, 4)),
                LINE_NOISE_UNIT * (Math.pow(2, clipped(outputs[LINE_NOISE], 0, 32)) - 1),
                JITTER_UNIT_PX * (Math.pow(2, clipped(outputs[JITTER], 0, 32)) - 1));
    }

    static double clipped(double value, double low, double high) {
        return Math.min(Math.max(value, low), high);
    }

    /** Gives the score of outputs, 0.1 to 1; NaN likewise. */
    static double scoreOf(double[] outputs) {
        return LOWEST_SCORE + (1 - LOWEST_SCORE) * clipped(outputs[SCORE], 0, 1);
    }

    /** Tells whether the long width is so much longer than the short one that people call it so. */
    boolean isAstigmatic() {
        return elongation >= LEAST_ELONGATION;
    }

    /**
     * Gives what costs most of the score: {@code blur}, {@code astigmatism}, {@code noise}, {@code
     * line noise} or {@code jitter}; empty without a fault.
     */
    String cause() {
        double shortPx = blurPx * Math.sqrt(2 / (1 + elongation * elongation));
        double together = lost("blur", blurPx);
        double astigmatism = 0;
        if (isAstigmatic() && elongation * shortPx > LEAST_BLUR_PX) {
            astigmatism = together - lost("blur", shortPx);
        }
        String cause = astigmatism >= together - astigmatism ? "astigmatism" : "blur";
        double most = together;
        String[] others = {"noise", "line noise", "jitter"};
        double[] values = {noise, lineNoise, jitterPx};
        for (int i = 0; i < others.length; i++) {
            double loss = lost(others[i], values[i]);
            if (loss > most) {
                most = loss;
                cause = others[i];
            }
        }
        return most >= LEAST_LOSS ? cause : "";
    }

    /** Gives what to do about a cause: {@code refocus}, {@code restigmate}, {@code retake}, … */
    static String action(String cause) {
        return cause.isEmpty() ? "" : (String) ACTIONS.get(cause);
    }

    /** Gives the score that a fault costs if it is alone, on straight lines over its logarithm. */
    private static double lost(String name, double value) {
        double[] known = LOST.get(name)[0];
        double[] lost = LOST.get(name)[1];
        int last = known.length - 1;
        if (Double.isNaN(value)) {
            return Double.NaN;
        }
        double at = Math.max(Math.log(Math.max(value, Double.MIN_VALUE)), known[0]);
        int i = 1;
        while (i < last && at > known[i]) {
            i++;
        }
        double slope = (lost[i] - lost[i - 1]) / (known[i] - known[i - 1]);
        // Beyond the last value on along its line, up to all of the score.
        return Math.min(lost[i - 1] + slope * (at - known[i - 1]), 1 - LOWEST_SCORE);
    }

    /** Puts the components into a row, by their columns' names. */
    void putInto(Map<String, Object> row) {
        row.put("blur_px", blurPx);
        row.put("elongation", elongation);
        row.put("angle_deg", angleDeg);
        row.put("noise", noise);
        row.put("line_noise", lineNoise);
        row.put("jitter_px", jitterPx);
    }
}
