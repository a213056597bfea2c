package quality.microscope.focus;

import ij.ImagePlus;
import ij.process.ByteProcessor;
import ij.process.ColorProcessor;
import ij.process.ImageProcessor;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.CancellationException;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.IntStream;

/**
 * Measures the focus of images: how far each is out of focus, from the image alone.
 *
 * <pre>
 * import quality.microscope.focus.MicroscopeFocus
 * result = MicroscopeFocus.measure(ij.IJ.getImage().getProcessor())
 * println(result.expectedLevel + " " + result.certainty + " " + result.status)
 * </pre>
 *
 * All methods may be called from several threads. What cannot be measured is a {@link
 * FocusException}.
 */
public final class MicroscopeFocus {
    /** This share of empty patches is sure. */
    static final double SURE_EMPTY_PATCHES = 0.001;
    /** This share of empty images has content by chance. */
    static final double SURE_EMPTY_IMAGES = 0.01;
    /** An image is mixed when more than this share of its sure patches is far from its level. */
    static final double MIXED_SHARE = 0.2;
    /** A patch is far beyond so many levels: halves three levels apart are so far from their mean. */
    static final double MIXED_LEVELS = 1.5;
    /** As many levels weigh as much as half of the contrast. */
    static final double HALVING_LEVELS = 2;
    /** Planes of this share of the sharpest one's sharpness, side by side with it, are as good. */
    static final double AS_GOOD_SHARE = 0.9;

    private MicroscopeFocus() {}

    /** Measures a plane with the plugin's model, without optics; selections do not matter. */
    public static FocusResult measure(ImageProcessor plane) {
        return measure(plane, FocusSettings.standard());
    }

    /** Measures the current plane of an image; an area selection limits which patches count. */
    public static FocusResult measure(ImagePlus image) {
        FocusSettings settings = FocusSettings.standard();
        settings = settings.selection(image.getRoi(), image.getHeight(), image.getWidth());
        return measure(Plane.read(image, image.getCurrentSlice()), settings);
    }

    /**
     * Measures a plane.
     *
     * @param plane of 8, 16 or 32 bits; colour, also indexed, only when its three channels are
     *     equal, see {@link #channel} and {@link #luminance}. NaN and infinite pixels are left out
     *     like masked ones, and so are black surroundings, such as a stitched image's.
     * @return without a patch to judge its level is NaN, and its message says why; its status is
     *     {@code too_small} when a side, as it is binned, is shorter than a patch, or {@code
     *     no_content} when all patches are masked or constant
     * @throws FocusException for different colour channels and a mask of another size; when
     *     rescaling is on, also without optics, and for optics of a sampling over 4 times coarser or
     *     16 times finer than the model's
     */
    public static FocusResult measure(ImageProcessor plane, FocusSettings settings) {
        Plane prepared = Plane.of(plane, settings);
        int side = settings.model.patchSize * prepared.binning;
        int[][] places = Tiles.positions(prepared.height, prepared.width, side);
        boolean[] counted = new boolean[places.length];
        double[][] contrasts = new double[places.length][];
        double[][] probabilities = predict(settings, prepared, places, counted, contrasts);
        if (places.length == 0) {
            // Of the planes of a small stack, contrast tells the sharpest.
            contrasts = contrastsOfSmall(prepared);
        }
        return new FocusResult(
                settings, prepared, places, probabilities, counted, Contrast.ofPlane(contrasts));
    }

    /** Measures the slices of an image and finds the sharpest one; see {@link #bestPlane}. */
    public static StackResult measureStack(ImagePlus image) {
        return measureStack(
                image,
                FocusSettings.standard()
                        .selection(image.getRoi(), image.getHeight(), image.getWidth()));
    }

    /**
     * Measures the slices along z of an image, in its current channel and frame, and finds the
     * sharpest one. Planes are read one at a time.
     *
     * @throws FocusException as {@link #measure(ImageProcessor, FocusSettings)}
     */
    public static StackResult measureStack(ImagePlus image, FocusSettings settings) {
        List<FocusResult> results = new ArrayList<>();
        for (int z = 1; z <= image.getNSlices(); z++) {
            int index = image.getStackIndex(image.getC(), z, image.getT());
            results.add(measure(Plane.read(image, index), settings));
        }
        return bestPlane(results);
    }

