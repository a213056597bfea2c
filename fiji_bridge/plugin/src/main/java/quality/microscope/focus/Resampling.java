package quality.microscope.focus;

/** Brings planes to another number of pixels over the same area. */
final class Resampling {
    private Resampling() {}

    /**
     * Resamples a plane: along an axis that gets fewer pixels, each is the mean over exactly the
     * area that it covers, with fractions of pixels; along one that gets more, cubic splines
     * interpolate.
     *
     * @param pixels height * width finite values, row by row
     * @return newHeight * newWidth values
     */
    static double[] resample(
            double[] pixels, int height, int width, int newHeight, int newWidth) {
        // Means come first, as they leave less to interpolate.
        double[] values = pixels;
        int rows = Math.min(height, newHeight);
        int columns = Math.min(width, newWidth);
        if (rows < height) {
            values = alongRows(values, height, width, rows, Resampling::means);
        }
        if (columns < width) {
            values = alongColumns(values, rows, width, columns, Resampling::means);
        }
        if (rows < newHeight) {
            values = alongRows(values, rows, columns, newHeight, Resampling::splines);
        }
        if (columns < newWidth) {
            values = alongColumns(values, newHeight, columns, newWidth, Resampling::splines);
        }
        return values;
    }

    private interface Line {
        double[] resample(double[] values, int length);
    }

    private static double[] alongRows(
            double[] pixels, int height, int width, int newHeight, Line line) {
        double[] result = new double[newHeight * width];
        double[] column = new double[height];
        for (int x = 0; x < width; x++) {
            for (int y = 0; y < height; y++) {
                column[y] = pixels[y * width + x];
            }
            double[] resampled = line.resample(column, newHeight);
            for (int y = 0; y < newHeight; y++) {
                result[y * width + x] = resampled[y];
            }
        }
        return result;
    }

    private static double[] alongColumns(
            double[] pixels, int height, int width, int newWidth, Line line) {
        double[] result = new double[height * newWidth];
        double[] row = new double[width];
        for (int y = 0; y < height; y++) {
            System.arraycopy(pixels, y * width, row, 0, width);
            System.arraycopy(line.resample(row, newWidth), 0, result, y * newWidth, newWidth);
        }
        return result;
    }

    /** Gives the means over equal parts of a line. */
    private static double[] means(double[] values, int length) {
        double[] means = new double[length];
        double step = (double) values.length / length;
        for (int i = 0; i < length; i++) {
            double from = i * step;
            double to = i + 1 < length ? (i + 1) * step : values.length;
            double sum = 0;
            for (int k = (int) from; k < values.length && k < to; k++) {
                sum += values[k] * (Math.min(k + 1, to) - Math.max(k, from));
            }
            means[i] = sum / step;
        }
        return means;
    }

    /** Gives the cubic spline through a line, which is mirrored at the outer edges of its pixels. */
    private static double[] splines(double[] values, int length) {
        int n = values.length;
        double[] coefficients = coefficients(values);
        double[] resampled = new double[length];
        for (int i = 0; i < length; i++) {
            double x = (i + 0.5) * n / length - 0.5;
            int below = (int) Math.floor(x);
            double t = x - below;
            double[] weights = {
                (1 - t) * (1 - t) * (1 - t) / 6,
                2.0 / 3 - t * t * (2 - t) / 2,
                2.0 / 3 - (1 - t) * (1 - t) * (1 + t) / 2,
                t * t * t / 6,
            };
            for (int k = 0; k < 4; k++) {
                resampled[i] += weights[k] * coefficients[Tiles.mirrored(below - 1 + k, n)];
            }
        }
        return resampled;
    }

    /** Solves c[i-1] + 4 c[i] + c[i+1] = 6 values[i], with c mirrored beyond its ends. */
    private static double[] coefficients(double[] values) {
        int n = values.length;
        double[] c = new double[n];
        double[] ratio = new double[n];
        for (int i = 0; i < n; i++) {
            double diagonal = 4 + (i == 0 ? 1 : 0) + (i == n - 1 ? 1 : 0);
            double before = i == 0 ? 0 : 1;
            double pivot = diagonal - before * (i == 0 ? 0 : ratio[i - 1]);
            ratio[i] = 1 / pivot;
            c[i] = (6 * values[i] - (i == 0 ? 0 : c[i - 1])) / pivot;
        }
        for (int i = n - 2; i >= 0; i--) {
            c[i] -= ratio[i] * c[i + 1];
        }
        return c;
    }
}
