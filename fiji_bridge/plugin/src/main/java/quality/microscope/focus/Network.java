package quality.microscope.focus;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.ConcurrentLinkedQueue;

/**
 * A feed-forward network of a few kinds of layers, for square patches of one channel.
 *
 * <p>The layers are those of the library's {@code network.py}: {@code conv2d} (zero padding,
 * TensorFlow's 'same'), {@code max_pool}, {@code flatten}, {@code mean_max_pool}, {@code
 * descriptors} and {@code dense}.
 * Images lie in memory row by row, their channels side by side, patch after patch.
 */
final class Network {
    /** Floats of a layer's work space at a time: with the layer's weights they fit a core's cache. */
    private static final int CHUNK_FLOATS = 150_000;

    /** Length of the vector that the last layer gives for a patch. */
    final int outputs;
    /** Patches that {@link #run} takes at most. */
    final int chunk;

    private final List<Layer> layers = new ArrayList<>();
    // One for each thread that runs at the same time.
    private final ConcurrentLinkedQueue<float[][]> workSpaces = new ConcurrentLinkedQueue<>();

    /**
     * Builds the layers.
     *
     * @param descriptions as {@code model.json} has them
     * @param weights by {@code name/kernel} and {@code name/bias}
     * @param patchSize side of the patches in pixels
     * @throws FocusException for an unknown kind of layer, entry or activation, a missing,
     *     superfluous or misshapen weight, or layers that do not fit upon each other
     */
    Network(List<Map<String, Object>> descriptions, Map<String, Weights> weights, int patchSize) {
        int[] shape = {patchSize, patchSize, 1};
        Set<String> unused = new TreeSet<>(weights.keySet());
        Set<String> names = new LinkedHashSet<>();
        int number = 0;
        for (Map<String, Object> description : descriptions) {
            Entries entries = new Entries(++number, description);
            boolean dense = "dense".equals(entries.kind);
            if ((shape.length == 3) == dense) {
                throw new FocusException(
                        "Layer " + number + " (" + entries.kind + ") cannot take its input of shape "
                                + Arrays.toString(shape) + ": dense layers take a vector, as "
                                + "flatten, mean_max_pool and descriptors give it, all others an "
                                + "image.");
            }
            if (description.containsKey("name") && !names.add(entries.text("name"))) {
                throw new FocusException(
                        "Two layers have the name '" + entries.text("name") + "'.");
            }
            Layer layer = layer(entries, shape, weights, unused);
            layers.add(layer);
            shape = layer.shape;
        }
        if (shape.length != 1) {
            throw new FocusException(
                    "The last layer gives an array of shape " + Arrays.toString(shape)
                            + ", not a vector.");
        }
        if (!unused.isEmpty()) {
            throw new FocusException("No layer uses the weights " + String.join(", ", unused) + ".");
        }
        outputs = shape[0];
        int most = patchSize * patchSize;
        for (Layer layer : layers) {
            most = Math.max(most, Math.max(layer.work, layer.outputs));
        }
        chunk = Math.max(1, CHUNK_FLOATS / most);
    }

    private static Layer layer(
            Entries entries, int[] shape, Map<String, Weights> weights, Set<String> unused) {
        switch (entries.kind) {
            case "conv2d": {
                int size = entries.count("size");
                int filters = entries.count("filters");
                int[] kernel = {size, size, shape[2], filters};
                return new Convolution(
                        shape, size, entries.count("stride"),
                        new Product(entries, kernel, filters, weights, unused));
            }
            case "max_pool":
                return new MaxPool(shape, entries.count("size"));
            case "mean_max_pool":
                return new MeanMaxPool(shape);
            case "flatten":
                return new Flatten(shape);
            case "descriptors":
                return new Described(shape);
            default: {
                int units = entries.count("units");
                int[] kernel = {shape[0], units};
                return new Dense(new Product(entries, kernel, units, weights, unused));
            }
        }
    }

