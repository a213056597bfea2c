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
import java.util.Arrays;
import java.util.HashMap;
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
        ImageProcessor pixels;
        if (recipe.containsKey("drawn")) {
            pixels = drawn(recipe);
        } else {
            ImagePlus file = open((String) recipe.get("file"));
            pixels = file.getStack().getProcessor(whole(recipe, "plane", 0) + 1);
        }
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
                int bits = recipe.containsKey("drawn") ? 4 : 2;
                result.set(i, Math.min(value >> bits, 255));
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

    private static int whole(Map<String, Object> recipe, String key, int standard) {
        return recipe.containsKey(key) ? (int) number(recipe.get(key)) : standard;
    }

    /** Draws a textured image of 12 bits; see the recipes of {@code fiji_vectors.py}. */
    static ShortProcessor drawn(int height, int width, Object... more) {
        Map<String, Object> recipe = new HashMap<>();
        recipe.put("drawn", Arrays.asList(2.0, 2.0));
        recipe.put("size", Arrays.asList((double) height, (double) width));
        for (int i = 0; i < more.length; i += 2) {
            recipe.put((String) more[i], more[i + 1]);
        }
        return drawn(recipe);
    }

    /** Draws an image of 12 bits by whole numbers alone. */
    private static ShortProcessor drawn(Map<String, Object> recipe) {
        int height = (int) numbers(recipe.get("size"))[0];
        int width = (int) numbers(recipe.get("size"))[1];
        int seed = 16 * whole(recipe, "seed", 0);
        int shear = whole(recipe, "shear", 0);
        int jitter = whole(recipe, "jitter", 0);
        int mean = whole(recipe, "mean", 2048);
        int lines = whole(recipe, "lines", 0);
        int noises = whole(recipe, "noise", 0);
        int wide = width + Math.abs(shear) * height + 2 * jitter;
        int[][] texture = new int[height][wide];
        for (int size = 1; size <= 8; size *= 2) {
            int down = (int) numbers(recipe.get("drawn"))[0] * size;
            int across = (int) numbers(recipe.get("drawn"))[1] * size;
            int side = (int) Math.sqrt(down * across);
            int[][] sums = new int[height + down][wide + across];
            for (int y = 1; y < height + down; y++) {
                int row = 0;
                for (int x = 1; x < wide + across; x++) {
                    row += grain(y - 1, x - 1, seed + size);
                    sums[y][x] = sums[y - 1][x] + row;
                }
            }
            for (int y = 0; y < height; y++) {
                for (int x = 0; x < wide; x++) {
                    int box = sums[y + down][x + across] - sums[y][x + across]
                            - sums[y + down][x] + sums[y][x] - 128 * down * across;
                    texture[y][x] += Math.floorDiv(box, side);
                }
            }
        }
        double[] blank = recipe.containsKey("blank")
                ? numbers(recipe.get("blank")) : new double[4];
        ShortProcessor image = new ShortProcessor(width, height);
        for (int y = 0; y < height; y++) {
            int moved = grain(y, 7, seed + 3) % (2 * jitter + 1) + shear * y
                    + (shear < 0 ? -shear * height : 0);
            int line = (grain(y, 9, seed + 5) - 128) * lines;
            for (int x = 0; x < width; x++) {
                int noise = (grain(y, x, seed + 6) - 128) * noises;
                int value = mean + 4 * texture[y][x + moved]
                        + Math.floorDiv(line, 16) + Math.floorDiv(noise, 16);
                if (y >= blank[0] && y < blank[0] + blank[2] && x >= blank[1]
                        && x < blank[1] + blank[3]) {
                    value = 3000 + grain(y, x, seed + 7) / 16;
                }
                image.set(x, y, Math.max(0, Math.min(value, 4095)));
            }
        }
        return image;
    }

    /** Gives numbers from 0 to 255 without order, the same each time. */
    private static int grain(int y, int x, int seed) {
        int mixed = y * 73856093 ^ x * 19349663 ^ seed * 83492791;
        mixed = (mixed ^ mixed >>> 15) * 0x2C1B3C6D;
        mixed = (mixed ^ mixed >>> 12) * 0x297A2D39;
        return (mixed ^ mixed >>> 15) & 255;
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

    /** Gives the settings of a recipe of ratings. */
    static RatingSettings ratingSettings(
            RatingModel model, Map<String, Object> recipe, ImageProcessor ip) {
        RatingSettings settings = RatingSettings.of(model).mask(mask(recipe, ip));
        return recipe.containsKey("limit")
                ? settings.scoreLimit(number(recipe.get("limit"))) : settings;
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
