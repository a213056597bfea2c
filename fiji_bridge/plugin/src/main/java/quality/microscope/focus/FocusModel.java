package quality.microscope.focus;

import java.util.Arrays;
import java.util.Collections;
import java.util.Map;

/**
 * A trained model: {@code model.json}, which describes it, and {@code weights.npz}.
 *
 * <p>One comes with the plugin. Others are model folders of the library, or what {@code
 * microscope-quality models export-fiji MODEL --to FILE.zip} makes of one: a ZIP archive of the two
 * files.
 */
public final class FocusModel {
    private static final ModelFiles.Loader<FocusModel> MODELS =
            new ModelFiles.Loader<>(
                    "focus", "model", Arrays.asList("levels", "optics", "sure_certainty"),
                    Collections.emptyList(), FocusModel::new);

    /** The name under which the library finds it. */
    public final String name;
    /** Side of the patches in pixels. */
    public final int patchSize;
    /** Number of defocus levels, from 0 (in focus). */
    public final int levels;
    /** {@code "zscore"} or {@code "type_range"}: how patches are brought to the model's scale. */
    public final String normalisation;
    /** The microscope of the training images. */
    public final Optics optics;
    /** The certainty, 0 to 1, from which a patch is sure. */
    public final double sureCertainty;

    final Network network;

    /** Gives the model that comes with the plugin; it is loaded once. */
    public static FocusModel standard() {
        return load("");
    }

    /**
     * Gives a model; each is loaded once, and again when its file has changed.
     *
     * @param path a model folder, or the file that {@code models export-fiji} wrote; empty or null
     *     for the model that comes with the plugin
     * @throws FocusException when there is none, or it is damaged; the message says how
     */
    public static FocusModel load(String path) {
        return MODELS.load(path);
    }

    private FocusModel(ModelFiles files) {
        name = files.name;
        patchSize = files.patchSize;
        normalisation = files.normalisation;
        levels = ModelFiles.whole(files.details, "levels", 2);
        sureCertainty = ModelFiles.number(files.details, "sure_certainty");
        if (!(sureCertainty >= 0 && sureCertainty <= 1)) {
            throw new FocusException(
                    "sure_certainty must be a number from 0 to 1, not "
                            + files.details.get("sure_certainty") + ".");
        }
        Map<String, Object> light = ModelFiles.object(files.details.get("optics"), "optics");
        optics = new Optics(
                ModelFiles.number(light, "na"), ModelFiles.number(light, "refractive_index"),
                ModelFiles.number(light, "wavelength_um"),
                ModelFiles.number(light, "pixel_size_um"));
        network = new Network(files.layers, files.weights, patchSize);
        if (network.outputs != levels) {
            throw new FocusException(
                    "The layers give " + network.outputs + " values, but the description states "
                            + levels + " levels.");
        }
    }

    /**
     * Brings a patch to the scale that the model was trained with.
     *
     * @param values its pixels; they are overwritten
     * @param unmasked which of them count, or null for all
     * @param typeMax largest value of the image's type, for {@code type_range}
     * @param to takes the normalised pixels, from {@code at} on
     * @return whether it counts: false for a patch that is constant, less than half unmasked, or
     *     with details that are mostly those of the mask's border
     */
    boolean normalise(
            double[] values, boolean[] unmasked, double typeMax, float[] to, int at) {
        int counted = 0;
        for (int i = 0; i < values.length; i++) {
            counted += unmasked == null || unmasked[i] ? 1 : 0;
        }
        if (2 * counted < values.length
                || counted < values.length && !Masks.continued(values, unmasked, patchSize)) {
            return false;
        }
        return Normalisation.scale(
                values, normalisation.equals("type_range"), typeMax, to, at);
    }
}