    /**
     * Finds the sharpest plane among the results of a stack's planes.
     *
     * <p>A plane's sharpness is its contrast, halved for every two levels by which it is out of
     * focus. Weighted 1, 2, 1 with the planes beside it, it is a curve, and the best plane is where
     * the curve is highest: of planes within 10 % of that, side by side, and of each other
     * themselves, the one nearest to the best position, of those with content if there are any.
     * That is the vertex of the parabola through the logarithms of the curve there and beside it.
     * Beyond an end of the stack, logarithms of the sharpness go on as the three planes there say by
     * a parabola, but not above the last of them. A plane without content has no level: it takes the
     * mean of the others', by their certainties. Without contrasts, levels alone decide; of planes
     * that are too small for a level, contrasts alone.
     *
     * @param results in the planes' order, one at least
     */
    public static StackResult bestPlane(List<FocusResult> results) {
        int n = results.size();
        if (n == 0) {
            throw new FocusException("A stack needs one plane at least.");
        }
        double[] expected = new double[n];
        double[] certainties = new double[n];
        double[] contrasts = new double[n];
        for (int i = 0; i < n; i++) {
            expected[i] = results.get(i).judgedLevel();
            certainties[i] = results.get(i).certainty;
            contrasts[i] = results.get(i).contrast;
        }
        double[] best = best(expected, certainties, contrasts);
        if (best == null) {
            best = best(levelsOfSmall(results), certainties, contrasts);
        }
        if (best == null) {
            return new StackResult(0, Double.NaN, Double.NaN, results.get(0).status, results);
        }
        int plane = (int) best[0];
        return new StackResult(
                plane + 1, best[1] + 1, expected[plane], results.get(plane).status, results);
    }

    /** Gives 0 for planes that are too small for a level but have a contrast, NaN for others. */
    private static double[] levelsOfSmall(List<FocusResult> results) {
        double[] levels = new double[results.size()];
        for (int i = 0; i < levels.length; i++) {
            FocusResult one = results.get(i);
            boolean known = one.status.equals("too_small") && !Double.isNaN(one.contrast);
            levels[i] = known ? 0 : Double.NaN;
        }
        return levels;
    }

    /**
     * Finds the sharpest of some planes, in their order.
     *
     * @param expected their expected levels; NaN without content
     * @param certainties of the planes
     * @param contrasts of the planes; NaN where there is none
     * @return the plane and the position, from 0; null when no plane has content
     */
    static double[] best(double[] expected, double[] certainties, double[] contrasts) {
        double[] sharpness = sharpness(expected, certainties, contrasts);
        if (sharpness == null) {
            return null;
        }
        int n = sharpness.length;
        double[] curve = new double[n];
        int highest = -1;
        for (int i = 0; i < n; i++) {
            double before = beside(sharpness, i, -1);
            double after = beside(sharpness, i, 1);
            curve[i] = (before + 2 * sharpness[i] + after) / 4;
            if (!Double.isNaN(curve[i]) && (highest < 0 || curve[i] > curve[highest])) {
                highest = i;
            }
        }
        int first = highest;
        int last = highest;
        double good = AS_GOOD_SHARE * curve[highest];
        while (first > 0 && curve[first - 1] >= good) {
            first--;
        }
        while (last + 1 < n && curve[last + 1] >= good) {
            last++;
        }
        double position = vertex(first, last, curve);
        double sharpest = 0;
        for (int i = first; i <= last; i++) {
            sharpest = Math.max(sharpest, sharpness[i]);
        }
        int best = -1;
        for (int i = first; i <= last; i++) {
            if (sharpness[i] < AS_GOOD_SHARE * sharpest) {
                continue;
            }
            boolean better = best < 0 || Math.abs(i - position) < Math.abs(best - position);
            // One with content goes before one without.
            if (best >= 0 && Double.isNaN(expected[i]) != Double.isNaN(expected[best])) {
                better = !Double.isNaN(expected[i]);
            }
            best = better ? i : best;
        }
        // Of neighbours that contradict each other, the plane counts.
        return new double[] {best, Math.min(Math.max(position, best - 1.0), best + 1.0)};
    }

