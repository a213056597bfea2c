package quality.microscope.focus;

import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;

/**
 * Tells which patches have nothing but noise in them, such as bare resin.
 *
 * <p>As the library's {@code acquisition.py} does it: the power at low frequencies is compared with
 * that of the noise, which is taken at the same frequency along the lines, but at higher ones across
 * them. It looks at a patch binned by two.
 */
final class BlankPatches {
    /** Periods along an axis that a smooth surface leaves to the lowest frequency. */
    private static final int FIRST_PERIODS = 3;
    private static final int SURFACE_ORDER = 3;
    // In cycles a pixel.
    private static final double STRUCTURE_TO = 0.06;
    private static final double NOISE_FROM = 0.1;
    private static final double NOISE_TO = 0.2;
    /** Rings are so many times wider at the outer edge. */
    private static final double RING_RATIO = 1.7;
    /** Along the lines, what lines that are offset leave through the window. */
    private static final int FIRST_COLUMN = 2;
    /** What varies less, in grey levels, is not seen. */
    private static final double LEAST_DEVIATION = 0.5;
    /** So small a deviation, against the size of the values, is rounding. */
    private static final double ROUNDING = 1e-6;

    // Of the ratios in each ring, by the side of patches: `python tests/fiji_vectors.py` writes them
    // anew.
    private static final String LIMITS = "blank_limits.json";
    private static final Map<String, Object> LIMITS_BY_SIDE;
    private static final Map<Integer, BlankPatches> BY_SIDE = new ConcurrentHashMap<>();

    static {
        try (InputStream stream = BlankPatches.class.getResourceAsStream(LIMITS)) {
            byte[] content = Weights.bytes(stream);
            LIMITS_BY_SIDE = ModelFiles.object(
                    Json.parse(new String(content, StandardCharsets.UTF_8)), LIMITS);
        } catch (IOException error) {
            throw new ExceptionInInitializerError(error);
        }
    }

    private final int side;
    /** Of a binned patch. */
    private final int half;
    private final double[] limits;
    /** Columns of the spectrum that are looked at, from the first one. */
    private final int columns;
    // Orthonormal polynomials, by order.
    private final double[][] polynomials = new double[SURFACE_ORDER + 1][];
    private final double[] window;
    private final double[] cosines;
    private final double[] sines;
    private final List<Integer> noiseRows = new ArrayList<>();
    // Rows of the spectrum that have a coefficient in a ring; and of each coefficient its ring.
    private final List<Integer> ringRows = new ArrayList<>();
    private final List<int[]> rings = new ArrayList<>();

    /** Gives what tells blank patches of a side in pixels: a multiple of 32, 64 at least. */
    static BlankPatches of(int side) {
        return BY_SIDE.computeIfAbsent(side, BlankPatches::new);
    }

    private BlankPatches(int side) {
        this.side = side;
        half = side / 2;
        List<?> known = (List<?>) LIMITS_BY_SIDE.get(String.valueOf(side));
        if (known == null) {
            throw new FocusException("Patches of " + side + " pixels are not rated.");
        }
        limits = known.stream().mapToDouble(value -> (Double) value).toArray();
        window = new double[half];
        cosines = new double[half];
        sines = new double[half];
        for (int i = 0; i < half; i++) {
            double sine = Math.sin(Math.PI * i / half);
            window[i] = sine * sine;
            cosines[i] = Math.cos(2 * Math.PI * i / half);
            sines[i] = Math.sin(2 * Math.PI * i / half);
        }
        fitPolynomials();
        double lowest = (double) FIRST_PERIODS / side;
        double highest = Math.max(STRUCTURE_TO, RING_RATIO * lowest);
        double[] edges = new double[limits.length + 1];
        for (int i = 0; i < edges.length; i++) {
            edges[i] = lowest * Math.pow(highest / lowest, (double) i / limits.length);
        }
        edges[limits.length] = highest;
        int last = FIRST_COLUMN;
        for (int row = 0; row < half; row++) {
            double fy = Math.abs(row < (half + 1) / 2 ? row : row - half) * (1.0 / half) / 2;
            if (fy >= NOISE_FROM && fy < NOISE_TO) {
                noiseRows.add(row);
            }
            int[] ofRow = new int[half / 2 + 1];
            boolean any = false;
            for (int column = 0; column < ofRow.length; column++) {
                double frequency = Math.hypot(fy, column * (1.0 / half) / 2);
                ofRow[column] = column < FIRST_COLUMN ? -1 : ring(frequency, edges);
                if (ofRow[column] >= 0) {
                    any = true;
                    last = Math.max(last, column + 1);
                }
            }
            if (any) {
                ringRows.add(row);
                rings.add(ofRow);
            }
        }
        columns = last;
    }

    private static int ring(double frequency, double[] edges) {
        for (int ring = 0; ring + 1 < edges.length; ring++) {
            if (frequency >= edges[ring] && frequency < edges[ring + 1]) {
                return ring;
            }
        }
        return -1;
    }

