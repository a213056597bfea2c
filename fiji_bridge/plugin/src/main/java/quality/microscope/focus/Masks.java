package quality.microscope.focus;

import java.util.Arrays;

/**
 * Patches of which a part is masked: what the network sees there, and whether to believe it. It is
 * the library's, whose {@code masks.py} says why.
 */
final class Masks {
    // A pixel counts when at least half of the pixels up to this far from it do: specks do not.
    private static final int SPECK_PX = 3;
    // Jacobi steps at each scale of the continuation.
    private static final int STEPS = 8;
    // Details of two scales: the step between the pixels of their filters, and how far from the
    // mask's border its own details reach.
    private static final int[][] SCALES = {{1, 2}, {2, 4}};
    // A patch is believed when at most this share of its details is the mask's.
    private static final double MOST_OF_MASK = 0.3;
    // ... and at least this share of its pixels is away from the mask's border.
    private static final double LEAST_INSIDE = 0.125;
    // Median of the square of a normal deviate.
    private static final double MEDIAN_SQUARE = 0.4549364231195724;

    // A border of one value is so deep and so long where it enters a patch, in pixels; its length
    // is told by pixels so far apart first.
    private static final int DEEP = 3;
    private static final int LONG = 16;
    private static final int APART = 8;
    // It ends with a jump to the pixel beside it, or over one that is a mixture to the next: so
    // many times the difference of the pixels beyond, mostly so much of what the others differ from
    // its value; and so many times the smallest difference of neighbours.
    private static final double[][] JUMPS = {{1, 2, 0.25}, {2, 4, 0.4}};
    private static final double GREY_LEVELS = 4;
    // What it is the border of is solid: so many pixels for each that is beside it. Specks are not.
    private static final int SOLID_PX = 4;

    private Masks() {}

    /**
     * Masks the black surroundings of stitched, cropped and turned images: pixels of one value,
     * whichever it is, that enter the patch 3 or more pixels deep along 16 or more pixels of its
     * side, and end with a jump.
     *
     * @param values size * size pixels
     * @param unmasked which of them count; changed
     * @return whether there is such a border
     */
    static boolean withoutBorder(double[] values, boolean[] unmasked, int size) {
        double[] tried = new double[4];
        Arrays.fill(tried, Double.NaN);
        for (int turn = 0; turn < 4 && size > LONG; turn++) {
            double value = valueOfSide(values, turn, size);
            boolean isNew = !Double.isNaN(value);
            for (double other : tried) {
                isNew &= other != value;
            }
            tried[turn] = value;
            if (isNew && endsWithAJump(value, values, size)) {
                for (int i = 0; i < values.length; i++) {
                    unmasked[i] &= values[i] != value;
                }
                return true;
            }
        }
        return false;
    }

    /** Gives the value that enters a patch by a side, of several the first; NaN without any. */
    private static double valueOfSide(double[] values, int turn, int size) {
        for (int place = 0; place + LONG < size; place += APART) {
            double value = values[turned(DEEP - 1, place, turn, size)];
            // Most patches differ at these three already.
            if (values[turned(DEEP - 1, place + APART, turn, size)] == value
                    && values[turned(DEEP - 1, place + LONG, turn, size)] == value
                    && isOf(value, values, place, turn, size)) {
                return isFinite(value) ? value : Double.NaN;
            }
        }
        return Double.NaN;
    }

    /** Gives the place of a pixel that is at this row and column of the patch, turned leftwards. */
    private static int turned(int row, int column, int turn, int size) {
        switch (turn) {
            case 0:
                return row * size + column;
            case 1:
                return column * size + size - 1 - row;
            case 2:
                return (size - 1 - row) * size + size - 1 - column;
            default:
                return (size - 1 - column) * size + row;
        }
    }

    private static boolean isOf(double value, double[] values, int place, int turn, int size) {
        for (int row = 0; row < DEEP; row++) {
            for (int column = place; column < place + LONG; column++) {
                if (values[turned(row, column, turn, size)] != value) {
                    return false;
                }
            }
        }
        return true;
    }

