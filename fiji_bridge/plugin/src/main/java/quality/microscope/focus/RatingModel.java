package quality.microscope.focus;

import java.util.Arrays;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;

/**
 * A trained rater: {@code model.json}, which describes it, and {@code weights.npz}.
 *
 * <p>One comes with the plugin. Others are model folders of the library, such as a lab's own, or
 * what {@code microscope-quality models export-fiji MODEL --to FILE.zip} makes of one.
 */
public final class RatingModel {
    private static final String TASK = "rating";
    private static final String SPREADS = "spread_factors";
    private static final String SHARED = "shared_errors";
    private static final String OWN = "own_score";
    /** Logarithms of spreads beyond it mean nothing. */
    private static final double MOST_LOG = 8;

    private static final ModelFiles.Loader<RatingModel> MODELS =
            new ModelFiles.Loader<>(
                    TASK, "rater", Arrays.asList(SPREADS, SHARED), Arrays.asList(OWN),
                    RatingModel::new);

    /** The name under which the library finds it. */
    public final String name;
    /** Side of the patches in pixels; smaller in a small image. */
    public final int patchSize;

    final double[] spreadFactors;
    /** Share of the variance of a patch's error that all patches of an image have in common. */
    final double[] sharedErrors;
    /** A lab's own score, or null. */
    final OwnScore ownScore;

    private final List<Map<String, Object>> layers;
    private final Map<String, Weights> weights;
    // Of each side of patches.
    private final Map<Integer, Network> networks = new ConcurrentHashMap<>();

    /** Gives the rater that comes with the plugin; it is loaded once. */
    public static RatingModel standard() {
        return load("");
    }

    /**
     * Gives a rater; each is loaded once, and again when its file has changed.
     *
     * @param path a model folder, or the file that {@code models export-fiji} wrote; empty or null
     *     for the rater that comes with the plugin
     * @throws FocusException when there is none, or it is damaged; the message says how
     */
    public static RatingModel load(String path) {
        return MODELS.load(path);
    }

    private RatingModel(ModelFiles files) {
        name = files.name;
        patchSize = files.patchSize;
        layers = files.layers;
        spreadFactors = numbers(files.details, SPREADS, 1000);
        sharedErrors = numbers(files.details, SHARED, 1);
        weights = new LinkedHashMap<>();
        Map<String, Weights> own = new LinkedHashMap<>();
        files.weights.forEach(
                (key, value) -> (key.startsWith(TASK + "/") ? own : weights).put(key, value));
        int outputs = network(patchSize).outputs;
        if (outputs != 2 * Components.OUTPUTS) {
            throw new FocusException(
                    "A rater's network must give " + 2 * Components.OUTPUTS
                            + " numbers for a patch, not " + outputs + ".");
        }
        if (!files.details.containsKey(OWN) && !own.isEmpty()) {
            throw new FocusException(
                    "There are weights of an own score, but nothing that tells of it.");
        }
        ownScore = files.details.containsKey(OWN)
                ? new OwnScore(ModelFiles.object(files.details.get(OWN), OWN), own) : null;
    }

    private static double[] numbers(Map<String, Object> values, String key, double most) {
        List<?> found = values.get(key) instanceof List
                ? (List<?>) values.get(key) : Collections.emptyList();
        double[] numbers = new double[found.size()];
        for (int i = 0; i < numbers.length; i++) {
            Object number = found.get(i);
            numbers[i] = number instanceof Double ? (Double) number : Double.NaN;
            if (!(numbers[i] >= 0 && numbers[i] <= most)) {
                throw new FocusException(
                        key + " must be numbers from 0 to " + (int) most + ", not " + number + ".");
            }
        }
        if (numbers.length != Components.OUTPUTS) {
            throw new FocusException(
                    key + " must be " + Components.OUTPUTS + " numbers, not " + numbers.length
                            + ".");
        }
        return numbers;
    }

    /** Gives the network for patches of a side, as {@link #sideFor} gives it. */
    Network network(int side) {
        return networks.computeIfAbsent(side, key -> new Network(layers, weights, key));
    }

    /** Gives the side in pixels that an image must have at the least. */
    int smallestSide() {
        return Math.min(Descriptors.SMALLEST_PATCH_SIZE, patchSize);
    }

    /** Gives the side of the patches of an image; 0 where it is smaller than the smallest patch. */
    int sideFor(int height, int width) {
        int side = Math.min(patchSize, Math.min(height, width));
        side -= side % Descriptors.MULTIPLE;
        return side >= smallestSide() ? side : 0;
    }

    /**
     * Reads a patch's outputs and their spreads off what its network gives.
     *
     * @param given of some patches
     * @param patch the number of this one
     */
    void read(float[] given, int patch, double[] outputs, double[] spreads) {
        int n = Components.OUTPUTS;
        for (int i = 0; i < n; i++) {
            outputs[i] = given[2 * n * patch + i];
            double log = Components.clipped(given[2 * n * patch + n + i], -MOST_LOG, MOST_LOG);
            spreads[i] = Math.exp(log) * spreadFactors[i];
        }
    }

    /** Gives the score of a patch, 0.1 to 1; NaN where its outputs are. */
    double score(double[] outputs) {
        return ownScore == null ? Components.scoreOf(outputs) : ownScore.of(outputs);
    }

    /** Gives the standard deviation of the error of a patch's score; NaN likewise. */
    double scoreSpread(double[] spreads) {
        double spread = spreads[Components.SCORE];
        if (ownScore != null) {
            return Double.isNaN(spread) ? Double.NaN : ownScore.spread;
        }
        return (1 - Components.LOWEST_SCORE) * spread;
    }
}
