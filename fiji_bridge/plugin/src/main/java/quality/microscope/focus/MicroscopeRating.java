package quality.microscope.focus;

import ij.ImagePlus;
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
 * Rates how much of its detail an image of an electron microscope shows, and says why.
 *
 * <pre>
 * import quality.microscope.focus.MicroscopeRating
 * result = MicroscopeRating.rate(ij.IJ.getImage().getProcessor())
 * println(result.score + " " + result.status + " " + result.cause)
 * </pre>
 *
 * All methods may be called from several threads. What cannot be rated is a {@link
 * FocusException}.
 */
public final class MicroscopeRating {
    /** Patches that are rated for each place of a sample, far from each other. */
    static final int PLACE_PATCHES = 6;
    // Where in a part of an image its patches lie, by share down and across: the next one is looked
    // at when one is blank.
    private static final double[][] LOOKS = {
        {0.5, 0.5}, {0.25, 0.25}, {0.75, 0.75}, {0.25, 0.75}
    };

    /**
     * From this side on, what has no structure by its spectrum has none; a smaller patch is blank
     * when it is, by its output, also as noisy as that.
     */
    private static final int TELLING_SIDE = 192;
    private static final double MOSTLY_NOISE = 0;

    private MicroscopeRating() {}

    /** Rates a plane with the plugin's rater; selections do not matter. */
    public static RatingResult rate(ImageProcessor plane) {
        return rate(plane, RatingSettings.standard());
    }

    /** Rates the current plane of an image; of an area selection, the patches inside count. */
    public static RatingResult rate(ImagePlus image) {
        RatingSettings settings = RatingSettings.standard()
                .selection(image.getRoi(), image.getHeight(), image.getWidth());
        return rate(Plane.read(image, image.getCurrentSlice()), settings);
    }

    /**
     * Rates a plane.
     *
     * @param plane of 8, 16 or 32 bits, lines from left to right; colour, also indexed, only when
     *     its three channels are equal, see {@link MicroscopeFocus#channel} and {@link
     *     MicroscopeFocus#luminance}. Patches with NaN, infinite or masked pixels are left out, and
     *     so are blank ones.
     * @return without a patch to rate its score is NaN; its status is {@code too_small} when a side
     *     is shorter than the smallest patch, or {@code no_content}
     * @throws FocusException for different colour channels and a mask of another size
     */
    public static RatingResult rate(ImageProcessor plane, RatingSettings settings) {
        Plane prepared = Plane.of(plane, settings.mask);
        int side = settings.model.sideFor(prepared.height, prepared.width);
        int number = settings.places;
        if (side == 0) {
            return new RatingResult(
                    settings, prepared, 0,
                    new Looked(new int[0][], new double[0][], new double[0][], Double.NaN));
        }
        if ((prepared.height / side) * (prepared.width / side) <= PLACE_PATCHES * number) {
            number = 0;
        }
        Looked looked = number == 0
                ? whole(settings, prepared, side) : sample(settings, prepared, side, number);
        return new RatingResult(settings, prepared, side, looked);
    }

    /** Patches that were looked at, and what was seen of them. */
    static final class Looked {
        final int[][] positions;
        final double[][] outputs;
        final double[][] spreads;
        final double saturatedFraction;
        /** The part of the image that each patch is of; null where all of it was looked at. */
        final int[] strata;
        /** Number of places; 0 likewise. */
        final int places;

        Looked(
                int[][] positions, double[][] outputs, double[][] spreads,
                double saturatedFraction) {
            this(positions, outputs, spreads, saturatedFraction, null, 0);
        }

        Looked(
                int[][] positions, double[][] outputs, double[][] spreads,
                double saturatedFraction, int[] strata, int places) {
            this.positions = positions;
            this.outputs = outputs;
            this.spreads = spreads;
            this.saturatedFraction = saturatedFraction;
            this.strata = strata;
            this.places = places;
        }
    }

    private static Looked whole(RatingSettings settings, Plane plane, int side) {
        int[][] positions = Tiles.positions(plane.height, plane.width, side);
        double[][] outputs = new double[positions.length][];
        double[][] spreads = new double[positions.length][];
        rate(settings, plane, side, positions, outputs, spreads);
        return new Looked(positions, outputs, spreads, plane.saturatedFraction);
    }

    /** Rates a patch in each of the parts of so many places, where it is not blank. */
    private static Looked sample(RatingSettings settings, Plane plane, int side, int number) {
        int[][] strata =
                strata(plane.height - side + 1, plane.width - side + 1, PLACE_PATCHES * number);
        List<Integer> open = new ArrayList<>();
        for (int stratum = 0; stratum < strata.length; stratum++) {
            open.add(stratum);
        }
        List<int[]> positions = new ArrayList<>();
        List<Integer> ofPatches = new ArrayList<>();
        List<double[]> outputs = new ArrayList<>();
        List<double[]> spreads = new ArrayList<>();
        for (double[] look : LOOKS) {
            int[][] now = new int[open.size()][];
            for (int i = 0; i < now.length; i++) {
                int[] part = strata[open.get(i)];
                now[i] = new int[] {
                    part[0] + (int) (look[0] * (part[1] - part[0])),
                    part[2] + (int) (look[1] * (part[3] - part[2])),
                };
            }
            double[][] given = new double[now.length][];
            double[][] givenSpreads = new double[now.length][];
            rate(settings, plane, side, now, given, givenSpreads);
            outputs.addAll(Arrays.asList(given));
            spreads.addAll(Arrays.asList(givenSpreads));
            positions.addAll(Arrays.asList(now));
            ofPatches.addAll(open);
            List<Integer> blank = new ArrayList<>();
            for (int i = 0; i < now.length; i++) {
                if (Double.isNaN(given[i][0])) {
                    blank.add(open.get(i));
                }
            }
            open = blank;
        }
        return looked(
                plane, side, positions.toArray(new int[0][]), ofPatches,
                outputs.toArray(new double[0][]), spreads.toArray(new double[0][]), number);
    }

