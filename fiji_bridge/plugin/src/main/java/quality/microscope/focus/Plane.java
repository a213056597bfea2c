package quality.microscope.focus;

import ij.ImagePlus;
import ij.gui.Roi;
import ij.gui.TextRoi;
import ij.process.ByteProcessor;
import ij.process.ColorProcessor;
import ij.process.ImageProcessor;
import ij.process.LUT;
import java.awt.image.IndexColorModel;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;

/** Grey values as the network shall see them, and which of them count. */
final class Plane {
    // ITU-R BT.709 weights of red, green and blue.
    private static final float[] LUMINANCE = {0.2126f, 0.7152f, 0.0722f};
    // The highest values of an image that are counted; the highest one piles up when it occurs so
    // often, and so many times as often as one expects.
    private static final int TOP_VALUES = 16;
    private static final int LEAST_PILE = 8;
    private static final double PILE = 5;

    final int height;
    final int width;
    /** Row by row; null when all pixels count. */
    final boolean[] unmasked;
    /** Largest value of the image's type; 1 for floats. */
    final double typeMax;
    /** Share of the unmasked pixels that are saturated; NaN for floats. */
    final double saturatedFraction;
    /** Pixels of the image, down and across, for one of the network's. */
    final int binning;
    final List<String> messages;
    /** Patches of which a border of one value was left out, so far. */
    final AtomicInteger bordered = new AtomicInteger();

    // An ImageJ image's own byte[], short[] or float[].
    private final Object pixels;

    private Plane(
            Object pixels, int height, int width, boolean[] unmasked, double typeMax,
            double saturatedFraction, int binning, List<String> messages) {
        this.pixels = pixels;
        this.height = height;
        this.width = width;
        this.unmasked = unmasked;
        this.typeMax = typeMax;
        this.saturatedFraction = saturatedFraction;
        this.binning = binning;
        this.messages = messages;
    }

    /**
     * Takes a plane, and tells by how many pixels it is binned to the model's sampling.
     *
     * @param image of any type; a colour image's channels must be equal, an indexed one's too
     * @param settings model, optics, mask and whether to rescale
     * @throws FocusException for a colour image or a mask of another size, and as {@link
     *     Binning#of}
     */
    static Plane of(ImageProcessor image, FocusSettings settings) {
        Plane plane = of(image, settings.mask);
        if (plane.pixels instanceof float[] && plane.isAboveOne()
                && settings.model.normalisation.equals("type_range")) {
            plane.messages.add(
                    "This model takes floats to lie in 0 to 1; larger ones were clipped.");
        }
        int binning = Binning.of(settings, plane.messages);
        return new Plane(
                plane.pixels, plane.height, plane.width, plane.unmasked, plane.typeMax,
                plane.saturatedFraction, binning, plane.messages);
    }

    /**
     * Takes a plane as it is.
     *
     * @param image of any type; a colour image's channels must be equal, an indexed one's too
     * @param mask which of its pixels count; null for all
     * @throws FocusException for a colour image or a mask of another size
     */
    static Plane of(ImageProcessor image, boolean[] mask) {
        ImageProcessor grey = isIndexed(image) ? colours(image) : image;
        if (grey instanceof ColorProcessor) {
            grey = channels((ColorProcessor) grey);
            if (grey == null) {
                throw new FocusException(
                        "The three colour channels differ: measure one of them, such as "
                                + "MicroscopeFocus.channel(image, 1), or "
                                + "MicroscopeFocus.luminance(image).");
            }
        }
        int height = grey.getHeight();
        int width = grey.getWidth();
        boolean[] unmasked = mask == null ? null : mask.clone();
        if (unmasked != null && unmasked.length != height * width) {
            throw new FocusException(
                    "The mask must have the image's " + height + " x " + width + " pixels, not "
                            + unmasked.length + ".");
        }
        List<String> messages = new ArrayList<>();
        Object pixels = grey.getPixels();
        double typeMax = pixels instanceof byte[] ? 255 : pixels instanceof short[] ? 65535 : 1;
        if (pixels instanceof float[]) {
            unmasked = finite((float[]) pixels, unmasked, messages);
        }
        boolean all = true;
        for (int i = 0; unmasked != null && i < unmasked.length; i++) {
            all &= unmasked[i];
        }
        boolean[] counted = all ? null : unmasked;
        Plane plane = new Plane(pixels, height, width, counted, typeMax, 0, 1, messages);
        return new Plane(
                pixels, height, width, counted, typeMax, plane.saturated(), 1, messages);
    }