    /**
     * Tells whether a patch's pixels of a value end with a jump rather than fade, as seen on every
     * eighth row and column, both ways.
     */
    private static boolean endsWithAJump(double value, double[] values, int size) {
        int along = (size + APART - 1) / APART;
        boolean[][] border = new boolean[2 * along][size];
        boolean[][] others = new boolean[2 * along][size];
        // How far the others are from the value.
        double[][] apart = new double[2 * along][size];
        double sum = 0;
        int solid = 0;
        int rim = 0;
        double step = Double.POSITIVE_INFINITY;
        for (int line = 0; line < 2 * along; line++) {
            for (int x = 0; x < size; x++) {
                int row = line < along ? line * APART : x;
                int column = line < along ? x : (line - along) * APART;
                double pixel = values[row * size + column];
                border[line][x] = pixel == value;
                others[line][x] = !border[line][x] && isFinite(pixel);
                apart[line][x] = others[line][x] ? pixel - value : 0;
                sum += Math.abs(apart[line][x]);
                solid += others[line][x] ? 1 : 0;
                if (x > 0) {
                    rim += border[line][x] != border[line][x - 1] ? 1 : 0;
                    double difference = Math.abs(apart[line][x] - apart[line][x - 1]);
                    step = difference > 0 ? Math.min(step, difference) : step;
                }
            }
        }
        if (solid < SOLID_PX * rim) {
            return false;
        }
        double mean = sum / Math.max(solid, 1);
        for (double[] jump : JUMPS) {
            int over = (int) jump[0];
            double jumps = 0;
            double beyond = 0;
            int pairs = 0;
            int high = 0;
            for (int line = 0; line < 2 * along; line++) {
                for (int x = 1; x < size; x++) {
                    if (border[line][x] == border[line][x - 1]) {
                        continue;
                    }
                    // Away from the border.
                    int way = border[line][x] ? -1 : 1;
                    int first = (way > 0 ? x - 1 : x) + over * way;
                    int second = first + way;
                    if (second >= 0 && second < size && others[line][first]
                            && others[line][second]) {
                        jumps += Math.abs(apart[line][first]);
                        beyond += Math.abs(apart[line][second] - apart[line][first]);
                        high += Math.abs(apart[line][first]) >= jump[2] * mean ? 1 : 0;
                        pairs++;
                    }
                }
            }
            if (pairs > 0 && jumps >= jump[1] * beyond && 2 * high >= pairs
                    && jumps >= GREY_LEVELS * step * pairs) {
                return true;
            }
        }
        return false;
    }

    private static boolean isFinite(double value) {
        return !Double.isNaN(value) && !Double.isInfinite(value);
    }

    /**
     * Gives a patch the values by which it is judged: masked ones continue the others smoothly, or
     * are those of the image where that makes more of an edge than there is.
     *
     * @param values size * size pixels, finite where they are unmasked; changed
     * @param unmasked which of them count
     * @return whether the patch is believed: not when its details are mostly the mask's
     */
    static boolean continued(double[] values, boolean[] unmasked, int size) {
        boolean[] region = mostly(mostly(unmasked, size), size);
        boolean[] counted = new boolean[values.length];
        double[] known = new double[values.length];
        boolean any = false;
        boolean finite = true;
        for (int i = 0; i < values.length; i++) {
            counted[i] = unmasked[i] && region[i];
            any |= counted[i];
            known[i] = counted[i] ? values[i] : 0;
            finite &= isFinite(values[i]);
        }
        double[] judged = filled(known, counted, size, size);
        if (any && shareOfMask(judged, region, size, false) <= MOST_OF_MASK) {
            System.arraycopy(judged, 0, values, 0, values.length);
            return true;
        }
        return finite && shareOfMask(values, region, size, true) <= MOST_OF_MASK;
    }

    /** Tells where at least half of the pixels around count; beyond the border there are none. */
    private static boolean[] mostly(boolean[] mask, int size) {
        int[] among = around(mask, size, SPECK_PX);
        boolean[] mostly = new boolean[mask.length];
        for (int i = 0; i < mask.length; i++) {
            mostly[i] = 2 * among[i] >= pixelsAround(i, size, SPECK_PX);
        }
        return mostly;
    }

    /** Gives how many pixels are true in the square around each one. */
    private static int[] around(boolean[] mask, int size, int reach) {
        int[] sums = new int[(size + 1) * (size + 1)];
        for (int y = 0; y < size; y++) {
            for (int x = 0; x < size; x++) {
                int at = (y + 1) * (size + 1) + x + 1;
                sums[at] = sums[at - 1] + sums[at - size - 1] - sums[at - size - 2]
                        + (mask[y * size + x] ? 1 : 0);
            }
        }
        int[] among = new int[mask.length];
        for (int y = 0; y < size; y++) {
            int top = Math.max(y - reach, 0) * (size + 1);
            int bottom = Math.min(y + reach + 1, size) * (size + 1);
            for (int x = 0; x < size; x++) {
                int left = Math.max(x - reach, 0);
                int right = Math.min(x + reach + 1, size);
                among[y * size + x] =
                        sums[bottom + right] - sums[bottom + left] - sums[top + right]
                                + sums[top + left];
            }
        }
        return among;
    }

    private static int pixelsAround(int at, int size, int reach) {
        int y = at / size;
        int x = at % size;
        int rows = Math.min(y + reach + 1, size) - Math.max(y - reach, 0);
        return rows * (Math.min(x + reach + 1, size) - Math.max(x - reach, 0));
    }

