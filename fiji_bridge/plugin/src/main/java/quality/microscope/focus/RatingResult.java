package quality.microscope.focus;

import java.util.LinkedHashMap;
import java.util.Map;

/** The rating of a plane; the names are those of the library's result, in Java's way of writing. */
public final class RatingResult {
    /** Half of an interval of 95 %, in standard deviations. */
    private static final double CONFIDENT = 1.96;

    /** Mean over the patches that were rated, 0.1 to 1; NaN when there are none. */
    public final double score;
    /** Lower end of the interval that holds the score of the whole image in 95 % of all cases. */
    public final double scoreLow;
    /** Its upper end. */
    public final double scoreHigh;
    /** Of the image: those of the patches, averaged by their spreads. */
    public final Components components;
    /** What the components stand for. */
    public final double[] outputs;
    /** Standard deviations of their errors. */
    public final double[] spreads;
    /** {@code good}, {@code poor}, {@code no_content} when all is blank, or {@code too_small}. */
    public final String status;
    /**
     * What costs most of the score of a poor image: {@code blur}, {@code astigmatism}, {@code
     * noise}, {@code line noise} or {@code jitter}; else empty.
     */
    public final String cause;
    /** What to do about it: {@code refocus}, {@code restigmate}, {@code retake} or {@code look}. */
    public final String action;
    /** What the caller should know about the rating, in sentences; mostly empty. */
    public final String message;
    /** Share of the patches that were looked at that have no content. */
    public final double blankFraction;
    /** Share of the pixels that are saturated; NaN for floats. */
    public final double saturatedFraction;
    /** Of the plane, in pixels. */
    public final int height;
    /** Of the plane, in pixels. */
    public final int width;
    /** Side of the patches in pixels; 0 without any. */
    public final int patchSizePx;
    /** y and x of the upper left pixels of the patches that were looked at. */
    public final int[][] patchPositions;
    /** Of each patch; NaN for blank ones. */
    public final double[][] patchOutputs;
    /** Of each patch; NaN likewise. */
    public final double[][] patchSpreads;
    /** Of each patch, 0.1 to 1; NaN likewise. */
    public final double[] patchScores;
    /** Standard deviations of their errors; NaN likewise. */
    public final double[] patchScoreSpreads;
    /** Number of places that were sampled; 0 when the whole image was rated. */
    public final int places;

    RatingResult(RatingSettings settings, Plane plane, int side, MicroscopeRating.Looked looked) {
        height = plane.height;
        width = plane.width;
        patchSizePx = side;
        places = looked.places;
        patchPositions = looked.positions;
        patchOutputs = looked.outputs;
        patchSpreads = looked.spreads;
        saturatedFraction = looked.saturatedFraction;
        int patches = patchPositions.length;
        patchScores = new double[patches];
        patchScoreSpreads = new double[patches];
        double sum = 0;
        double spread = 0;
        int there = 0;
        for (int i = 0; i < patches; i++) {
            patchScores[i] = settings.model.score(patchOutputs[i]);
            patchScoreSpreads[i] = settings.model.scoreSpread(patchSpreads[i]);
            if (!Double.isNaN(patchScores[i])) {
                sum += patchScores[i];
                spread += patchScoreSpreads[i];
                there++;
            }
        }
        outputs = new double[Components.OUTPUTS];
        spreads = new double[Components.OUTPUTS];
        combine(settings.model.sharedErrors, there);
        components = Components.of(outputs);
        blankFraction = patches == 0 ? Double.NaN : 1 - (double) there / patches;
        double half = Double.NaN;
        if (there == 0) {
            score = Double.NaN;
        } else {
            spread /= there;
            double shared = settings.model.ownScore != null
                    ? 0 : settings.model.sharedErrors[Components.SCORE];
            double variance = spread * spread * (shared + (1 - shared) / there);
            if (places == 0) {
                score = sum / there;
            } else {
                double[] means = meansOfStrata(patchScores, looked.strata);
                score = mean(means);
                double seen = (double) patches * side * side / ((double) height * width);
                variance += (1 - Math.min(seen, 1)) * varianceOfMean(means);
            }
            half = CONFIDENT * Math.sqrt(variance);
        }
        scoreLow = Math.max(score - half, Components.LOWEST_SCORE);
        scoreHigh = Math.min(score + half, 1);
        status = side == 0 ? "too_small" : there == 0 ? "no_content"
                : score >= settings.scoreLimit ? "good" : "poor";
        cause = status.equals("poor") ? components.cause() : "";
        action = Components.action(cause);
        int smallest = settings.model.smallestSide();
        message = side > 0 ? "" : "The image has " + height + " x " + width
                + " pixels; patches have " + smallest + " x " + smallest + " at least.";
    }