    private static boolean[] finite(float[] values, boolean[] mask, List<String> messages) {
        int wrong = 0;
        boolean[] unmasked = mask;
        for (int i = 0; i < values.length; i++) {
            if (Float.isNaN(values[i]) || Float.isInfinite(values[i])) {
                if (unmasked == null) {
                    unmasked = new boolean[values.length];
                    Arrays.fill(unmasked, true);
                }
                unmasked[i] = false;
                wrong++;
            }
        }
        if (wrong > 0) {
            messages.add("NaN and infinite pixels were left out: " + wrong + ".");
        }
        return unmasked;
    }

    /** Tells whether its pixels are whole numbers. */
    boolean isWhole() {
        return !(pixels instanceof float[]);
    }

    private boolean isAboveOne() {
        float[] values = (float[]) pixels;
        for (int i = 0; i < values.length; i++) {
            if (values[i] > 1 && (unmasked == null || unmasked[i])) {
                return true;
            }
        }
        return false;
    }

    /** Gives the share of the unmasked pixels that are saturated. */
    private double saturated() {
        if (pixels instanceof float[]) {
            return Double.NaN;
        }
        int[] counts = new int[(int) typeMax + 1];
        int n = 0;
        for (int i = 0; i < height * width; i++) {
            if (unmasked == null || unmasked[i]) {
                counts[(int) value(i)]++;
                n++;
            }
        }
        return n == 0 ? Double.NaN : (double) saturated(counts) / n;
    }

    /** Gives the share of the pixels of some squares that are saturated; NaN for floats. */
    double saturatedOf(int[][] places, int size) {
        if (pixels instanceof float[]) {
            return Double.NaN;
        }
        int[] counts = new int[(int) typeMax + 1];
        long n = 0;
        for (int[] place : places) {
            for (int y = place[0]; y < place[0] + size; y++) {
                for (int i = y * width + place[1]; i < y * width + place[1] + size; i++) {
                    if (unmasked == null || unmasked[i]) {
                        counts[(int) value(i)]++;
                        n++;
                    }
                }
            }
        }
        return n == 0 ? Double.NaN : (double) saturated(counts) / n;
    }

    /**
     * Gives how many pixels are saturated. The type's largest value is. So is an image's highest
     * value when it piles up: when it occurs 8 times or more, and 5 times as often as the next 15
     * make one expect, by their mean over all values that there could be, which are as far apart as
     * the closest two.
     *
     * @param counts how many pixels have each value of the type
     */
    static int saturated(int[] counts) {
        int[] values = new int[TOP_VALUES];
        int found = 0;
        for (int value = counts.length - 1; value >= 0 && found < TOP_VALUES; value--) {
            if (counts[value] > 0) {
                values[found++] = value;
            }
        }
        if (found == 0) {
            return 0;
        }
        int top = values[0];
        if (top == counts.length - 1) {
            return counts[top];
        }
        if (found == 1 || counts[top] < LEAST_PILE) {
            return 0;
        }
        int step = Integer.MAX_VALUE;
        double below = 0;
        for (int k = 1; k < found; k++) {
            step = Math.min(step, values[k - 1] - values[k]);
            below += counts[values[k]];
        }
        double expected = below * step / (top - values[found - 1]);
        return counts[top] >= PILE * expected ? counts[top] : 0;
    }

    /**
     * Cuts a patch out; beyond its borders the plane is mirrored.
     *
     * @param top row of its upper left pixel, may be negative
     * @param left column likewise
     * @param size side of the patch in pixels
     * @param values takes size * size values
     * @param counts takes which of them count
     */
    void cut(int top, int left, int size, double[] values, boolean[] counts) {
        int[] columns = new int[size];
        for (int j = 0; j < size; j++) {
            columns[j] = Tiles.mirrored(left + j, width);
        }
        for (int i = 0; i < size; i++) {
            int row = Tiles.mirrored(top + i, height) * width;
            int to = i * size;
            if (pixels instanceof byte[]) {
                byte[] from = (byte[]) pixels;
                for (int j = 0; j < size; j++) {
                    values[to + j] = from[row + columns[j]] & 0xff;
                }
            } else if (pixels instanceof short[]) {
                short[] from = (short[]) pixels;
                for (int j = 0; j < size; j++) {
                    values[to + j] = from[row + columns[j]] & 0xffff;
                }
            } else {
                float[] from = (float[]) pixels;
                for (int j = 0; j < size; j++) {
                    values[to + j] = from[row + columns[j]];
                }
            }
            for (int j = 0; j < size; j++) {
                counts[to + j] = unmasked == null || unmasked[row + columns[j]];
            }
        }
    }