    /**
     * Continues the known values: means of 2 x 2 pixels at coarser and coarser scales, smoothed.
     * Values that are not known are 0.
     */
    private static double[] filled(double[] values, boolean[] known, int height, int width) {
        int unknown = 0;
        for (boolean one : known) {
            unknown += one ? 0 : 1;
        }
        if (unknown == 0 || values.length == 1) {
            return values;
        }
        int rows = (height + 1) / 2;
        int columns = (width + 1) / 2;
        double[] means = new double[rows * columns];
        boolean[] any = new boolean[means.length];
        for (int i = 0; i < rows; i++) {
            for (int j = 0; j < columns; j++) {
                double sum = 0;
                int pixels = 0;
                for (int y = 2 * i; y < Math.min(2 * i + 2, height); y++) {
                    double pair = 0;
                    for (int x = 2 * j; x < Math.min(2 * j + 2, width); x++) {
                        pair += values[y * width + x];
                        pixels += known[y * width + x] ? 1 : 0;
                    }
                    sum += pair;
                }
                means[i * columns + j] = sum / Math.max(pixels, 1);
                any[i * columns + j] = pixels > 0;
            }
        }
        double[] coarse = filled(means, any, rows, columns);
        double[] filled = values.clone();
        int[] places = new int[unknown];
        int n = 0;
        for (int i = 0; i < known.length; i++) {
            if (!known[i]) {
                filled[i] = coarse[i / width / 2 * columns + i % width / 2];
                places[n++] = i;
            }
        }
        double[] next = new double[unknown];
        for (int step = 0; step < STEPS; step++) {
            for (int k = 0; k < unknown; k++) {
                int at = places[k];
                int row = at / width;
                int column = at % width;
                double above = filled[row > 0 ? at - width : at];
                double below = filled[row < height - 1 ? at + width : at];
                double left = filled[column > 0 ? at - 1 : at];
                double right = filled[column < width - 1 ? at + 1 : at];
                next[k] = 0.25 * (above + below + left + right);
            }
            for (int k = 0; k < unknown; k++) {
                filled[places[k]] = next[k];
            }
        }
        return filled;
    }

    /**
     * Gives the share of a patch's details that is the mask's, the larger one of both scales.
     *
     * @param region false in masked areas
     * @param asInImage whether masked pixels are the image's own, with details and noise as the
     *     others have; a continuation has neither but at the border
     */
    private static double shareOfMask(
            double[] patch, boolean[] region, int size, boolean asInImage) {
        double share = 0;
        double[] smooth = patch;
        for (int[] scale : SCALES) {
            int step = scale[0];
            int reach = scale[1];
            smooth = smoothed(smooth, size, step);
            int[] among = around(region, size, reach);
            double[] within = new double[patch.length];
            int inside = 0;
            int noisy = 0;
            double outer = 0;
            boolean anyBorder = false;
            for (int i = 0; i < patch.length; i++) {
                boolean border = among[i] > 0 && among[i] < pixelsAround(i, size, reach);
                anyBorder |= border;
                double laplacian = laplacian(smooth, size, step, i);
                double energy = laplacian * laplacian;
                if (region[i] && !border) {
                    within[inside++] = energy;
                }
                if (asInImage ? !region[i] || border : border) {
                    outer += energy;
                    noisy += asInImage ? 1 : 0;
                }
            }
            if (!anyBorder) {
                continue;
            }
            if (inside < LEAST_INSIDE * patch.length) {
                share = 1;
                continue;
            }
            double inner = 0;
            for (int i = 0; i < inside; i++) {
                inner += within[i];
            }
            double noise = median(within, inside) / MEDIAN_SQUARE;
            outer -= noise * noisy;
            inner -= noise * inside;
            if (outer > 0) {
                share = Math.max(share, outer / (outer + Math.max(inner, 0)));
            }
        }
        return share;
    }

    private static double median(double[] values, int n) {
        Arrays.sort(values, 0, n);
        return (values[(n - 1) / 2] + values[n / 2]) / 2;
    }

    /** Smooths by 1, 4, 6, 4, 1 sixteenths of pixels {@code step} apart, down, then across. */
    private static double[] smoothed(double[] patch, int size, int step) {
        double[] from = patch;
        for (int axis = 0; axis < 2; axis++) {
            double[] to = new double[patch.length];
            for (int i = 0; i < to.length; i++) {
                double outer = beside(from, size, i, axis, -2 * step)
                        + beside(from, size, i, axis, 2 * step);
                double inner =
                        beside(from, size, i, axis, -step) + beside(from, size, i, axis, step);
                to[i] = 0.0625 * outer + 0.25 * inner + 0.375 * from[i];
            }
            from = to;
        }
        return from;
    }

    /** Gives the sum of the four pixels {@code step} away, less 4 times the pixel. */
    private static double laplacian(double[] patch, int size, int step, int at) {
        double vertical = beside(patch, size, at, 0, -step) + beside(patch, size, at, 0, step);
        double horizontal = beside(patch, size, at, 1, -step) + beside(patch, size, at, 1, step);
        return vertical + horizontal - 4 * patch[at];
    }

    /** Gives a pixel so far down or across from another one; beyond the border, the last one. */
    private static double beside(double[] patch, int size, int at, int axis, int offset) {
        int row = at / size;
        int column = at % size;
        if (axis == 0) {
            row = Math.min(Math.max(row + offset, 0), size - 1);
        } else {
            column = Math.min(Math.max(column + offset, 0), size - 1);
        }
        return patch[row * size + column];
    }
}