    /**
     * Gives planes' contrasts over the highest, halved for every two levels above the lowest: NaN
     * where that is not known; null when no plane has content.
     */
    private static double[] sharpness(
            double[] expected, double[] certainties, double[] contrasts) {
        int n = expected.length;
        double lowest = Double.POSITIVE_INFINITY;
        double weights = 0;
        double weighted = 0;
        double sum = 0;
        int content = 0;
        boolean known = true;
        boolean any = false;
        for (int i = 0; i < n; i++) {
            if (!Double.isNaN(expected[i])) {
                lowest = Math.min(lowest, expected[i]);
                double weight = Math.max(certainties[i], 0);
                weights += weight;
                weighted += weight * expected[i];
                sum += expected[i];
                content++;
                known &= !Double.isNaN(contrasts[i]);
                any |= contrasts[i] > 0;
            }
        }
        if (content == 0) {
            return null;
        }
        double mean = weights > 0 ? weighted / weights : sum / content;
        double[] shares = new double[n];
        double top = 0;
        for (int i = 0; i < n; i++) {
            if (known && any) {
                shares[i] = contrasts[i];
                // A frame of noise stands out alone; what is in focus has planes beside it that
                // nearly are.
                if (Double.isNaN(expected[i]) && !Double.isNaN(contrasts[i])) {
                    double before = i > 0 ? contrasts[i - 1] : Double.NaN;
                    double after = i + 1 < n ? contrasts[i + 1] : Double.NaN;
                    double beside = before > 0 ? before : 0;
                    beside = after > beside ? after : beside;
                    shares[i] = Math.min(contrasts[i], beside);
                }
            } else {
                shares[i] = Double.isNaN(expected[i]) ? Double.NaN : 1;
            }
            top = shares[i] > top ? shares[i] : top;
        }
        for (int i = 0; i < n; i++) {
            double level = Double.isNaN(expected[i]) ? mean : expected[i];
            shares[i] = shares[i] / top * Math.pow(0.5, (level - lowest) / HALVING_LEVELS);
        }
        return shares;
    }

    /**
     * Measures the focus around points of a plane, such as the cells in it.
     *
     * @param plane as for {@link #measure(ImageProcessor, FocusSettings)}; mirrored beyond its
     *     borders, so that any size will do
     * @param centres y and x of each point in pixels, (0, 0) being the middle of the upper left
     *     pixel; within the plane
     * @throws FocusException also for a point outside the plane
     */
    public static PointsResult measureAt(
            ImageProcessor plane, double[][] centres, FocusSettings settings) {
        Plane prepared = Plane.of(plane, settings);
        int side = settings.model.patchSize * prepared.binning;
        int[][] places = new int[centres.length][2];
        int[] sides = {plane.getHeight(), plane.getWidth()};
        for (int i = 0; i < centres.length; i++) {
            for (int axis = 0; axis < 2; axis++) {
                double at = centres[i][axis];
                if (!(at >= -0.5 && at <= sides[axis] - 0.5)) {
                    throw new FocusException(
                            "The centre y = " + Table.general(centres[i][0], 6) + ", x = "
                                    + Table.general(centres[i][1], 6) + " lies outside the image of "
                                    + sides[0] + " x " + sides[1] + " pixels.");
                }
                places[i][axis] = (int) Math.floor(at + 0.5) - side / 2;
            }
        }
        return new PointsResult(
                predict(
                        settings, prepared, places, new boolean[centres.length],
                        new double[centres.length][]));
    }

    /** Gives one channel of a colour image: 1 is red, 2 green, 3 blue. */
    public static ByteProcessor channel(ImageProcessor image, int channel) {
        return Plane.channel((ColorProcessor) image, channel);
    }

    /** Gives the luminance of a colour image, 0.2126 R + 0.7152 G + 0.0722 B. */
    public static ByteProcessor luminance(ImageProcessor image) {
        return Plane.luminance((ColorProcessor) image);
    }