    /** Gives a pixel by its place in the rows. */
    double value(int i) {
        if (pixels instanceof byte[]) {
            return ((byte[]) pixels)[i] & 0xff;
        }
        if (pixels instanceof short[]) {
            return ((short[]) pixels)[i] & 0xffff;
        }
        return ((float[]) pixels)[i];
    }

    /**
     * Tells whether pixels are numbers of colours in a palette, and not grey values that a lookup
     * table shows in colours. Like ImageJ's own menus, it takes a table of 256 colours that follow
     * each other smoothly for the latter.
     */
    static boolean isIndexed(ImageProcessor image) {
        return image instanceof ByteProcessor && image.isColorLut() && !image.isPseudoColorLut();
    }

    /** Tells the same of an image; a lookup table that was chosen from the menu is no palette. */
    static boolean isIndexed(ImagePlus image) {
        return image.getType() != ImagePlus.COLOR_RGB && !image.isComposite()
                && image.getProp(LUT.nameKey) == null && isIndexed(image.getProcessor());
    }

    /** Reads a plane of an image: colours, or grey values without their lookup table. */
    static ImageProcessor read(ImagePlus image, int index) {
        ImageProcessor pixels = image.getStack().getProcessor(index);
        if (!(pixels instanceof ByteProcessor)) {
            return pixels;
        }
        return isIndexed(image)
                ? colours(pixels)
                : new ByteProcessor(
                        pixels.getWidth(), pixels.getHeight(), (byte[]) pixels.getPixels());
    }

    private static ColorProcessor colours(ImageProcessor image) {
        IndexColorModel palette = (IndexColorModel) image.getColorModel();
        byte[] numbers = (byte[]) image.getPixels();
        int[] colours = new int[numbers.length];
        for (int i = 0; i < numbers.length; i++) {
            colours[i] = palette.getRGB(numbers[i] & 0xff) & 0xffffff;
        }
        return new ColorProcessor(image.getWidth(), image.getHeight(), colours);
    }

    /** Gives the grey image that three equal channels are; null when they differ. */
    static ByteProcessor channels(ColorProcessor image) {
        for (int rgb : (int[]) image.getPixels()) {
            if ((rgb & 0xffff) != (rgb >> 8 & 0xffff)) {
                return null;
            }
        }
        return channel(image, 1);
    }

    /** Gives one channel: 1 is red, 2 green, 3 blue. */
    static ByteProcessor channel(ColorProcessor image, int channel) {
        return new ByteProcessor(image.getWidth(), image.getHeight(), image.getChannel(channel));
    }

    /** Gives 0.2126 R + 0.7152 G + 0.0722 B (ITU-R BT.709), rounded to whole numbers. */
    static ByteProcessor luminance(ColorProcessor image) {
        int[] colours = (int[]) image.getPixels();
        byte[] grey = new byte[colours.length];
        for (int i = 0; i < grey.length; i++) {
            float sum = LUMINANCE[0] * (colours[i] >> 16 & 0xff);
            sum += LUMINANCE[1] * (colours[i] >> 8 & 0xff);
            sum += LUMINANCE[2] * (colours[i] & 0xff);
            grey[i] = (byte) Math.rint(sum);
        }
        return new ByteProcessor(image.getWidth(), image.getHeight(), grey);
    }

    /**
     * Gives which pixels of an image a selection holds.
     *
     * @return height * width flags; null without an area to limit anything: no selection, a line,
     *     points, or text, which ImageJ counts as an area
     */
    static boolean[] mask(Roi selection, int height, int width) {
        if (selection == null || !selection.isArea() || selection instanceof TextRoi) {
            return null;
        }
        boolean[] inside = new boolean[height * width];
        java.awt.Rectangle bounds = selection.getBounds();
        ImageProcessor shape = selection.getMask();
        for (int y = Math.max(bounds.y, 0); y < Math.min(bounds.y + bounds.height, height); y++) {
            for (int x = Math.max(bounds.x, 0); x < Math.min(bounds.x + bounds.width, width); x++) {
                inside[y * width + x] =
                        shape == null || shape.get(x - bounds.x, y - bounds.y) != 0;
            }
        }
        return inside;
    }
}