    private void fitPolynomials() {
        for (int order = 0; order <= SURFACE_ORDER; order++) {
            double[] values = new double[half];
            for (int i = 0; i < half; i++) {
                values[i] = Math.pow(2.0 * i / (half - 1) - 1, order);
            }
            // Twice, as what is left of the lower orders after once is rounding, but seen.
            for (int k = 0; k < 2 * order; k++) {
                double[] lower = polynomials[k % order];
                double product = product(values, lower);
                for (int i = 0; i < half; i++) {
                    values[i] -= product * lower[i];
                }
            }
            double length = Math.sqrt(product(values, values));
            for (int i = 0; i < half; i++) {
                values[i] /= length;
            }
            polynomials[order] = values;
        }
    }

    private static double product(double[] a, double[] b) {
        double sum = 0;
        for (int i = 0; i < a.length; i++) {
            sum += a[i] * b[i];
        }
        return sum;
    }

    /**
     * Tells whether a patch is blank.
     *
     * @param values its pixels, finite, row by row
     * @param whole whether they are whole numbers, of which half a grey level is not seen
     */
    boolean isBlank(double[] values, boolean whole) {
        double largest = 0;
        double sum = 0;
        for (double value : values) {
            largest = Math.max(largest, Math.abs(value));
            sum += value;
        }
        double size = largest > 0 ? largest : 1;
        double mean = sum / size / values.length;
        double squares = 0;
        double[] binned = new double[half * half];
        for (int y = 0; y < side; y++) {
            for (int x = 0; x < side; x++) {
                double value = values[y * side + x] / size - mean;
                squares += value * value;
                binned[y / 2 * half + x / 2] += value / 4;
            }
        }
        double fine = squares / values.length - product(binned, binned) / binned.length;
        flatten(binned);
        double variance = Math.max(fine, 0) + product(binned, binned) / binned.length;
        double least = whole ? Math.max(ROUNDING, LEAST_DEVIATION / Math.max(largest, 1))
                : ROUNDING;
        return !(Math.sqrt(variance) > least) || !hasStructure(binned);
    }

    /** Takes slow shading off: a polynomial of third order. */
    private void flatten(double[] x) {
        double[][] across = new double[SURFACE_ORDER + 1][half];
        for (int y = 0; y < half; y++) {
            for (int order = 0; order <= SURFACE_ORDER; order++) {
                double sum = 0;
                for (int i = 0; i < half; i++) {
                    sum += x[y * half + i] * polynomials[order][i];
                }
                across[order][y] = sum;
            }
        }
        for (int a = 0; a <= SURFACE_ORDER; a++) {
            for (int b = 0; a + b <= SURFACE_ORDER; b++) {
                double share = product(across[b], polynomials[a]);
                for (int y = 0; y < half; y++) {
                    for (int i = 0; i < half; i++) {
                        x[y * half + i] -= share * polynomials[a][y] * polynomials[b][i];
                    }
                }
            }
        }
    }

    private boolean hasStructure(double[] x) {
        // The few columns of the spectrum that are wanted, of each line.
        double[][] real = new double[columns][half];
        double[][] imaginary = new double[columns][half];
        for (int y = 0; y < half; y++) {
            for (int column = FIRST_COLUMN; column < columns; column++) {
                double re = 0;
                double im = 0;
                int at = 0;
                for (int i = 0; i < half; i++) {
                    double value = x[y * half + i] * window[i];
                    re += value * cosines[at];
                    im -= value * sines[at];
                    at += column;
                    at -= at >= half ? half : 0;
                }
                real[column][y] = re * window[y];
                imaginary[column][y] = im * window[y];
            }
        }
        double[] sums = new double[limits.length];
        int[] counts = new int[limits.length];
        for (int column = FIRST_COLUMN; column < columns; column++) {
            double noise = 0;
            for (int row : noiseRows) {
                noise += power(real[column], imaginary[column], row);
            }
            noise /= noiseRows.size();
            for (int i = 0; i < ringRows.size(); i++) {
                int ring = rings.get(i)[column];
                if (ring >= 0) {
                    double power = power(real[column], imaginary[column], ringRows.get(i));
                    sums[ring] += power > 0 ? power / noise : 0;
                    counts[ring]++;
                }
            }
        }
        for (int ring = 0; ring < limits.length; ring++) {
            if (sums[ring] / counts[ring] > limits[ring]) {
                return true;
            }
        }
        return false;
    }

    /** Gives the power of a row of the spectrum, of a column that was transformed by lines. */
    private double power(double[] real, double[] imaginary, int row) {
        double re = 0;
        double im = 0;
        int at = 0;
        for (int y = 0; y < half; y++) {
            re += real[y] * cosines[at] + imaginary[y] * sines[at];
            im += imaginary[y] * cosines[at] - real[y] * sines[at];
            at += row;
            at -= at >= half ? half : 0;
        }
        return re * re + im * im;
    }
}