    /** Averages outputs of patches by their spreads; axes are vectors at twice their angle. */
    private void combine(double[] shared, int there) {
        int n = Components.OUTPUTS;
        double[] sums = new double[n];
        double[] squares = new double[n];
        for (int i = 0; i < patchOutputs.length; i++) {
            if (Double.isNaN(patchScores[i])) {
                continue;
            }
            double[] weights = new double[n];
            for (int k = 0; k < n; k++) {
                double spread = Math.max(patchSpreads[i][k], 1e-6);
                weights[k] = 1 / (spread * spread);
                squares[k] += patchSpreads[i][k] * patchSpreads[i][k] / there;
            }
            // The two parts of an axis have one weight, or their mean would be turned.
            double both = (weights[Components.ALONG] + weights[Components.DIAGONAL]) / 2;
            weights[Components.ALONG] = both;
            weights[Components.DIAGONAL] = both;
            for (int k = 0; k < n; k++) {
                outputs[k] += weights[k] * patchOutputs[i][k];
                sums[k] += weights[k];
            }
        }
        for (int k = 0; k < n; k++) {
            // Without any patch, it is NaN.
            outputs[k] /= sums[k];
            spreads[k] = Math.sqrt(shared[k] * squares[k] + (1 - shared[k]) / sums[k]);
            if (there == 0) {
                spreads[k] = Double.NaN;
            }
        }
    }

    /** Gives the mean score of each stratum that has one, in their order. */
    static double[] meansOfStrata(double[] scores, int[] strata) {
        int number = 0;
        for (int stratum : strata) {
            number = Math.max(number, stratum + 1);
        }
        double[] sums = new double[number];
        int[] counts = new int[number];
        for (int i = 0; i < scores.length; i++) {
            if (!Double.isNaN(scores[i])) {
                sums[strata[i]] += scores[i];
                counts[strata[i]]++;
            }
        }
        double[] means = new double[number];
        int there = 0;
        for (int i = 0; i < number; i++) {
            if (counts[i] > 0) {
                means[there++] = sums[i] / counts[i];
            }
        }
        return java.util.Arrays.copyOf(means, there);
    }

    /**
     * Gives the variance of the mean of one value a stratum, from differences of neighbouring
     * pairs: second ones, so that what rises over the image adds nothing.
     */
    static double varianceOfMean(double[] values) {
        int n = values.length;
        int pairs = n / 2;
        double squares = 0;
        if (pairs < 3) {
            for (int i = 1; i < n; i++) {
                double difference = values[i] - values[i - 1];
                squares += difference * difference;
            }
            return n < 2 ? 0 : squares / (2.0 * (n - 1) * n);
        }
        double[] means = new double[pairs];
        for (int i = 0; i < pairs; i++) {
            means[i] = (values[2 * i] + values[2 * i + 1]) / 2;
        }
        for (int i = 2; i < pairs; i++) {
            double difference = means[i] - 2 * means[i - 1] + means[i - 2];
            squares += difference * difference;
        }
        return 2 * squares / (6.0 * (pairs - 2)) / n;
    }

    private static double mean(double[] values) {
        double sum = 0;
        for (double value : values) {
            sum += value;
        }
        return sum / values.length;
    }

    /** Gives how many patches were rated. */
    int rated() {
        int there = 0;
        for (double one : patchScores) {
            there += Double.isNaN(one) ? 0 : 1;
        }
        return there;
    }

    /** Gives the columns of a results table that a plane itself determines, by name. */
    public Map<String, Object> toRow() {
        Map<String, Object> row = new LinkedHashMap<>();
        row.put("width", width);
        row.put("height", height);
        row.put("score", score);
        row.put("score_low", scoreLow);
        row.put("score_high", scoreHigh);
        components.putInto(row);
        row.put("status", status);
        row.put("cause", cause);
        row.put("action", action);
        row.put("saturated_fraction", saturatedFraction);
        row.put("blank_fraction", blankFraction);
        row.put("patches", rated());
        row.put("message", message);
        return row;
    }

    /** Gives the outcome in a line. */
    public String verdict() {
        String words = words();
        return Character.toUpperCase(words.charAt(0)) + words.substring(1);
    }

    /** Gives it in a few words: the score, and what to do where it is poor. */
    String words() {
        if (Double.isNaN(score)) {
            return status.replace('_', ' ');
        }
        String words = "score " + Table.fixed(score, 2) + " (" + Table.fixed(scoreLow, 2) + " to "
                + Table.fixed(scoreHigh, 2) + "), " + status;
        return cause.isEmpty() ? words : words + ": " + cause + ", " + action;
    }

    @Override
    public String toString() {
        return verdict();
    }
}
