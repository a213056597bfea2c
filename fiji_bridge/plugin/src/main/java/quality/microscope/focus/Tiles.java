package quality.microscope.focus;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/** Places of square patches, and values of patches painted back into them. */
final class Tiles {
    private Tiles() {}

    /**
     * Gives the places of patches that cover a plane: side by side from the upper left; the last
     * row and column are shifted inwards to end at the border.
     *
     * @return y and x of each patch's upper left pixel, row by row; empty when a side of the plane
     *     is shorter than a patch
     */
    static int[][] positions(int height, int width, int patchSize) {
        int[] rows = starts(height, patchSize);
        int[] columns = starts(width, patchSize);
        int[][] places = new int[rows.length * columns.length][];
        int n = 0;
        for (int y : rows) {
            for (int x : columns) {
                places[n++] = new int[] {y, x};
            }
        }
        return places;
    }

    private static int[] starts(int length, int patchSize) {
        if (length < patchSize) {
            return new int[0];
        }
        int whole = (length + patchSize - 1) / patchSize;
        int[] starts = new int[whole];
        for (int i = 0; i < whole; i++) {
            starts[i] = Math.min(i * patchSize, length - patchSize);
        }
        return starts;
    }

    /** Folds an index beyond the border back; the border pixel itself is repeated. */
    static int mirrored(int index, int length) {
        int folded = Math.floorMod(index, 2 * length);
        return Math.min(folded, 2 * length - 1 - folded);
    }

    /**
     * Paints each patch's value over its pixels.
     *
     * @param values of the patches
     * @param places y and x of their upper left pixels; a pixel that two patches cover takes the
     *     value of the earlier one, which is the one that was not shifted
     * @param patchSize in pixels, need not be whole
     * @return height * width values, row by row; NaN where there is no patch
     */
    static float[] paint(double[] values, int[][] places, double patchSize, int height, int width) {
        float[] painted = new float[height * width];
        Arrays.fill(painted, Float.NaN);
        int side = (int) Math.ceil(patchSize);
        for (int i = places.length - 1; i >= 0; i--) {
            int right = Math.min(places[i][1] + side, width);
            for (int y = places[i][0]; y < Math.min(places[i][0] + side, height); y++) {
                Arrays.fill(painted, y * width + places[i][1], y * width + right, (float) values[i]);
            }
        }
        return painted;
    }

    /**
     * Gives the part of each patch that no earlier row or column covers.
     *
     * @return top, left, bottom, right of each patch in pixels; bottom and right are exclusive
     */
    static int[][] visible(int[][] places, double patchSize) {
        int[][] parts = new int[places.length][4];
        for (int axis = 0; axis < 2; axis++) {
            List<Integer> starts = new ArrayList<>();
            for (int[] place : places) {
                if (!starts.contains(place[axis])) {
                    starts.add(place[axis]);
                }
            }
            starts.sort(null);
            int[] ends = new int[starts.size() + 1];
            for (int i = 0; i < starts.size(); i++) {
                ends[i + 1] = Math.max(ends[i], (int) Math.rint(starts.get(i) + patchSize));
            }
            for (int i = 0; i < places.length; i++) {
                int at = starts.indexOf(places[i][axis]);
                parts[i][axis] = ends[at];
                parts[i][axis + 2] = ends[at + 1];
            }
        }
        return parts;
    }
}
