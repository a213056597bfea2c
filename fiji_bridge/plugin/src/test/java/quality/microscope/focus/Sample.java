package quality.microscope.focus;

import ij.ImagePlus;
import ij.io.Opener;
import ij.process.ByteProcessor;
import ij.process.ColorProcessor;
import ij.process.FloatProcessor;
import ij.process.ImageProcessor;
import ij.process.ShortProcessor;
import java.io.File;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.util.List;
import java.util.Map;

/** The images of {@code docs/sample}, changed by the recipes of the library's vectors. */
final class Sample {
    static final File ROOT = new File(System.getProperty("repository.root", "../.."));

    private Sample() {}

    /** Opens an image of {@code docs/sample}. */
    static ImagePlus open(String name) {
        return new Opener().openImage(new File(ROOT, "docs/sample/" + name).getPath());
    }

    static File vectors() {
        return new File("src/test/resources/vectors");
    }

    static Map<String, Object> read(String name) throws IOException {
        byte[] content = Files.readAllBytes(new File(vectors(), name + ".json").toPath());
        return object(Json.parse(new String(content, StandardCharsets.UTF_8)));
    }

    @SuppressWarnings("unchecked")
    static Map<String, Object> object(Object value) {
        return (Map<String, Object>) value;
    }

    static List<?> list(Object value) {
        return (List<?>) value;
    }

    /** Gives numbers, NaN in place of null. */
    static double[] numbers(Object value) {
        List<?> entries = list(value);
        double[] numbers = new double[entries.size()];
        for (int i = 0; i < numbers.length; i++) {
            numbers[i] = number(entries.get(i));
        }
        return numbers;
    }

    static double number(Object value) {
        return value == null ? Double.NaN : (Double) value;
    }

    /** Makes the image of a recipe. */
    static ImageProcessor image(Map<String, Object> recipe) {
        ImagePlus file = open((String) recipe.get("file"));
        int plane = recipe.containsKey("plane") ? (int) number(recipe.get("plane")) : 0;
        ImageProcessor pixels = file.getStack().getProcessor(plane + 1);
        if (recipe.containsKey("crop")) {
            double[] crop = numbers(recipe.get("crop"));
            pixels.setRoi((int) crop[1], (int) crop[0], (int) crop[3], (int) crop[2]);
            pixels = pixels.crop();
        }
        int width = pixels.getWidth();
        int height = pixels.getHeight();
        for (int i = 0; i < width * height; i++) {
            if ("clip".equals(recipe.get("spoil"))) {
                pixels.set(i, Math.min(pixels.get(i), 1023));
            } else if ("shift".equals(recipe.get("spoil"))) {
                pixels.set(i, Math.min(pixels.get(i), 600) << 4);
            } else if ("constant".equals(recipe.get("spoil"))) {
                pixels.set(i, 7);
            }
            if (recipe.containsKey("inside")
                    && !isInside(numbers(recipe.get("inside")), i / width, i % width)) {
                pixels.set(i, 0);
            }
        }
        String type = recipe.containsKey("type") ? (String) recipe.get("type") : "uint16";
        ImageProcessor result = pixels;
        if (type.equals("uint8")) {
            result = new ByteProcessor(width, height);
        } else if (type.equals("float32")) {
            result = new FloatProcessor(width, height);
        } else if (type.equals("luminance")) {
            result = new ColorProcessor(width, height);
        }
        for (int i = 0; i < width * height; i++) {
            int value = pixels.get(i);
            if (type.equals("uint8")) {
                result.set(i, Math.min(value >> 2, 255));
            } else if (type.equals("float32")) {
                result.setf(i, value / 4096f);
            } else if (type.equals("luminance")) {
                result.set(i, Math.min(value >> 2, 255) << 16 | Math.min(value >> 3, 255) << 8
                        | Math.min(value >> 4, 255));
            }
            if ("nan".equals(recipe.get("spoil"))
                    && (31 * (i / width) + 17 * (i % width)) % 101 == 0) {
                result.setf(i, Float.NaN);
            }
        }
        return type.equals("luminance") ? MicroscopeFocus.luminance(result) : result;
    }

    /** Makes the mask of a recipe: a disc, or what is above or below a value. */
    static boolean[] mask(Map<String, Object> recipe, ImageProcessor image) {
        boolean[] mask = new boolean[image.getPixelCount()];
        for (int i = 0; i < mask.length; i++) {
            if (recipe.containsKey("mask")) {
                double[] disc = numbers(recipe.get("mask"));
                mask[i] = isInside(disc, i / image.getWidth(), i % image.getWidth());
            } else if (recipe.containsKey("above")) {
                mask[i] = image.getf(i) > number(recipe.get("above"));
            } else if (recipe.containsKey("below")) {
                mask[i] = image.getf(i) < number(recipe.get("below"));
            } else {
                return null;
            }
        }
        return mask;
    }

    private static boolean isInside(double[] disc, int y, int x) {
        return (y - disc[0]) * (y - disc[0]) + (x - disc[1]) * (x - disc[1]) < disc[2] * disc[2];
    }

    static Optics optics(Object values) {
        Map<String, Object> optics = object(values);
        return new Optics(
                number(optics.get("na")), number(optics.get("refractive_index")),
                number(optics.get("wavelength_um")), number(optics.get("pixel_size_um")));
    }

    /** Gives the settings of a recipe. */
    static FocusSettings settings(FocusModel model, Map<String, Object> recipe, ImageProcessor ip) {
        FocusSettings settings = FocusSettings.of(model)
                .mask(mask(recipe, ip));
        if (recipe.containsKey("optics")) {
            settings = settings.optics(optics(recipe.get("optics")));
        }
        if (recipe.containsKey("rescale")) {
            settings = settings.rescale((Boolean) recipe.get("rescale"));
        }
        if (recipe.containsKey("in_focus_limit")) {
            settings = settings.inFocusLimit(number(recipe.get("in_focus_limit")));
        }
        return settings;
    }

    /** Makes a 16-bit image of blurred noise, the same each time; for sizes of any kind. */
    static ShortProcessor noise(int width, int height) {
        ShortProcessor noise = new ShortProcessor(width, height);
        int state = 1;
        for (int i = 0; i < width * height; i++) {
            state = state * 1103515245 + 12345;
            noise.set(i, 100 + (state >>> 20));
        }
        return noise;
    }
}
