package quality.microscope.focus;

import ij.process.FHT;
import java.util.Arrays;

/**
 * What a rater sees of a patch: its power spectrum with direction, and what its lines have alike.
 *
 * <p>They are those of the library's {@code descriptors.py}, in its order. An object has work space
 * and serves one thread at a time.
 */
final class Descriptors {
    /** The smallest patch that has them, in pixels. */
    static final int SMALLEST_PATCH_SIZE = 128;
    /** Sides of patches are multiples of it. */
    static final int MULTIPLE = 32;

    private static final Look[] LOOKS = {
        new Look(64, edges(1.5 / 64, between(2.5 / 64, 0.5, 14)), 12),
        new Look(64, edges(1.5 / 64, between(2.5 / 64, 0.36, 8)), 8),
        new Look(32, edges(1.5 / 32, between(2.5 / 32, 0.36, 4)), 6),
    };
    // Of bands along the axes, where lines that are offset show, in cycles a pixel.
    private static final double[] AXIS_EDGES = {
        0.9 / 64, 2.5 / 64, 4.5 / 64, 8.5 / 64, 16.5 / 64, 33.0 / 64
    };
    // Of bands whose power is compared between windows: noise is alike everywhere, structure is not.
    private static final double[] BANDS = between(1.5 / 64, 0.5, 9);
    private static final int[] LAGS = {1, 2, 4, 8};
    private static final int[] MEAN_LAGS = {1, 4};
    /** Displacements of a line beyond so many pixels are no displacements. */
    private static final double MOST_SHIFT_PX = 6;
    private static final double FLOOR = 1e-6;

    /** How many there are. */
    static final int NUMBER = number();

    private static final Cells ALONG_ROWS = new Cells(AXIS_EDGES.length - 1);
    private static final Cells ALONG_COLUMNS = new Cells(AXIS_EDGES.length - 1);
    private static final Cells IN_BANDS = new Cells(BANDS.length - 1);

    static {
        Look look = LOOKS[0];
        for (int v = 0; v < look.window; v++) {
            double fy = look.frequency(v);
            ALONG_ROWS.add(v * look.width, place(Math.abs(fy), AXIS_EDGES));
            for (int u = 0; u < look.width; u++) {
                double fx = (double) u / look.window;
                if (!look.isOnAxis(fy, fx)) {
                    IN_BANDS.add(v * look.width + u, place(Math.hypot(fy, fx), BANDS));
                }
            }
        }
        for (int u = 0; u < look.width; u++) {
            ALONG_COLUMNS.add(u, place((double) u / look.window, AXIS_EDGES));
        }
    }

    private final int side;
    private final FHT[] transforms = {new FHT(), new FHT()};
    private final float[] window = new float[64 * 64];
    private final float[] binned;
    private final float[] binnedTwice;
    private final float[] turned;
    private final double[] power = new double[64 * 33];
    private final double[] mean = new double[64 * 33];
    private double[] to;
    private int at;

    /**
     * Makes work space.
     *
     * @param side of the patches in pixels: a multiple of 32, 128 at least
     */
    Descriptors(int side) {
        this.side = side;
        binned = new float[side * side / 4];
        binnedTwice = new float[side * side / 16];
        turned = new float[side * side];
        for (FHT transform : transforms) {
            transform.setShowProgress(false);
        }
    }

    private static int number() {
        int cells = 0;
        for (Look look : LOOKS) {
            cells += look.cells();
        }
        return cells + 2 * (AXIS_EDGES.length - 1) + 4
                + 2 * (2 * LAGS.length + MEAN_LAGS.length) + 2 * (BANDS.length - 1) + 6 + 1;
    }