    /**
     * Runs the network; several threads may do so at the same time.
     *
     * @param patches n * patchSize * patchSize values, n at most {@link #chunk}
     * @param n number of patches
     * @param result takes n * {@link #outputs} values
     */
    void run(float[] patches, int n, float[] result) {
        float[][] space = workSpaces.poll();
        if (space == null) {
            space = workSpace();
        }
        float[] values = patches;
        for (int i = 0; i < layers.size(); i++) {
            layers.get(i).run(values, space[i + 1], space[0], n);
            values = space[i + 1];
        }
        System.arraycopy(values, 0, result, 0, n * outputs);
        workSpaces.add(space);
    }

    /** Makes a thread's arrays: first what layers work in, then the result of each. */
    private float[][] workSpace() {
        float[][] space = new float[layers.size() + 1][];
        int work = 0;
        for (int i = 0; i < layers.size(); i++) {
            space[i + 1] = new float[chunk * layers.get(i).outputs];
            work = Math.max(work, chunk * layers.get(i).work);
        }
        space[0] = new float[work];
        return space;
    }

    /** Gives the floating-point operations for a patch, a multiplication and an addition being 2. */
    long operations() {
        long operations = 0;
        for (Layer layer : layers) {
            operations += layer.operations();
        }
        return operations;
    }

    /** From the arrays of some patches to those of the next layer. */
    private abstract static class Layer {
        /** Of what it gives for a patch: rows, columns and channels, or the length of a vector. */
        final int[] shape;
        final int outputs;
        /** Floats of work space for a patch. */
        final int work;

        Layer(int work, int... shape) {
            int product = 1;
            for (int side : shape) {
                product *= side;
            }
            this.shape = shape;
            this.outputs = product;
            this.work = work;
        }

        abstract void run(float[] in, float[] out, float[] space, int n);

        long operations() {
            return 0;
        }
    }

    private static final class Convolution extends Layer {
        private final int height;
        private final int width;
        private final int channels;
        private final int size;
        private final int stride;
        private final Product product;

        Convolution(int[] input, int size, int stride, Product product) {
            super(
                    ceil(input[0], stride) * ceil(input[1], stride) * product.inputs,
                    ceil(input[0], stride), ceil(input[1], stride), product.units);
            height = input[0];
            width = input[1];
            channels = input[2];
            this.size = size;
            this.stride = stride;
            this.product = product;
        }

        @Override
        long operations() {
            return 2L * work * product.units;
        }

        @Override
        void run(float[] in, float[] out, float[] space, int n) {
            int rows = shape[0];
            int columns = shape[1];
            // An odd zero of the padding goes after.
            int top = Math.max((rows - 1) * stride + size - height, 0) / 2;
            int left = Math.max((columns - 1) * stride + size - width, 0) / 2;
            int run = size * channels;
            int to = 0;
            for (int patch = 0; patch < n; patch++) {
                int image = patch * height * width * channels;
                for (int row = 0; row < rows; row++) {
                    for (int column = 0; column < columns; column++) {
                        int x = column * stride - left;
                        int first = Math.max(0, -x) * channels;
                        int last = Math.max(first, Math.min(size, width - x) * channels);
                        for (int i = 0; i < size; i++) {
                            int y = row * stride - top + i;
                            if (y < 0 || y >= height) {
                                Arrays.fill(space, to, to + run, 0);
                            } else {
                                copy(in, image + (y * width + x) * channels, space, to, first,
                                        last, run);
                            }
                            to += run;
                        }
                    }
                }
            }
            product.run(space, n * rows * columns, out);
        }

        /** Copies a row of a window, with zeros before and after it. */
        private static void copy(
                float[] from, int start, float[] to, int at, int first, int last, int run) {
            for (int i = 0; i < first; i++) {
                to[at + i] = 0;
            }
            if (last - first > 32) {
                System.arraycopy(from, start + first, to, at + first, last - first);
            } else {
                for (int i = first; i < last; i++) {
                    to[at + i] = from[start + i];
                }
            }
            for (int i = last; i < run; i++) {
                to[at + i] = 0;
            }
        }

        private static int ceil(int length, int stride) {
            return (length + stride - 1) / stride;
        }
    }

