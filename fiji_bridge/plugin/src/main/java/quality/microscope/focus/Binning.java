package quality.microscope.focus;

import java.util.List;

/**
 * Brings images that are sampled more finely than a model knows to its sampling: blocks of whole
 * pixels become one, so that white noise stays white. It is the library's, whose {@code
 * resampling.py} says why.
 */
final class Binning {
    /** No image is so many times coarser, or finer, than a model's sampling. */
    static final double COARSEST = 4;
    static final double FINEST = 16;

    private Binning() {}

    /**
     * Gives by how many pixels an image is binned, down and across: the whole number that brings it
     * closest to the model's sampling, by their ratio. An image that is coarser stays as it is.
     *
     * @param messages takes what the caller should know about it
     * @throws FocusException without optics, and for those of no image, when rescaling is on
     */
    static int of(FocusSettings settings, List<String> messages) {
        if (settings.optics == null) {
            if (settings.opticsNeeded) {
                throw FocusException.of(
                        "rescale",
                        "needs the optics of the image: its numerical aperture and its pixel size.");
            }
            return 1;
        }
        double finer = settings.model.optics.sampling() / settings.optics.sampling();
        if (!(finer >= 1 / COARSEST && finer <= FINEST)) {
            String message = "The image is sampled "
                    + Table.general(finer > 1 ? finer : 1 / finer, 3) + " times more "
                    + (finer > 1 ? "finely" : "coarsely")
                    + " than the model's. Are its optics right?";
            if (settings.opticsNeeded) {
                throw new FocusException(message);
            }
            messages.add(message);
            return 1;
        }
        int binning = (int) Math.max(1, Math.floor(finer));
        // Where the next one is as many times too large as this one is too small.
        binning += finer * finer > binning * (binning + 1.0) ? 1 : 0;
        if (binning > 1 && !settings.rescale) {
            messages.add(
                    "The image is sampled " + Table.general(finer, 3)
                            + " times more finely than the model's, which looks like blur to it; "
                            + "rescale to its sampling to take that out.");
            return 1;
        }
        return binning;
    }

    /** Gives the same where a message is of no use. */
    static int of(FocusSettings settings) {
        return of(settings, new java.util.ArrayList<>());
    }

    /**
     * Bins a patch: the mean of the pixels of each block that count, if half of them do; else that
     * of all.
     *
     * @param values (size * binning)² values, row by row
     * @param counts which of them count
     * @param binned takes size * size means
     * @param inside takes whether at least half of each block counts
     */
    static void bin(
            double[] values, boolean[] counts, int size, int binning, double[] binned,
            boolean[] inside) {
        int side = size * binning;
        for (int y = 0; y < size; y++) {
            for (int x = 0; x < size; x++) {
                double all = 0;
                double counted = 0;
                int n = 0;
                for (int i = 0; i < binning; i++) {
                    int row = (y * binning + i) * side + x * binning;
                    for (int j = row; j < row + binning; j++) {
                        all += values[j];
                        if (counts[j]) {
                            counted += values[j];
                            n++;
                        }
                    }
                }
                int to = y * size + x;
                inside[to] = 2 * n >= binning * binning;
                binned[to] = inside[to] ? counted / n : all / (binning * binning);
            }
        }
    }
}