    /**
     * Describes a patch.
     *
     * @param patch of mean 0 and standard deviation 1, row by row
     * @param result takes {@link #NUMBER} values
     */
    void of(float[] patch, double[] result) {
        to = result;
        at = 0;
        int windows = windows(side, LOOKS[0]);
        double[][] bands = new double[BANDS.length - 1][windows];
        spectra(patch, side, LOOKS[0], bands);
        addLogs(LOOKS[0].grid.means(mean));
        double[] axes = Arrays.copyOf(ALONG_ROWS.means(mean), 2 * (AXIS_EDGES.length - 1));
        System.arraycopy(
                ALONG_COLUMNS.means(mean), 0, axes, AXIS_EDGES.length - 1, AXIS_EDGES.length - 1);
        halve(patch, side, binned);
        spectra(binned, side / 2, LOOKS[1], null);
        addLogs(LOOKS[1].grid.means(mean));
        halve(binned, side / 2, binnedTwice);
        spectra(binnedTwice, side / 4, LOOKS[2], null);
        addLogs(LOOKS[2].grid.means(mean));
        addLogs(axes);
        addLogs(
                step(patch, side, 1, 0), step(patch, side, 2, 0), step(patch, side, 0, 1),
                step(patch, side, 0, 2));
        addLines(patch);
        for (int y = 0; y < side; y++) {
            for (int x = 0; x < side; x++) {
                turned[x * side + y] = patch[y * side + x];
            }
        }
        addLines(turned);
        addBands(bands);
        addGreys(patch);
        add(Math.log(side / 256.0) / Math.log(2));
    }

    private void add(double value) {
        to[at++] = value;
    }

    private void addLogs(double... powers) {
        for (double one : powers) {
            add(Math.log(one + FLOOR));
        }
    }

    private static void halve(float[] from, int side, float[] to) {
        int half = side / 2;
        for (int y = 0; y < half; y++) {
            for (int x = 0; x < half; x++) {
                int i = 2 * y * side + 2 * x;
                to[y * half + x] =
                        (from[i] + from[i + side] + (from[i + 1] + from[i + side + 1])) * 0.25f;
            }
        }
    }

    private static int windows(int side, Look look) {
        int across = (side - look.window) / (look.window / 2) + 1;
        return across * across;
    }

    /**
     * Takes the mean of the power spectra of windows with half overlap.
     *
     * @param bands takes the power of each band in each window; null where it is not wanted
     */
    private void spectra(float[] x, int side, Look look, double[][] bands) {
        int n = look.window;
        FHT transform = transforms[look == LOOKS[2] ? 1 : 0];
        Arrays.fill(mean, 0);
        int number = 0;
        for (int top = 0; top + n <= side; top += n / 2) {
            for (int left = 0; left + n <= side; left += n / 2) {
                double sum = 0;
                for (int y = 0; y < n; y++) {
                    for (int i = (top + y) * side + left; i < (top + y) * side + left + n; i++) {
                        sum += x[i];
                    }
                }
                float middle = (float) (sum / (n * n));
                for (int y = 0; y < n; y++) {
                    int from = (top + y) * side + left;
                    for (int i = 0; i < n; i++) {
                        window[y * n + i] = (x[from + i] - middle) * look.hann[y * n + i];
                    }
                }
                transform.rc2DFHT(window, false, n);
                power(look);
                for (int i = 0; i < n * look.width; i++) {
                    mean[i] += power[i];
                }
                if (bands != null) {
                    double[] means = IN_BANDS.means(power);
                    for (int band = 0; band < means.length; band++) {
                        bands[band][number] = means[band];
                    }
                }
                number++;
            }
        }
        for (int i = 0; i < n * look.width; i++) {
            mean[i] /= number;
        }
    }

    /** Takes the power out of a Hartley transform: white noise of variance 1 has power 1. */
    private void power(Look look) {
        int n = look.window;
        for (int v = 0; v < n; v++) {
            int opposite = (n - v) % n * n;
            for (int u = 0; u < look.width; u++) {
                double one = window[v * n + u];
                double other = window[opposite + (n - u) % n];
                power[v * look.width + u] = (one * one + other * other) / 2 / look.gain;
            }
        }
    }

    /** Gives the mean square of the differences of neighbours so far apart. */
    private static double step(float[] x, int side, int down, int across) {
        double sum = 0;
        for (int y = 0; y + down < side; y++) {
            int last = y * side + side - across;
            for (int i = y * side; i < last; i++) {
                double difference = x[i + down * side + across] - x[i];
                sum += difference * difference;
            }
        }
        return sum / ((double) (side - down) * (side - across));
    }