    private static final class Dense extends Layer {
        private final Product product;

        Dense(Product product) {
            super(0, product.units);
            this.product = product;
        }

        @Override
        long operations() {
            return 2L * product.inputs * product.units;
        }

        @Override
        void run(float[] in, float[] out, float[] space, int n) {
            product.run(in, n, out);
        }
    }

    private static final class MaxPool extends Layer {
        private final int width;
        private final int height;
        private final int size;

        MaxPool(int[] input, int size) {
            super(0, input[0] / size, input[1] / size, input[2]);
            if (outputs == 0) {
                throw new FocusException(
                        "A max_pool of " + size + " does not fit into " + input[0] + " x "
                                + input[1] + ".");
            }
            height = input[0];
            width = input[1];
            this.size = size;
        }

        @Override
        void run(float[] in, float[] out, float[] space, int n) {
            int channels = shape[2];
            int to = 0;
            for (int patch = 0; patch < n; patch++) {
                for (int row = 0; row < shape[0]; row++) {
                    for (int column = 0; column < shape[1]; column++) {
                        for (int channel = 0; channel < channels; channel++) {
                            float highest = Float.NEGATIVE_INFINITY;
                            for (int i = 0; i < size; i++) {
                                int from = (patch * height + row * size + i) * width + column * size;
                                for (int j = 0; j < size; j++) {
                                    highest = Math.max(
                                            highest, in[(from + j) * channels + channel]);
                                }
                            }
                            out[to++] = highest;
                        }
                    }
                }
            }
        }
    }

    private static final class MeanMaxPool extends Layer {
        private final int pixels;
        private final int channels;

        MeanMaxPool(int[] input) {
            super(0, 2 * input[2]);
            pixels = input[0] * input[1];
            channels = input[2];
        }

        @Override
        void run(float[] in, float[] out, float[] space, int n) {
            for (int patch = 0; patch < n; patch++) {
                for (int channel = 0; channel < channels; channel++) {
                    double sum = 0;
                    float highest = Float.NEGATIVE_INFINITY;
                    for (int pixel = 0; pixel < pixels; pixel++) {
                        float value = in[(patch * pixels + pixel) * channels + channel];
                        sum += value;
                        highest = Math.max(highest, value);
                    }
                    out[patch * outputs + channel] = (float) (sum / pixels);
                    out[patch * outputs + channels + channel] = highest;
                }
            }
        }
    }

    private static final class Flatten extends Layer {
        Flatten(int[] input) {
            super(0, input[0] * input[1] * input[2]);
        }

        @Override
        void run(float[] in, float[] out, float[] space, int n) {
            System.arraycopy(in, 0, out, 0, n * outputs);
        }
    }

    private static final class Described extends Layer {
        private final int side;
        // One for each thread that runs at the same time.
        private final ConcurrentLinkedQueue<Descriptors> benches = new ConcurrentLinkedQueue<>();

        Described(int[] input) {
            super(0, Descriptors.NUMBER);
            side = input[0];
            boolean fits = input[1] == side && input[2] == 1 && side % Descriptors.MULTIPLE == 0;
            if (!fits || side < Descriptors.SMALLEST_PATCH_SIZE) {
                throw new FocusException(
                        "descriptors take patches whose side is a multiple of "
                                + Descriptors.MULTIPLE + ", " + Descriptors.SMALLEST_PATCH_SIZE
                                + " at least, and nothing before them, not "
                                + Arrays.toString(input) + ".");
            }
        }

        @Override
        void run(float[] in, float[] out, float[] space, int n) {
            Descriptors bench = benches.poll();
            if (bench == null) {
                bench = new Descriptors(side);
            }
            float[] patch = new float[side * side];
            double[] found = new double[outputs];
            for (int i = 0; i < n; i++) {
                System.arraycopy(in, i * patch.length, patch, 0, patch.length);
                bench.of(patch, found);
                for (int k = 0; k < outputs; k++) {
                    out[i * outputs + k] = (float) found[k];
                }
            }
            benches.add(bench);
        }
    }

