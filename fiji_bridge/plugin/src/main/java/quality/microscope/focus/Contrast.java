package quality.microscope.focus;

/**
 * The contrast of a plane: what its fine detail has beyond noise, to compare planes of a stack. It
 * is the library's, whose {@code contrast.py} says why.
 */
final class Contrast {
    // Pixels are binned, the first two of every four columns, and bins that lie 4 pixels apart are
    // compared.
    private static final int ROWS = 4;
    private static final int COLUMNS = 2;
    private static final int APART = 4;
    // Variance of a bin's second differences, down and across, where that of a pixel is 1.
    private static final double OF_NOISE = 2 * 6 * ROWS * COLUMNS;
    private static final double LEAST_SHARE = 0.25;
    private static final double BY_CHANCE = 0.6;

    private Contrast() {}

    /** A mean of squares that grows number by number. */
    private static final class Squares {
        private double sum;
        private int counted;
        private int all;

        void add(double value, boolean counts) {
            all++;
            if (counts) {
                sum += value * value;
                counted++;
            }
        }

        double mean() {
            return counted > 0 ? sum / counted : 0;
        }

        boolean isEnough() {
            return counted >= LEAST_SHARE * all;
        }
    }

    /**
     * Gives the contrast of a patch and that of its noise, in grey levels.
     *
     * @param values size * size pixels; masked ones may be anything
     * @param unmasked which of them count, or null for all
     * @return NaN twice when too few count, or the patch is too small
     */
    static double[] ofPatch(double[] values, boolean[] unmasked, int size) {
        int rows = size / ROWS;
        int columns = size / APART;
        if (rows < 3 || columns < 3) {
            return new double[] {Double.NaN, Double.NaN};
        }
        double[][] bins = new double[rows][columns];
        boolean[][] whole = new boolean[rows][columns];
        for (int i = 0; i < rows; i++) {
            for (int j = 0; j < columns; j++) {
                whole[i][j] = true;
                for (int k = 0; k < ROWS * COLUMNS; k++) {
                    int at = (ROWS * i + k / COLUMNS) * size + APART * j + k % COLUMNS;
                    whole[i][j] &= unmasked == null || unmasked[at];
                    bins[i][j] += values[at];
                }
            }
        }
        Squares down = new Squares();
        for (int i = 0; i + 2 < rows; i++) {
            for (int j = 0; j < columns; j++) {
                down.add(
                        bins[i][j] - 2 * bins[i + 1][j] + bins[i + 2][j],
                        whole[i][j] && whole[i + 1][j] && whole[i + 2][j]);
            }
        }
        Squares across = new Squares();
        for (int i = 0; i < rows; i++) {
            for (int j = 0; j + 2 < columns; j++) {
                across.add(
                        bins[i][j] - 2 * bins[i][j + 1] + bins[i][j + 2],
                        whole[i][j] && whole[i][j + 1] && whole[i][j + 2]);
            }
        }
        Squares finest = new Squares();
        for (int i = 0; i < rows; i += 2) {
            for (int j = 0; j < columns; j++) {
                int at = ROWS * i * size + APART * j;
                int below = at + size;
                finest.add(
                        values[at] - values[below] - (values[at + 1] - values[below + 1]),
                        unmasked == null || unmasked[at] && unmasked[at + 1] && unmasked[below]
                                && unmasked[below + 1]);
            }
        }
        if (!down.isEnough() || !across.isEnough() || finest.counted == 0) {
            return new double[] {Double.NaN, Double.NaN};
        }
        double ofNoise = OF_NOISE * finest.mean() / 4;
        double excess = down.mean() + across.mean() - ofNoise;
        int binned = ROWS * COLUMNS;
        return new double[] {
            Math.copySign(Math.sqrt(Math.abs(excess)), excess) / binned,
            Math.sqrt(ofNoise) / binned,
        };
    }

    /**
     * Gives the contrast of a plane: the mean of its patches', or what noise makes by chance where
     * that is more; NaN without a patch that has one.
     *
     * @param patches contrast and noise of each
     */
    static double ofPlane(double[][] patches) {
        double detail = 0;
        double noise = 0;
        int n = 0;
        for (double[] patch : patches) {
            if (!Double.isNaN(patch[0])) {
                detail += patch[0];
                noise += patch[1];
                n++;
            }
        }
        return n == 0 ? Double.NaN : Math.max(detail / n, BY_CHANCE * noise / n / Math.sqrt(n));
    }
}