    /** Adds what the halves of lines have in common: displacements and offsets, by lag. */
    private void addLines(float[] x) {
        int n = side;
        int wide = n - 4;
        float[] value = new float[n * wide];
        float[] slope = new float[n * wide];
        float[] smooth = new float[n - 2];
        double[][] means = new double[2][n];
        for (int y = 0; y < n; y++) {
            int row = y * n;
            for (int i = 0; i < n - 2; i++) {
                smooth[i] = (x[row + i] + 2 * x[row + i + 1] + x[row + i + 2]) * 0.25f;
            }
            for (int i = 0; i < wide; i++) {
                slope[y * wide + i] = (smooth[i + 2] - smooth[i]) * 0.5f;
                value[y * wide + i] = smooth[i + 1];
            }
            for (int i = 0; i < n; i++) {
                means[i < n / 2 ? 0 : 1][y] += x[row + i];
            }
            means[0][y] /= n / 2;
            means[1][y] /= n - n / 2;
        }
        for (int lag : LAGS) {
            double[] a = shifts(value, slope, wide, lag, 0, wide / 2);
            double[] b = shifts(value, slope, wide, lag, wide / 2, wide);
            double common = 0;
            double own = 0;
            for (int y = 0; y < a.length; y++) {
                common += a[y] * b[y];
                own += a[y] * a[y] + b[y] * b[y];
            }
            add(signedLog(30 * common / a.length));
            add(Math.log(own / a.length / 2 + 1e-4));
        }
        for (int lag : MEAN_LAGS) {
            double common = 0;
            for (int y = 0; y + lag < n; y++) {
                common += (means[0][y + lag] - means[0][y]) * (means[1][y + lag] - means[1][y]);
            }
            add(signedLog(300 * common / (n - lag)));
        }
    }

    /** Gives how far each line is displaced against the one so many before it, by some columns. */
    private double[] shifts(
            float[] value, float[] slope, int wide, int lag, int first, int last) {
        int lines = side - lag;
        double[] shifts = new double[lines];
        double[] bottoms = new double[lines];
        double mean = 0;
        for (int y = 0; y < lines; y++) {
            double top = 0;
            double bottom = 0;
            for (int i = y * wide + first; i < y * wide + last; i++) {
                float slopes = (slope[i + lag * wide] + slope[i]) * 0.5f;
                top += (value[i + lag * wide] - value[i]) * slopes;
                bottom += slopes * slopes;
            }
            shifts[y] = -top;
            bottoms[y] = bottom;
            mean += bottom / lines;
        }
        for (int y = 0; y < lines; y++) {
            shifts[y] /= bottoms[y] + 0.05 * mean + 1e-9;
        }
        double[] sorted = shifts.clone();
        Arrays.sort(sorted);
        double median = (sorted[(lines - 1) / 2] + sorted[lines / 2]) / 2;
        for (int y = 0; y < lines; y++) {
            shifts[y] = Math.max(-MOST_SHIFT_PX, Math.min(shifts[y] - median, MOST_SHIFT_PX));
        }
        return shifts;
    }

    private static double signedLog(double value) {
        return Math.signum(value) * Math.log1p(Math.abs(value));
    }

    /** Adds how the power of each band varies between windows. */
    private void addBands(double[][] bands) {
        double[] low = new double[bands.length];
        double[] high = new double[bands.length];
        for (int band = 0; band < bands.length; band++) {
            double[] powers = bands[band];
            double level = 0;
            for (int i = 0; i < powers.length; i++) {
                powers[i] += FLOOR;
                level += powers[i] / powers.length;
            }
            Arrays.sort(powers);
            low[band] = Math.log(powers[powers.length / 4] / level);
            high[band] = Math.log(powers[powers.length - 1 - powers.length / 8] / level);
        }
        for (double[] values : new double[][] {low, high}) {
            for (double value : values) {
                add(value);
            }
        }
    }

    /** Adds how grey levels are distributed: piled up at the ends, skewed, heavy in the tails. */
    private void addGreys(float[] x) {
        float low = Float.POSITIVE_INFINITY;
        float high = Float.NEGATIVE_INFINITY;
        double cubes = 0;
        double fourths = 0;
        for (float value : x) {
            low = Math.min(low, value);
            high = Math.max(high, value);
            double square = (double) value * value;
            cubes += square * value;
            fourths += square * square;
        }
        int lowest = 0;
        int highest = 0;
        for (float value : x) {
            lowest += value == low ? 1 : 0;
            highest += value == high ? 1 : 0;
        }
        add(Math.log10((double) Math.min(lowest, highest) / x.length + 1e-5));
        add(Math.log10((double) Math.max(lowest, highest) / x.length + 1e-5));
        add(Math.log1p(Math.abs(cubes / x.length)));
        add(Math.log(fourths / x.length + 0.1));
        add(Math.log(Math.min(-low, high) + 0.1));
        add(Math.log(Math.max(-low, high) + 0.1));
    }

