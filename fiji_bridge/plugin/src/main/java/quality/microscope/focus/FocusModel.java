package quality.microscope.focus;

import java.io.ByteArrayInputStream;
import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.zip.ZipEntry;
import java.util.zip.ZipInputStream;

/**
 * A trained model: {@code model.json}, which describes it, and {@code weights.npz}.
 *
 * <p>One comes with the plugin. Others are model folders of the library, or what {@code
 * microscope-quality models export-fiji MODEL --to FILE.zip} makes of one: a ZIP archive of the two
 * files.
 */
public final class FocusModel {
    /** Of what is written; the first one is read as well. */
    static final int SCHEMA_VERSION = 2;
    /** A patch whose deviation is below this fraction of its mean's size is constant. */
    static final double CONSTANT_DEVIATION = 1e-6;

    private static final String DESCRIPTION = "model.json";
    private static final String WEIGHTS = "weights.npz";
    private static final String TASK = "focus";
    private static final List<String> ENTRIES =
            Arrays.asList(
                    "schema_version", "name", "architecture", "patch_size", "normalisation",
                    "layers", "training", "licences", "sha256");
    private static final List<String> OF_FOCUS =
            Arrays.asList("levels", "optics", "sure_certainty");
    private static final List<String> NORMALISATIONS = Arrays.asList("zscore", "type_range");

    private static final Map<String, Loaded> LOADED = new HashMap<>();

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

    private static final class Loaded {
        final FocusModel model;
        final long stamp;

        Loaded(FocusModel model, long stamp) {
            this.model = model;
            this.stamp = stamp;
        }
    }

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
    public static synchronized FocusModel load(String path) {
        String key = path == null ? "" : path.trim();
        long stamp = 0;
        File place = new File(key).getAbsoluteFile();
        if (!key.isEmpty()) {
            if (!place.exists()) {
                throw new FocusException("There is no model folder or exported model " + place
                        + ".");
            }
            stamp = stamp(place) * 31 + stamp(new File(place, DESCRIPTION)) * 17
                    + stamp(new File(place, WEIGHTS));
            key = place.getPath();
        }
        Loaded loaded = LOADED.get(key);
        if (loaded == null || loaded.stamp != stamp) {
            String called = key.isEmpty() ? "The model of the plugin" : key;
            try {
                loaded = new Loaded(new FocusModel(key.isEmpty() ? own() : files(place)), stamp);
            } catch (IOException error) {
                throw new FocusException(called + " cannot be read: " + error.getMessage(), error);
            } catch (FocusException error) {
                throw new FocusException(called + ": " + error.getMessage(), error);
            }
            LOADED.put(key, loaded);
        }
        return loaded.model;
    }

    private static long stamp(File file) {
        return file.lastModified() * 31 + file.length();
    }

    private static Map<String, byte[]> own() throws IOException {
        Map<String, byte[]> files = new HashMap<>();
        for (String name : new String[] {DESCRIPTION, WEIGHTS}) {
            try (InputStream stream = FocusModel.class.getResourceAsStream("model/" + name)) {
                if (stream != null) {
                    files.put(name, Weights.bytes(stream));
                }
            }
        }
        return files;
    }

    private static Map<String, byte[]> files(File place) throws IOException {
        Map<String, byte[]> files = new HashMap<>();
        if (place.isDirectory()) {
            for (String name : new String[] {DESCRIPTION, WEIGHTS}) {
                File file = new File(place, name);
                if (file.isFile()) {
                    files.put(name, Files.readAllBytes(file.toPath()));
                }
            }
            return files;
        }
        byte[] content = Files.readAllBytes(place.toPath());
        try (ZipInputStream zip = new ZipInputStream(new ByteArrayInputStream(content))) {
            for (ZipEntry entry = zip.getNextEntry(); entry != null; entry = zip.getNextEntry()) {
                if (entry.getName().equals(DESCRIPTION) || entry.getName().equals(WEIGHTS)) {
                    files.put(entry.getName(), Weights.bytes(zip));
                }
            }
        }
        if (files.isEmpty()) {
            throw new FocusException(
                    "this is no exported model, which would be a ZIP archive of " + DESCRIPTION
                            + " and " + WEIGHTS
                            + "; microscope-quality models export-fiji makes one.");
        }
        return files;
    }