    /** A matrix product with a layer's kernel, then its bias and activation. */
    static final class Product {
        /** Columns of the kernel that are multiplied at once, and rows of the input. */
        private static final int TILE = 4;
        /** Rows of the kernel at a time: with four rows of input they fit the innermost cache. */
        private static final int BLOCK = 1024;

        final int inputs;
        final int units;
        private final String activation;
        private final float[] bias;
        // Four columns side by side, one such panel after the other; the last one ends in zeros.
        private final float[] panels;

        Product(
                Entries entries, int[] shape, int units, Map<String, Weights> weights,
                Set<String> unused) {
            float[] kernel = weights(entries.text("name") + "/kernel", shape, weights, unused);
            this.units = units;
            inputs = kernel.length / units;
            activation = entries.text("activation");
            bias = weights(entries.text("name") + "/bias", new int[] {units}, weights, unused);
            int columns = (units + TILE - 1) / TILE;
            panels = new float[columns * TILE * inputs];
            for (int row = 0; row < inputs; row++) {
                for (int unit = 0; unit < units; unit++) {
                    int panel = unit / TILE;
                    panels[(panel * inputs + row) * TILE + unit % TILE] = kernel[row * units + unit];
                }
            }
        }

        private static float[] weights(
                String name, int[] shape, Map<String, Weights> weights, Set<String> unused) {
            Weights found = weights.get(name);
            if (found == null) {
                throw new FocusException("The weights lack '" + name + "'.");
            }
            if (!Arrays.equals(found.shape, shape)) {
                throw new FocusException(
                        "Weights '" + name + "' have the shape " + Arrays.toString(found.shape)
                                + "; the layers need " + Arrays.toString(shape) + ".");
            }
            unused.remove(name);
            return found.values;
        }

        /**
         * Multiplies.
         *
         * @param a rows * inputs values
         * @param c takes rows * units values
         */
        void run(float[] a, int rows, float[] c) {
            for (int row = 0; row < rows; row++) {
                System.arraycopy(bias, 0, c, row * units, units);
            }
            float[] sums = new float[TILE * TILE];
            for (int from = 0; from < inputs; from += BLOCK) {
                int length = Math.min(BLOCK, inputs - from);
                for (int unit = 0; unit < units; unit += TILE) {
                    int panel = unit * inputs + from * TILE;
                    int columns = Math.min(TILE, units - unit);
                    int row = 0;
                    for (; row + TILE <= rows; row += TILE) {
                        tile(a, row * inputs + from, panel, length, sums);
                        for (int i = 0; i < TILE; i++) {
                            int to = (row + i) * units + unit;
                            for (int j = 0; j < columns; j++) {
                                c[to + j] += sums[i * TILE + j];
                            }
                        }
                    }
                    for (; row < rows; row++) {
                        for (int j = 0; j < columns; j++) {
                            float sum = 0;
                            for (int k = 0; k < length; k++) {
                                sum += a[row * inputs + from + k] * panels[panel + k * TILE + j];
                            }
                            c[row * units + unit + j] += sum;
                        }
                    }
                }
            }
            activate(c, rows);
        }

        /**
         * Multiplies four rows with four columns. The 16 sums are local variables, which stay in
         * registers: each value that is read takes part in four products.
         */
        private void tile(float[] a, int start, int panel, int length, float[] sums) {
            float[] b = panels;
            float s00 = 0, s01 = 0, s02 = 0, s03 = 0;
            float s10 = 0, s11 = 0, s12 = 0, s13 = 0;
            float s20 = 0, s21 = 0, s22 = 0, s23 = 0;
            float s30 = 0, s31 = 0, s32 = 0, s33 = 0;
            int row1 = start + inputs;
            int row2 = row1 + inputs;
            int row3 = row2 + inputs;
            for (int k = 0; k < length; k++) {
                float b0 = b[panel];
                float b1 = b[panel + 1];
                float b2 = b[panel + 2];
                float b3 = b[panel + 3];
                panel += TILE;
                float x = a[start + k];
                s00 += x * b0;
                s01 += x * b1;
                s02 += x * b2;
                s03 += x * b3;
                x = a[row1 + k];
                s10 += x * b0;
                s11 += x * b1;
                s12 += x * b2;
                s13 += x * b3;
                x = a[row2 + k];
                s20 += x * b0;
                s21 += x * b1;
                s22 += x * b2;
                s23 += x * b3;
                x = a[row3 + k];
                s30 += x * b0;
                s31 += x * b1;
                s32 += x * b2;
                s33 += x * b3;
            }
            sums[0] = s00;
            sums[1] = s01;
            sums[2] = s02;
            sums[3] = s03;
            sums[4] = s10;
            sums[5] = s11;
            sums[6] = s12;
            sums[7] = s13;
            sums[8] = s20;
            sums[9] = s21;
            sums[10] = s22;
            sums[11] = s23;
            sums[12] = s30;
            sums[13] = s31;
            sums[14] = s32;
            sums[15] = s33;
        }