    private static double[] edges(double first, double[] others) {
        double[] edges = new double[others.length + 1];
        edges[0] = first;
        System.arraycopy(others, 0, edges, 1, others.length);
        return edges;
    }

    /** Gives so many numbers of equal ratios. */
    private static double[] between(double low, double high, int number) {
        double[] values = new double[number];
        for (int i = 0; i < number; i++) {
            values[i] = low * Math.pow(high / low, (double) i / (number - 1));
        }
        values[number - 1] = high;
        return values;
    }

    /** Gives the interval in which a value lies; -1 for none. */
    private static int place(double value, double[] edges) {
        if (value < edges[0]) {
            return -1;
        }
        for (int i = 1; i < edges.length; i++) {
            if (value < edges[i]) {
                return i - 1;
            }
        }
        return -1;
    }

    /** How a spectrum is taken: in windows of a side, on a polar grid. */
    private static final class Look {
        final int window;
        /** Coefficients in a row: the others are the same once more. */
        final int width;
        final float[] hann;
        final double gain;
        final Cells grid;
        private final int rings;
        private final int angles;

        Look(int window, double[] radii, int angles) {
            this.window = window;
            this.angles = angles;
            width = window / 2 + 1;
            rings = radii.length - 1;
            hann = new float[window * window];
            double squares = 0;
            for (int y = 0; y < window; y++) {
                for (int x = 0; x < window; x++) {
                    hann[y * window + x] = (float) (hann(y) * hann(x));
                    squares += hann[y * window + x] * hann[y * window + x];
                }
            }
            gain = squares;
            grid = new Cells(cells());
            for (int v = 0; v < window; v++) {
                for (int u = 0; u < width; u++) {
                    add(v, u, radii);
                }
            }
        }

        private void add(int v, int u, double[] radii) {
            double fy = frequency(v);
            double fx = (double) u / window;
            int ring = place(Math.hypot(fy, fx), radii);
            if (ring < 0 || isOnAxis(fy, fx)) {
                return;
            }
            double turned = (Math.atan2(fy, fx) / Math.PI + 0.5) * angles;
            // What lies between two cells is of both, so that a mirror image has the mirrored
            // numbers.
            for (double shift : new double[] {-1e-6, 1e-6}) {
                grid.add(v * width + u, ring * angles + (int) Math.floor(turned + shift));
            }
        }

        int cells() {
            return rings * angles;
        }

        double frequency(int index) {
            return (double) (index < window / 2 ? index : index - window) / window;
        }

        boolean isOnAxis(double fy, double fx) {
            return Math.abs(fx) < 0.9 / window || Math.abs(fy) < 0.9 / window;
        }

        private double hann(int i) {
            return 0.5 - 0.5 * Math.cos(2 * Math.PI * (i + 1) / (window + 1));
        }
    }

    /** Which coefficients of a spectrum lie in which cells, of which the means are wanted. */
    private static final class Cells {
        private final int[] counts;
        private int[] coefficients = new int[64];
        private int[] cells = new int[64];
        private int length;

        Cells(int number) {
            counts = new int[number];
        }

        void add(int coefficient, int cell) {
            if (cell < 0) {
                return;
            }
            if (length == cells.length) {
                coefficients = Arrays.copyOf(coefficients, 2 * length);
                cells = Arrays.copyOf(cells, 2 * length);
            }
            coefficients[length] = coefficient;
            cells[length++] = cell;
            counts[cell]++;
        }

        /** Gives the means; 0 of an empty cell. */
        double[] means(double[] power) {
            double[] means = new double[counts.length];
            for (int i = 0; i < length; i++) {
                means[cells[i]] += power[coefficients[i]];
            }
            for (int cell = 0; cell < means.length; cell++) {
                means[cell] /= Math.max(counts[cell], 1);
            }
            return means;
        }
    }
}