    private FocusModel(Map<String, byte[]> files) {
        for (String file : new String[] {DESCRIPTION, WEIGHTS}) {
            if (!files.containsKey(file)) {
                throw new FocusException(file + " is missing.");
            }
        }
        Map<String, Object> values;
        try {
            values = object(
                    Json.parse(new String(files.get(DESCRIPTION), StandardCharsets.UTF_8)),
                    DESCRIPTION);
        } catch (FocusException error) {
            throw new FocusException(DESCRIPTION + " is " + error.getMessage(), error);
        }
        // Asked before anything else: another version may have other entries.
        boolean first = Double.valueOf(1).equals(values.get("schema_version"));
        if (!first && !Double.valueOf(SCHEMA_VERSION).equals(values.get("schema_version"))) {
            throw new FocusException(
                    "Schema version " + values.get("schema_version") + " is unknown; this version "
                            + "of the plugin reads those up to " + SCHEMA_VERSION + ".");
        }
        Object task = values.get("task");
        if (!first && task != null && !TASK.equals(task)) {
            throw new FocusException(
                    "It is a model of the task '" + task + "', not of " + TASK + ".");
        }
        // At first all models were of focus, whose entries stood among the others.
        Map<String, Object> ofFocus = values;
        if (first) {
            checkEntries("The description", values, ENTRIES, OF_FOCUS);
        } else {
            checkEntries("The description", values, ENTRIES, Arrays.asList("task", TASK));
            ofFocus = object(values.get(TASK), TASK);
            checkEntries("The task of the description", ofFocus, OF_FOCUS, Arrays.asList());
        }
        name = String.valueOf(values.get("name"));
        patchSize = whole(values, "patch_size", 1);
        levels = whole(ofFocus, "levels", 2);
        normalisation = String.valueOf(values.get("normalisation"));
        if (!NORMALISATIONS.contains(normalisation)) {
            throw new FocusException(
                    "Normalisation '" + normalisation + "' is unknown; known are "
                            + String.join(", ", NORMALISATIONS) + ".");
        }
        sureCertainty = number(ofFocus, "sure_certainty");
        if (!(sureCertainty >= 0 && sureCertainty <= 1)) {
            throw new FocusException(
                    "sure_certainty must be a number from 0 to 1, not "
                            + ofFocus.get("sure_certainty") + ".");
        }
        Map<String, Object> light = object(ofFocus.get("optics"), "optics");
        optics = new Optics(
                number(light, "na"), number(light, "refractive_index"),
                number(light, "wavelength_um"), number(light, "pixel_size_um"));
        List<Map<String, Object>> layers = new ArrayList<>();
        if (!(values.get("layers") instanceof List)) {
            throw new FocusException("layers must be a list of objects.");
        }
        for (Object layer : (List<?>) values.get("layers")) {
            layers.add(object(layer, "a layer"));
        }
        String found = sha256(files.get(WEIGHTS));
        if (!found.equals(values.get("sha256"))) {
            throw new FocusException(
                    WEIGHTS + " has the wrong checksum: " + found + ", not " + values.get("sha256")
                            + " as " + DESCRIPTION + " states.");
        }
        network = new Network(layers, Weights.read(files.get(WEIGHTS)), patchSize);
        if (network.outputs != levels) {
            throw new FocusException(
                    "The layers give " + network.outputs + " values, but the description states "
                            + levels + " levels.");
        }
    }

    private static void checkEntries(
            String what, Map<String, Object> values, List<String> common, List<String> more) {
        Set<String> missing = new TreeSet<>(common);
        missing.addAll(more);
        Set<String> unknown = new TreeSet<>(values.keySet());
        unknown.removeAll(missing);
        missing.removeAll(values.keySet());
        if (!missing.isEmpty() || !unknown.isEmpty()) {
            throw new FocusException(
                    what
                            + (missing.isEmpty() ? "" : " lacks " + String.join(", ", missing))
                            + (missing.isEmpty() || unknown.isEmpty() ? "" : " and")
                            + (unknown.isEmpty() ? "" : " has the unknown entries "
                                    + String.join(", ", unknown)) + ".");
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
        boolean typeRange = normalisation.equals("type_range");
        double sum = 0;
        for (int i = 0; i < values.length; i++) {
            if (typeRange) {
                values[i] = Math.min(Math.max(values[i] / typeMax, 0), 1);
            }
            sum += values[i];
        }
        double mean = sum / values.length;
        double squares = 0;
        for (int i = 0; i < values.length; i++) {
            values[i] -= mean;
            squares += values[i] * values[i];
        }
        double deviation = Math.sqrt(squares / values.length);
        if (!(deviation > CONSTANT_DEVIATION * Math.abs(mean))) {
            return false;
        }
        double gain = typeRange ? 1 : 1 / deviation;
        double offset = typeRange ? mean : 0;
        for (int i = 0; i < values.length; i++) {
            to[at + i] = (float) (values[i] * gain + offset);
        }
        return true;
    }

    private static Map<String, Object> object(Object value, String called) {
        if (!(value instanceof Map)) {
            throw new FocusException(called + " must be an object, not " + value + ".");
        }
        @SuppressWarnings("unchecked") // Json makes no other maps
        Map<String, Object> object = (Map<String, Object>) value;
        return object;
    }

    private static double number(Map<String, Object> values, String key) {
        if (!(values.get(key) instanceof Double)) {
            throw new FocusException(key + " must be a number, not " + values.get(key) + ".");
        }
        return (Double) values.get(key);
    }

    private static int whole(Map<String, Object> values, String key, int lowest) {
        double number = number(values, key);
        if (number < lowest || number != (int) number) {
            throw new FocusException(
                    key + " must be an integer from " + lowest + ", not " + values.get(key) + ".");
        }
        return (int) number;
    }

    private static String sha256(byte[] content) {
        try {
            StringBuilder text = new StringBuilder();
            for (byte b : MessageDigest.getInstance("SHA-256").digest(content)) {
                text.append(String.format("%02x", b));
            }
            return text.toString();
        } catch (NoSuchAlgorithmException error) {
            throw new AssertionError(error);
        }
    }
}