    private static Looked looked(
            Plane plane, int side, int[][] positions, List<Integer> ofPatches, double[][] outputs,
            double[][] spreads, int number) {
        int[] strata = ofPatches.stream().mapToInt(Integer::intValue).toArray();
        return new Looked(
                positions, outputs, spreads, plane.saturatedOf(positions, side), strata, number);
    }

    /** Rates patches of an image, one for each part; for tests, which have them of the library. */
    static RatingResult rateAt(ImageProcessor plane, RatingSettings settings, int[][] positions) {
        Plane prepared = Plane.of(plane, settings.mask);
        int side = settings.model.sideFor(prepared.height, prepared.width);
        double[][] outputs = new double[positions.length][];
        double[][] spreads = new double[positions.length][];
        rate(settings, prepared, side, positions, outputs, spreads);
        List<Integer> strata = new ArrayList<>();
        for (int i = 0; i < positions.length; i++) {
            strata.add(i);
        }
        return new RatingResult(
                settings, prepared, side,
                looked(
                        prepared, side, positions, strata, outputs, spreads,
                        positions.length / PLACE_PATCHES));
    }

    /**
     * Divides a rectangle into so many parts, about square, of about the same size.
     *
     * @return top, bottom, left and right of each; neighbours in the list are neighbours in the
     *     plane
     */
    static int[][] strata(int height, int width, int number) {
        int bands = (int) Math.rint(Math.sqrt((double) number * height / width));
        bands = Math.min(Math.max(bands, 1), Math.min(number, height));
        List<int[]> found = new ArrayList<>();
        for (int band = 0; band < bands; band++) {
            int count = (int) Math.rint(edge(number, bands, band + 1))
                    - (int) Math.rint(edge(number, bands, band));
            int top = (int) edge(height, bands, band);
            int bottom = (int) edge(height, bands, band + 1);
            int parts = Math.max(Math.min(count, width), 1);
            for (int i = 0; i < parts; i++) {
                int part = band % 2 == 0 ? i : parts - 1 - i;
                found.add(new int[] {
                    top, bottom, (int) edge(width, parts, part), (int) edge(width, parts, part + 1)
                });
            }
        }
        return found.toArray(new int[0][]);
    }

    /** Gives an edge of a length that is divided into equal parts. */
    private static double edge(int length, int parts, int number) {
        return number == parts ? length : number * ((double) length / parts);
    }

    /** What a thread needs for a chunk of patches. */
    private static final class Bench {
        final double[] values;
        final boolean[] unmasked;
        final float[] patches;
        final float[] given;

        Bench(Network network, int side) {
            values = new double[side * side];
            unmasked = new boolean[side * side];
            patches = new float[network.chunk * side * side];
            given = new float[network.chunk * network.outputs];
        }
    }

    /** Rates patches but the blank ones, whose numbers are NaN. */
    private static void rate(
            RatingSettings settings, Plane plane, int side, int[][] positions, double[][] outputs,
            double[][] spreads) {
        Network network = settings.model.network(side);
        BlankPatches blank = BlankPatches.of(side);
        int chunk = network.chunk;
        ConcurrentLinkedQueue<Bench> benches = new ConcurrentLinkedQueue<>();
        AtomicInteger done = new AtomicInteger();
        AtomicBoolean stopped = new AtomicBoolean();
        IntStream.range(0, (positions.length + chunk - 1) / chunk).parallel().forEach(number -> {
            if (stopped.get()) {
                return;
            }
            Bench bench = benches.poll();
            if (bench == null) {
                bench = new Bench(network, side);
            }
            int first = number * chunk;
            int last = Math.min(first + chunk, positions.length);
            int[] rated = new int[chunk];
            boolean[] doubtful = new boolean[chunk];
            int n = 0;
            for (int i = first; i < last; i++) {
                outputs[i] = new double[Components.OUTPUTS];
                spreads[i] = new double[Components.OUTPUTS];
                Arrays.fill(outputs[i], Double.NaN);
                Arrays.fill(spreads[i], Double.NaN);
                plane.cut(positions[i][0], positions[i][1], side, bench.values, bench.unmasked);
                if (!isWhole(bench.unmasked)) {
                    continue;
                }
                boolean isBlank = blank.isBlank(bench.values, plane.isWhole());
                if ((!isBlank || side < TELLING_SIDE)
                        && Normalisation.scale(
                                bench.values, false, 1, bench.patches, n * side * side)) {
                    doubtful[n] = isBlank;
                    rated[n++] = i;
                }
            }
            if (n > 0) {
                network.run(bench.patches, n, bench.given);
            }
            for (int k = 0; k < n; k++) {
                double[] ofPatch = outputs[rated[k]];
                settings.model.read(bench.given, k, ofPatch, spreads[rated[k]]);
                if (doubtful[k] && !(ofPatch[Components.NOISE] < MOSTLY_NOISE)) {
                    Arrays.fill(ofPatch, Double.NaN);
                    Arrays.fill(spreads[rated[k]], Double.NaN);
                }
            }
            benches.add(bench);
            double share = done.addAndGet(last - first) / (double) positions.length;
            if (!settings.progress.test(share)) {
                stopped.set(true);
            }
        });
        if (stopped.get()) {
            throw new CancellationException("Esc was pressed.");
        }
    }

    private static boolean isWhole(boolean[] unmasked) {
        for (boolean counts : unmasked) {
            if (!counts) {
                return false;
            }
        }
        return true;
    }
}
