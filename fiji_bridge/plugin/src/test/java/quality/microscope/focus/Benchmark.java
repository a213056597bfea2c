package quality.microscope.focus;

import ij.process.ShortProcessor;
import java.util.Arrays;
import java.util.stream.IntStream;

/**
 * Times the plugin against what a plain blocked matrix product in Java would take for the model's
 * operations, on all cores, in the same run, and a rating against a measurement of the focus; and
 * looks at the memory that stays in use.
 *
 * <p>{@code mvn -q test-compile && java -cp target/classes:target/test-classes:IJ_JAR
 * quality.microscope.focus.Benchmark}
 */
public final class Benchmark {
    private static final int SIDE = 2048;
    private static final int REPEATS = 9;
    private static final int BLOCK = 64;

    private Benchmark() {}

    public static void main(String[] arguments) {
        ShortProcessor image = Sample.noise(SIDE, SIDE);
        double first = seconds(() -> MicroscopeFocus.measure(image));
        double second = seconds(() -> MicroscopeFocus.measure(image));
        FocusModel model = FocusModel.standard();
        int patches = Tiles.positions(SIDE, SIDE, model.patchSize).length;
        double operations = (double) model.network.operations() * patches;
        int cores = Runtime.getRuntime().availableProcessors();

        // Turn by turn, so that other work on the machine meets both alike.
        double[] plugin = new double[REPEATS];
        double[] rates = new double[REPEATS];
        for (int i = 0; i < REPEATS; i++) {
            plugin[i] = seconds(() -> MicroscopeFocus.measure(image));
            rates[i] = rate(512, cores);
        }
        double rate = median(rates);
        System.out.printf("%d cores, %d patches, %.2f GFLOP%n", cores, patches, operations / 1e9);
        System.out.printf("first call %.2f s, second %.2f s%n", first, second);
        System.out.printf("plugin, median of %d: %.3f s (%.1f GFLOP/s)%n", REPEATS, median(plugin),
                operations / median(plugin) / 1e9);
        System.out.printf("plain blocked product: %.1f GFLOP/s, so %.3f s%n", rate / 1e9,
                operations / rate);
        System.out.printf("second call over that: %.2f, median over that: %.2f%n",
                second * rate / operations, median(plugin) * rate / operations);

        rating();

        ShortProcessor small = Sample.noise(420, 336);
        long[] used = new long[2];
        for (int run = 1; run <= 500; run++) {
            MicroscopeFocus.measure(small);
            if (run == 50 || run == 500) {
                used[run / 500] = usedAfterCollection();
            }
        }
        System.out.printf("heap after collection: run 50 %.2f MB, run 500 %.2f MB%n",
                used[0] / 1e6, used[1] / 1e6);
    }

    /** Times a rating beside the measurement of the focus of the same image, turn by turn. */
    private static void rating() {
        ShortProcessor image = Sample.drawn(1024, 1024, "noise", 40.0);
        double[] focus = new double[REPEATS];
        double[] rating = new double[REPEATS];
        for (int i = -3; i < REPEATS; i++) {
            // The first ones are slow everywhere.
            int at = Math.max(i, 0);
            focus[at] = seconds(() -> MicroscopeFocus.measure(image));
            rating[at] = seconds(() -> MicroscopeRating.rate(image));
        }
        System.out.printf("1024 x 1024: rating %.3f s, focus %.3f s, ratio %.2f%n",
                median(rating), median(focus), median(rating) / median(focus));
    }

    private static double seconds(Runnable work) {
        long start = System.nanoTime();
        work.run();
        return (System.nanoTime() - start) / 1e9;
    }

    private static double median(double[] values) {
        double[] sorted = values.clone();
        Arrays.sort(sorted);
        return sorted[sorted.length / 2];
    }

    /** Gives the operations a second of a product of n x n matrices on each core at once. */
    private static double rate(int n, int cores) {
        float[][] a = new float[cores][n * n];
        float[] b = new float[n * n];
        Arrays.fill(b, 0.5f);
        for (float[] one : a) {
            Arrays.fill(one, 0.25f);
        }
        double time = seconds(() -> IntStream.range(0, cores).parallel().forEach(
                core -> multiply(a[core], b, new float[n * n], n)));
        return 2.0 * n * n * n * cores / time;
    }

    /** The usual blocked product: rows of the result grow by multiples of rows of b. */
    private static void multiply(float[] a, float[] b, float[] c, int n) {
        for (int from = 0; from < n; from += BLOCK) {
            for (int row = 0; row < n; row++) {
                for (int k = from; k < Math.min(from + BLOCK, n); k++) {
                    add(a[row * n + k], b, k * n, c, row * n, n);
                }
            }
        }
    }

    private static void add(float x, float[] b, int from, float[] c, int to, int n) {
        for (int j = 0; j < n; j++) {
            c[to + j] += x * b[from + j];
        }
    }

    private static long usedAfterCollection() {
        for (int i = 0; i < 4; i++) {
            System.gc();
        }
        Runtime runtime = Runtime.getRuntime();
        return runtime.totalMemory() - runtime.freeMemory();
    }
}