        private void activate(float[] c, int rows) {
            if (activation.equals("relu")) {
                for (int i = 0; i < rows * units; i++) {
                    c[i] = Math.max(c[i], 0);
                }
            } else if (activation.equals("softmax")) {
                for (int row = 0; row < rows; row++) {
                    softmax(c, row * units, units);
                }
            }
        }

        private static void softmax(float[] c, int start, int length) {
            float highest = Float.NEGATIVE_INFINITY;
            for (int i = start; i < start + length; i++) {
                highest = Math.max(highest, c[i]);
            }
            float sum = 0;
            for (int i = start; i < start + length; i++) {
                c[i] = (float) Math.exp(c[i] - highest);
                sum += c[i];
            }
            for (int i = start; i < start + length; i++) {
                c[i] /= sum;
            }
        }
    }

    /** What the description says of a layer. */
    private static final class Entries {
        private static final Map<String, Set<String>> KNOWN = new LinkedHashMap<>();
        private static final List<String> ACTIVATIONS = Arrays.asList("linear", "relu", "softmax");

        static {
            KNOWN.put("conv2d", names("name", "filters", "size", "stride", "activation"));
            KNOWN.put("descriptors", names());
            KNOWN.put("dense", names("name", "units", "activation"));
            KNOWN.put("flatten", names());
            KNOWN.put("max_pool", names("size"));
            KNOWN.put("mean_max_pool", names());
        }

        final String kind;
        private final String layer;
        private final Map<String, Object> values;

        Entries(int number, Map<String, Object> values) {
            Object found = values.get("kind");
            if (!(found instanceof String) || !KNOWN.containsKey(found)) {
                throw new FocusException(
                        "Layer " + number + " is of the unknown kind '" + found + "'; known are "
                                + String.join(", ", KNOWN.keySet()) + ".");
            }
            kind = (String) found;
            layer = "Layer " + number + " (" + kind + ")";
            this.values = values;
            // An entry that is passed over, such as batch_norm, would make another network.
            Set<String> entries = new TreeSet<>(values.keySet());
            entries.remove("kind");
            if (!entries.equals(KNOWN.get(kind))) {
                throw new FocusException(
                        layer + " must have the entries " + KNOWN.get(kind) + ", but has " + entries
                                + ".");
            }
            if (entries.contains("activation") && !ACTIVATIONS.contains(text("activation"))) {
                throw new FocusException(
                        layer + " has the unknown activation '" + text("activation")
                                + "'; known are " + String.join(", ", ACTIVATIONS) + ".");
            }
        }

        private static Set<String> names(String... names) {
            return new TreeSet<>(Arrays.asList(names));
        }

        String text(String key) {
            if (!(values.get(key) instanceof String)) {
                throw new FocusException(layer + ": " + key + " must be a text, not "
                        + values.get(key) + ".");
            }
            return (String) values.get(key);
        }

        int count(String key) {
            Object value = values.get(key);
            double number = value instanceof Double ? (Double) value : 0;
            if (number < 1 || number != (int) number) {
                throw new FocusException(layer + ": " + key + " must be a count, not " + value
                        + ".");
            }
            return (int) number;
        }
    }
}
