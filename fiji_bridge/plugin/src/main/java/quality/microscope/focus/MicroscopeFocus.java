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
 * println(result.level + " " + result.certainty + " " + result.status)
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
    /** A patch is far from its image's level beyond so many levels. */
    static final double MIXED_LEVELS = 2;
    /** Planes within these levels of the lowest one place the best position. */
    static final double NEAR_BEST_LEVELS = 2;
    /** Planes within these levels of the lowest one can be the best plane. */
    static final double AS_GOOD_LEVELS = 0.25;

    private MicroscopeFocus() {}

    /** Measures a plane with the plugin's model, without optics; selections do not matter. */
    public static FocusResult measure(ImageProcessor plane) {
        return measure(plane, FocusSettings.standard());
    }

    /** Measures the current plane of an image; an area selection limits which patches count. */
    public static FocusResult measure(ImagePlus image) {
        FocusSettings settings = FocusSettings.standard();
        settings = settings.selection(image.getRoi(), image.getHeight(), image.getWidth());
        return measure(image.getProcessor(), settings);
    }

    /**
     * Measures a plane.
     *
     * @param plane of 8, 16 or 32 bits; colour only when its three channels are equal, see {@link
     *     #channel} and {@link #luminance}. NaN and infinite pixels are left out like masked ones.
     * @return without a patch to judge (a side shorter than a patch, all masked, or constant) its
     *     level is NaN, its status {@code no_content}, and its message says why
     * @throws FocusException for different colour channels, a mask of another size, rescaling
     *     without optics, or a sampling over 4 times coarser than the model's
     */
    public static FocusResult measure(ImageProcessor plane, FocusSettings settings) {
        Plane prepared = Plane.of(plane, settings);
        int[][] places =
                Tiles.positions(prepared.height, prepared.width, settings.model.patchSize);
        boolean[] counted = new boolean[places.length];
        double[][] probabilities = predict(settings, prepared, places, counted);
        return new FocusResult(
                settings, prepared, plane.getHeight(), plane.getWidth(), places, probabilities,
                counted);
    }

    /** Measures the slices of an image and finds the one in focus; see {@link #bestPlane}. */
    public static StackResult measureStack(ImagePlus image) {
        return measureStack(
                image,
                FocusSettings.standard()
                        .selection(image.getRoi(), image.getHeight(), image.getWidth()));
    }

    /**
     * Measures the slices along z of an image, in its current channel and frame, and finds the one
     * in focus. Planes are read one at a time.
     *
     * @throws FocusException as {@link #measure(ImageProcessor, FocusSettings)}
     */
    public static StackResult measureStack(ImagePlus image, FocusSettings settings) {
        List<FocusResult> results = new ArrayList<>();
        for (int z = 1; z <= image.getNSlices(); z++) {
            int index = image.getStackIndex(image.getC(), z, image.getT());
            results.add(measure(image.getStack().getProcessor(index), settings));
        }
        return bestPlane(results, settings.inFocusLimit);
    }

    /**
     * Finds the plane in focus among the results of a stack's planes.
     *
     * <p>A plane is in focus when it has content and its level is at most the limit. The position
     * is the vertex of the least-squares parabola through the expected levels of the lowest plane,
     * its neighbours, and the planes next to them within 2 levels of it: on a plateau, its middle.
     * Where there is no such vertex, it is the middle of the planes that are as good as the lowest.
     *
     * @param results in the planes' order, one at least
     */
    public static StackResult bestPlane(List<FocusResult> results, double inFocusLimit) {
        int n = results.size();
        if (n == 0) {
            throw new FocusException("A stack needs one plane at least.");
        }
        // Planes without content are infinitely far from focus.
        double[] expected = new double[n];
        boolean[] focused = new boolean[n];
        boolean any = false;
        for (int i = 0; i < n; i++) {
            FocusResult result = results.get(i);
            boolean empty = result.status.equals("no_content");
            expected[i] = empty ? Double.POSITIVE_INFINITY : result.expectedLevel;
            focused[i] = !empty && result.level <= inFocusLimit;
            any |= focused[i];
        }
        double[] best = best(expected, focused);
        int plane = (int) best[0];
        String status = results.get(plane).status;
        if (!any) {
            double level = Double.isInfinite(expected[plane]) ? Double.NaN : expected[plane];
            return new StackResult(0, Double.NaN, level, status, results);
        }
        return new StackResult(plane + 1, best[1] + 1, expected[plane], status, results);
    }

    /**
     * Finds the best of some planes.
     *
     * @param expected their expected levels; infinite without content
     * @param focused whether they are in focus
     * @return the plane and the position, from 0; when none is in focus, the lowest plane and NaN
     */
    static double[] best(double[] expected, boolean[] focused) {
        int n = expected.length;
        boolean any = false;
        for (boolean one : focused) {
            any |= one;
        }
        int lowest = -1;
        for (int i = 0; i < n; i++) {
            boolean candidate = focused[i] || !any;
            if (candidate && (lowest < 0 || expected[i] < expected[lowest])) {
                lowest = i;
            }
        }
        if (!any) {
            return new double[] {lowest, Double.NaN};
        }
        boolean[] good = new boolean[n];
        boolean[] close = new boolean[n];
        for (int i = 0; i < n; i++) {
            good[i] = focused[i] && expected[i] <= expected[lowest] + AS_GOOD_LEVELS;
            close[i] = expected[i] <= expected[lowest] + NEAR_BEST_LEVELS;
        }
        int[] asGood = run(good, lowest);
        int[] near = run(close, lowest);
        List<Integer> window = new ArrayList<>();
        for (int i = Math.max(near[0] - 1, 0); i <= Math.min(near[1] + 1, n - 1); i++) {
            if (!Double.isInfinite(expected[i])) {
                window.add(i);
            }
        }
        double position = vertex(window, expected);
        if (Double.isNaN(position)) {
            position = (asGood[0] + asGood[1]) / 2.0;
        }
        int best = asGood[0];
        for (int i = asGood[0]; i <= asGood[1]; i++) {
            if (Math.abs(i - position) < Math.abs(best - position)) {
                best = i;
            }
        }
        return new double[] {best, position};
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
        int size = settings.model.patchSize;
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
                double scaled = (at + 0.5) * prepared.scale[axis] - 0.5;
                places[i][axis] = (int) Math.floor(scaled + 0.5) - size / 2;
            }
        }
        return new PointsResult(
                predict(settings, prepared, places, new boolean[centres.length]));
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

    /** What a thread needs for a chunk of patches. */
    private static final class Bench {
        final double[] values;
        final boolean[] unmasked;
        final float[] patches;
        final float[] probabilities;

        Bench(FocusModel model) {
            int pixels = model.patchSize * model.patchSize;
            values = new double[pixels];
            unmasked = new boolean[pixels];
            patches = new float[model.network.chunk * pixels];
            probabilities = new float[model.network.chunk * model.levels];
        }
    }

    /** Gives patches' probabilities, and which of them are at least half unmasked. */
    private static double[][] predict(
            FocusSettings settings, Plane plane, int[][] places, boolean[] counted) {
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
                bench = new Bench(model);
            }
            int last = Math.min((number + 1) * chunk, places.length);
            predictChunk(model, plane, places, number * chunk, last, counted, probabilities, bench);
            benches.add(bench);
            double share = done.addAndGet(last - number * chunk) / (double) places.length;
            if (!settings.progress.test(share)) {
                stopped.set(true);
            }
        });
        if (stopped.get()) {
            throw new CancellationException();
        }
        return probabilities;
    }

    private static void predictChunk(
            FocusModel model, Plane plane, int[][] places, int first, int last, boolean[] counted,
            double[][] probabilities, Bench bench) {
        int size = model.patchSize;
        boolean[] unmasked = plane.unmasked == null ? null : bench.unmasked;
        int[] measured = new int[last - first];
        int n = 0;
        for (int i = first; i < last; i++) {
            plane.cut(places[i][0], places[i][1], size, bench.values, unmasked);
            counted[i] = halfUnmasked(unmasked);
            if (model.normalise(
                    bench.values, unmasked, plane.typeMax, bench.patches, n * size * size)) {
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

    /** Gives the first and last of the unbroken run of chosen planes around one of them. */
    private static int[] run(boolean[] chosen, int start) {
        int first = start;
        int last = start;
        while (first > 0 && chosen[first - 1]) {
            first--;
        }
        while (last + 1 < chosen.length && chosen[last + 1]) {
            last++;
        }
        return new int[] {first, last};
    }

    /** Gives where a parabola through planes' levels is lowest, within these planes; else NaN. */
    private static double vertex(List<Integer> planes, double[] expected) {
        int n = planes.size();
        if (n < 3) {
            return Double.NaN;
        }
        // With the mean as origin, sums of odd powers are small, and the equations well set.
        double origin = 0;
        double mean = 0;
        for (int plane : planes) {
            origin += (double) plane / n;
            mean += expected[plane] / n;
        }
        double s2 = 0;
        double s3 = 0;
        double s4 = 0;
        double y1 = 0;
        double y2 = 0;
        for (int plane : planes) {
            double x = plane - origin;
            double y = expected[plane] - mean;
            s2 += x * x;
            s3 += x * x * x;
            s4 += x * x * x * x;
            y1 += x * y;
            y2 += x * x * y;
        }
        // The normal equations without the constant, which the means have taken out.
        double a = s4 - s2 * s2 / n;
        double determinant = a * s2 - s3 * s3;
        double curvature = (y2 * s2 - y1 * s3) / determinant;
        double slope = (a * y1 - s3 * y2) / determinant;
        if (!(curvature > 1e-6)) {
            return Double.NaN;
        }
        double vertex = origin - slope / (2 * curvature);
        return Math.min(Math.max(vertex, planes.get(0)), planes.get(n - 1));
    }
}
