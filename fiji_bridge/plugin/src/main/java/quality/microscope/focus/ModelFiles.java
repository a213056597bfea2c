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
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.function.Function;
import java.util.zip.ZipEntry;
import java.util.zip.ZipInputStream;

/**
 * What is in a model: {@code model.json}, which describes it, and {@code weights.npz}.
 *
 * <p>Both lie in a folder, or in a ZIP archive that {@code microscope-quality models export-fiji}
 * wrote, or in the plugin itself.
 */
final class ModelFiles {
    /** Of what is written; the first one is read as well. */
    static final int SCHEMA_VERSION = 2;

    private static final String DESCRIPTION = "model.json";
    private static final String WEIGHTS = "weights.npz";
    /** Of a network that is run by Keras alone. */
    private static final String KERAS = "model.keras";
    /** The task of all models of the first schema; its entries stood among the others. */
    private static final String FIRST_TASK = "focus";
    private static final List<String> ENTRIES =
            Arrays.asList(
                    "schema_version", "name", "architecture", "patch_size", "normalisation",
                    "layers", "training", "licences", "sha256");
    private static final List<String> NORMALISATIONS = Arrays.asList("zscore", "type_range");

    /** The name under which the library finds it. */
    final String name;
    /** Side of the patches in pixels. */
    final int patchSize;
    /** {@code "zscore"} or {@code "type_range"}. */
    final String normalisation;
    /** As {@link Network} takes them. */
    final List<Map<String, Object>> layers;
    /** What belongs to the task. */
    final Map<String, Object> details;
    /** By their names. */
    final Map<String, Weights> weights;

    /**
     * Models of a kind; each is loaded once, and again when its file has changed.
     *
     * @param <M> the kind
     */
    static final class Loader<M> {
        private final String task;
        private final String own;
        private final List<String> entries;
        private final List<String> optional;
        private final Function<ModelFiles, M> make;
        private final Map<String, Loaded<M>> loaded = new HashMap<>();

        /**
         * Says which models are meant.
         *
         * @param task what they were trained for, as {@code model.json} calls it
         * @param own where the plugin's own one lies in it
         * @param entries that the task has
         * @param optional that it may have
         * @param make makes a model of its files
         */
        Loader(
                String task, String own, List<String> entries, List<String> optional,
                Function<ModelFiles, M> make) {
            this.task = task;
            this.own = own;
            this.entries = entries;
            this.optional = optional;
            this.make = make;
        }

        /**
         * Gives a model.
         *
         * @param path a model folder, or an exported file; empty or null for the plugin's own
         * @throws FocusException when there is none, or it is damaged; the message says how
         */
        synchronized M load(String path) {
            String key = path == null ? "" : path.trim();
            long stamp = 0;
            File place = new File(key).getAbsoluteFile();
            if (!key.isEmpty()) {
                if (!place.exists()) {
                    throw new FocusException(
                            "There is no model folder or exported model " + place + ".");
                }
                stamp = stamp(place) * 31 + stamp(new File(place, DESCRIPTION)) * 17
                        + stamp(new File(place, WEIGHTS));
                key = place.getPath();
            }
            Loaded<M> found = loaded.get(key);
            if (found == null || found.stamp != stamp) {
                String called = key.isEmpty() ? "The model of the plugin" : key;
                try {
                    Map<String, byte[]> files = key.isEmpty() ? own(own) : files(place);
                    M model = make.apply(new ModelFiles(files, task, entries, optional));
                    found = new Loaded<>(model, stamp);
                } catch (IOException error) {
                    throw new FocusException(
                            called + " cannot be read: " + error.getMessage(), error);
                } catch (FocusException error) {
                    throw new FocusException(called + ": " + error.getMessage(), error);
                }
                loaded.put(key, found);
            }
            return found.model;
        }
    }

    private static final class Loaded<M> {
        final M model;
        final long stamp;

        Loaded(M model, long stamp) {
            this.model = model;
            this.stamp = stamp;
        }
    }

    private static long stamp(File file) {
        return file.lastModified() * 31 + file.length();
    }

    private static Map<String, byte[]> own(String folder) throws IOException {
        Map<String, byte[]> files = new HashMap<>();
        for (String name : new String[] {DESCRIPTION, WEIGHTS}) {
            try (InputStream stream = ModelFiles.class.getResourceAsStream(folder + "/" + name)) {
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
            if (!files.containsKey(WEIGHTS) && new File(place, KERAS).isFile()) {
                throw new FocusException(
                        "its network (" + KERAS + ") runs in Python alone; the plugin runs those "
                                + "with " + WEIGHTS + ".");
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

    private ModelFiles(
            Map<String, byte[]> files, String task, List<String> ofTask, List<String> optional) {
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
        Object found = first ? FIRST_TASK : values.get("task");
        if (found != null && !task.equals(found)) {
            throw new FocusException(
                    "It is a model of the task '" + found + "', not of " + task + ".");
        }
        List<String> none = Collections.emptyList();
        if (first) {
            List<String> all = new ArrayList<>(ENTRIES);
            all.addAll(ofTask);
            checkEntries("The description", values, all, none);
            details = values;
        } else {
            List<String> all = new ArrayList<>(ENTRIES);
            all.addAll(Arrays.asList("task", task));
            checkEntries("The description", values, all, none);
            details = object(values.get(task), task);
            checkEntries("The task of the description", details, ofTask, optional);
        }
        name = String.valueOf(values.get("name"));
        patchSize = whole(values, "patch_size", 1);
        normalisation = String.valueOf(values.get("normalisation"));
        if (!NORMALISATIONS.contains(normalisation)) {
            throw new FocusException(
                    "Normalisation '" + normalisation + "' is unknown; known are "
                            + String.join(", ", NORMALISATIONS) + ".");
        }
        layers = new ArrayList<>();
        if (!(values.get("layers") instanceof List)) {
            throw new FocusException("layers must be a list of objects.");
        }
        for (Object layer : (List<?>) values.get("layers")) {
            layers.add(object(layer, "a layer"));
        }
        String sha256 = sha256(files.get(WEIGHTS));
        if (!sha256.equals(values.get("sha256"))) {
            throw new FocusException(
                    WEIGHTS + " has the wrong checksum: " + sha256 + ", not "
                            + values.get("sha256") + " as " + DESCRIPTION + " states.");
        }
        weights = Weights.read(files.get(WEIGHTS));
    }

    static void checkEntries(
            String what, Map<String, Object> values, List<String> needed, List<String> optional) {
        Set<String> missing = new TreeSet<>(needed);
        Set<String> unknown = new TreeSet<>(values.keySet());
        unknown.removeAll(needed);
        unknown.removeAll(optional);
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

    static Map<String, Object> object(Object value, String called) {
        if (!(value instanceof Map)) {
            throw new FocusException(called + " must be an object, not " + value + ".");
        }
        @SuppressWarnings("unchecked") // Json makes no other maps
        Map<String, Object> object = (Map<String, Object>) value;
        return object;
    }

    static double number(Map<String, Object> values, String key) {
        if (!(values.get(key) instanceof Double)) {
            throw new FocusException(key + " must be a number, not " + values.get(key) + ".");
        }
        return (Double) values.get(key);
    }

    static int whole(Map<String, Object> values, String key, int lowest) {
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