    /**
     * Gives how many patches of an empty image may be sure by chance: the least number that their
     * count, binomial with a chance of 1 in 1,000 each, exceeds in at most 1 % of all cases.
     */
    static int sureByChance(int patches) {
        // Through logarithms, as the powers of large images underflow.
        double logarithm = patches * Math.log1p(-SURE_EMPTY_PATCHES);
        double odds = Math.log(SURE_EMPTY_PATCHES) - Math.log1p(-SURE_EMPTY_PATCHES);
        int sure = 0;
        double share = Math.exp(logarithm);
        while (share < 1 - SURE_EMPTY_IMAGES) {
            sure++;
            logarithm += Math.log((patches - sure + 1) / (double) sure) + odds;
            share += Math.exp(logarithm);
        }
        return sure;
    }

    /** A patch as the network shall see it. */
    static final class Cut {
        final double[] values;
        final boolean[] unmasked;
        private final int size;
        private final int binning;
        // Of the image's own pixels; the same where they are not binned.
        private final double[] own;
        private final boolean[] ownUnmasked;

        Cut(int size, int binning) {
            this.size = size;
            this.binning = binning;
            int side = size * binning;
            values = new double[size * size];
            unmasked = new boolean[size * size];
            own = binning == 1 ? values : new double[side * side];
            ownUnmasked = binning == 1 ? unmasked : new boolean[side * side];
        }

        /** Takes the patch of a plane at a place; gives whether a border of one value is left out. */
        boolean of(Plane plane, int[] place) {
            int side = size * binning;
            plane.cut(place[0], place[1], side, own, ownUnmasked);
            boolean bordered = Masks.withoutBorder(own, ownUnmasked, side);
            if (binning > 1) {
                Binning.bin(own, ownUnmasked, size, binning, values, unmasked);
            }
            return bordered;
        }

        boolean isWhole() {
            for (boolean counts : unmasked) {
                if (!counts) {
                    return false;
                }
            }
            return true;
        }
    }

    /** What a thread needs for a chunk of patches. */
    private static final class Bench {
        final Cut cut;
        final float[] patches;
        final float[] probabilities;

        Bench(FocusModel model, int binning) {
            int pixels = model.patchSize * model.patchSize;
            cut = new Cut(model.patchSize, binning);
            patches = new float[model.network.chunk * pixels];
            probabilities = new float[model.network.chunk * model.levels];
        }
    }

    /** Gives the contrasts of a plane without a patch, of squares as large as it has. */
    private static double[][] contrastsOfSmall(Plane plane) {
        int size = Math.min(plane.height, plane.width) / plane.binning;
        if (size == 0) {
            return new double[0][];
        }
        int[][] places = Tiles.positions(plane.height, plane.width, size * plane.binning);
        double[][] contrasts = new double[places.length][];
        Cut cut = new Cut(size, plane.binning);
        for (int i = 0; i < places.length; i++) {
            boolean[] unmasked = cut(cut, plane, places[i]);
            contrasts[i] = Contrast.ofPatch(cut.values, unmasked, size);
        }
        return contrasts;
    }

    /** Takes a patch and counts it if a border is left out; gives what counts, null for all. */
    private static boolean[] cut(Cut cut, Plane plane, int[] place) {
        boolean bordered = cut.of(plane, place);
        plane.bordered.addAndGet(bordered ? 1 : 0);
        return bordered || plane.unmasked != null ? cut.unmasked : null;
    }

    /** Gives patches' probabilities, which of them are at least half unmasked, and contrasts. */
    private static double[][] predict(
            FocusSettings settings, Plane plane, int[][] places, boolean[] counted,
            double[][] contrasts) {
        FocusModel model = settings.model;
        int chunk = model.network.chunk;
        double[][] probabilities = new double[places.length][model.levels];
        ConcurrentLinkedQueue<Bench> benches = new ConcurrentLinkedQueue<>();
        AtomicInteger done = new AtomicInteger();
        AtomicBoolean stopped = new AtomicBoolean();
        IntStream.range(0, (places.length + chunk - 1) / chunk).parallel().forEach(number -> {
            if (stopped.get()) {
                return;
            }
            Bench bench = benches.poll();
            if (bench == null) {
                bench = new Bench(model, plane.binning);
            }
            int last = Math.min((number + 1) * chunk, places.length);
            predictChunk(
                    model, plane, places, number * chunk, last, counted, contrasts, probabilities,
                    bench);
            benches.add(bench);
            double share = done.addAndGet(last - number * chunk) / (double) places.length;
            if (!settings.progress.test(share)) {
                stopped.set(true);
            }
        });
        if (stopped.get()) {
            throw new CancellationException("Esc was pressed.");
        }
        return probabilities;
    }

