package quality.microscope.focus;

/**
 * The spectrum of patches: whether anything is in it that only a coarsely sampled image can have. It
 * is the library's, whose {@code spectrum.py} says why.
 */
final class Spectrum {
    /** What is to be said of an image out of focus, of unknown optics, with nothing there. */
    static final String HINT =
            "Nothing is in the upper half of the image's frequencies: it is blurred, or sharp and "
                    + "sampled more finely than the model knows. Its optics tell which: --optics, "
                    + "optics= in Python, or the microscope's settings in a dialog.";
    /** Patches whose spectra are looked at. */
    static final int PATCHES = 8;
    // In cycles a pixel: the upper half, and where noise is alone, towards the corners.
    private static final double LOWEST = 0.25;
    private static final double HIGHEST = 0.5;
    private static final double EXCESS = 0.05;
    private static final double BY_CHANCE = 0.2;
    private static final double ROUNDING = 1e-12;

    private Spectrum() {}

    /** Tells whether nothing is in the upper half of the patches' frequencies, over their noise. */
    static boolean isUpperHalfEmpty(double[][] patches, int size) {
        return patches.length > 0
                && upperHalf(patches, size) <= EXCESS + BY_CHANCE / Math.sqrt(patches.length);
    }

    /**
     * Gives the mean power from 1/4 to 1/2 cycle a pixel, over that beyond 1/2, less 1; NaN for
     * patches without noise.
     */
    static double upperHalf(double[][] patches, int size) {
        double[] power = new double[size * size];
        for (double[] patch : patches) {
            add(patch, size, power);
        }
        double highest = 0;
        double upper = 0;
        double noise = 0;
        int inUpper = 0;
        int inNoise = 0;
        for (int v = 0; v < size; v++) {
            for (int u = 0; u < size; u++) {
                double y = (double) Math.min(v, size - v) / size;
                double x = (double) Math.min(u, size - u) / size;
                double frequency = Math.hypot(y, x);
                double own = power[v * size + u];
                highest = Math.max(highest, own);
                if (frequency >= HIGHEST) {
                    noise += own;
                    inNoise++;
                } else if (frequency >= LOWEST) {
                    upper += own;
                    inUpper++;
                }
            }
        }
        noise /= inNoise;
        return noise > ROUNDING * highest ? upper / inUpper / noise - 1 : Double.NaN;
    }

    /** Adds a patch's power, less its mean, through a Hann window. */
    private static void add(double[] patch, int size, double[] power) {
        double mean = 0;
        for (double value : patch) {
            mean += value / patch.length;
        }
        double[] cosine = new double[size];
        double[] sine = new double[size];
        double[] window = new double[size];
        for (int k = 0; k < size; k++) {
            cosine[k] = Math.cos(2 * Math.PI * k / size);
            sine[k] = -Math.sin(2 * Math.PI * k / size);
            window[k] = 0.5 - 0.5 * Math.cos(2 * Math.PI * k / (size - 1));
        }
        double[] real = new double[size * size];
        double[] imaginary = new double[size * size];
        for (int y = 0; y < size; y++) {
            for (int u = 0; u < size; u++) {
                for (int x = 0; x < size; x++) {
                    double value = (patch[y * size + x] - mean) * window[y] * window[x];
                    real[y * size + u] += value * cosine[u * x % size];
                    imaginary[y * size + u] += value * sine[u * x % size];
                }
            }
        }
        for (int v = 0; v < size; v++) {
            for (int u = 0; u < size; u++) {
                double a = 0;
                double b = 0;
                for (int y = 0; y < size; y++) {
                    double c = cosine[v * y % size];
                    double s = sine[v * y % size];
                    a += real[y * size + u] * c - imaginary[y * size + u] * s;
                    b += real[y * size + u] * s + imaginary[y * size + u] * c;
                }
                power[v * size + u] += a * a + b * b;
            }
        }
    }
}