    private static void predictChunk(
            FocusModel model, Plane plane, int[][] places, int first, int last, boolean[] counted,
            double[][] contrasts, double[][] probabilities, Bench bench) {
        int size = model.patchSize;
        int[] measured = new int[last - first];
        int n = 0;
        for (int i = first; i < last; i++) {
            boolean[] unmasked = cut(bench.cut, plane, places[i]);
            double[] values = bench.cut.values;
            counted[i] = halfUnmasked(unmasked);
            contrasts[i] = Contrast.ofPatch(values, unmasked, size);
            if (model.normalise(
                    values, unmasked, plane.typeMax, bench.patches, n * size * size)) {
                measured[n++] = i;
            } else {
                Arrays.fill(probabilities[i], Double.NaN);
            }
        }
        if (n > 0) {
            model.network.run(bench.patches, n, bench.probabilities);
        }
        for (int i = 0; i < n; i++) {
            for (int k = 0; k < model.levels; k++) {
                probabilities[measured[i]][k] = bench.probabilities[i * model.levels + k];
            }
        }
    }

    private static boolean halfUnmasked(boolean[] unmasked) {
        if (unmasked == null) {
            return true;
        }
        int n = 0;
        for (boolean counts : unmasked) {
            n += counts ? 1 : 0;
        }
        return 2 * n >= unmasked.length;
    }

    /**
     * Gives the sharpness of the plane beside one, one step on; where there is none, what it would
     * be: as the logarithms go on from the plane and two on its other side, by a parabola, but never
     * above the plane itself; the plane's own without two more.
     */
    private static double beside(double[] sharpness, int plane, int step) {
        double known = at(sharpness, plane + step);
        if (!Double.isNaN(known)) {
            return known;
        }
        double own = sharpness[plane];
        double other = at(sharpness, plane - step);
        double ratio = own / other;
        double goneOn = own * (ratio * ratio) * (at(sharpness, plane - 2 * step) / other);
        return goneOn < own ? goneOn : own;
    }

    private static double at(double[] values, int index) {
        return index < 0 || index >= values.length ? Double.NaN : values[index];
    }

    /**
     * Gives where the parabola through a curve's logarithms at some planes and beside them is
     * highest. Of an end of the curve three planes tell. Without such a point it is the middle of
     * the planes.
     */
    private static double vertex(int first, int last, double[] curve) {
        double middle = (first + last) / 2.0;
        int start = Math.max(first - 1, 0);
        int stop = Math.min(last + 2, curve.length);
        int least = stop - 3;
        stop = Math.min(Math.max(stop, start + 3), curve.length);
        start = Math.max(Math.min(start, least), 0);
        int n = stop - start;
        if (n < 3) {
            return middle;
        }
        // About their centre, sums of odd powers are 0, and least squares have this simple form.
        double centre = (start + stop - 1) / 2.0;
        double s2 = 0;
        double s4 = 0;
        double y0 = 0;
        double y1 = 0;
        double y2 = 0;
        for (int i = start; i < stop; i++) {
            if (!(curve[i] > 0)) {
                return middle;
            }
            double x = i - centre;
            double y = Math.log(curve[i] / curve[first]);
            s2 += x * x;
            s4 += x * x * x * x;
            y0 += y;
            y1 += x * y;
            y2 += x * x * y;
        }
        double curvature = (n * y2 - s2 * y0) / (n * s4 - s2 * s2);
        if (curvature >= -1e-6) {
            return middle;
        }
        double position = centre - y1 / s2 / (2 * curvature);
        position = Math.min(Math.max(position, first - 0.5), last + 0.5);
        return Math.min(Math.max(position, 0), curve.length - 1);
    }
}
