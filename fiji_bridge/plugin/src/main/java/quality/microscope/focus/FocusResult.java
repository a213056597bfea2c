package quality.microscope.focus;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** The focus of a plane; the names are those of the library's result, in Java's way of writing. */
public final class FocusResult {
    /** Most probable defocus level, 0 (in focus) to K - 1; NaN when no patch has probabilities. */
    public final double level;
    /** Mean of the level over {@link #probabilities}: the plane's number; NaN likewise. */
    public final double expectedLevel;
    /** Certainty-weighted mean of the patches' probabilities of the K levels. */
    public final double[] probabilities;
    /** Normalised product of the patches' probabilities. */
    public final double[] productProbabilities;
    /** Of {@link #probabilities}, 0 to 1; 0 when undefined. */
    public final double certainty;
    /** Mean of the certainties of the patches that are at least half unmasked; 0 without any. */
    public final double meanCertainty;
    /** Highest certainty of a patch. */
    public final double maxCertainty;
    /** Certainty-weighted mean of the patches' certainties. */
    public final double weightedCertainty;
    /**
     * {@code too_small}, {@code no_content}, {@code mixed}, {@code in_focus} or {@code
     * out_of_focus}.
     */
    public final String status;
    /** What the caller should know about the measurement, in sentences; mostly empty. */
    public final String message;
    /** Blur disc of the expected level, in the image's own pixels; NaN when the level is. */
    public final double blurDiameterPx;
    /** Distance from focus in µm, without a sign; NaN without optics. */
    public final double defocusUm;
    /** Share of the unmasked pixels that are saturated; NaN for floats. */
    public final double saturatedFraction;
    /**
     * Contrast of fine detail beyond noise, in grey levels: of the planes of one stack, the sharper
     * have more. NaN without a patch that has one.
     */
    public final double contrast;
    /** Of the plane, in pixels. */
    public final int height;
    /** Of the plane, in pixels. */
    public final int width;
    /** Side of a patch in the image's own pixels: the model's, times the binning. */
    public final double patchSizePx;
    /** Pixels of the image, down and across, for one that was measured; 1 for one as it is. */
    public final int binning;
    /** y and x of the patches' upper left pixels, in the image's own pixels. */
    public final int[][] patchPositions;
    /** Of each patch; NaN for constant, mostly masked ones and those that show a mask's border. */
    public final double[] patchLevels;
    /** Of each patch; NaN likewise. */
    public final double[] patchExpectedLevels;
    /** Of each patch; 0 likewise. */
    public final double[] patchCertainties;
    /** Of each patch, for each level. */
    public final double[][] patchProbabilities;

    FocusResult(
            FocusSettings settings, Plane plane, int[][] places, double[][] probabilities,
            boolean[] counted, double contrast) {
        int patches = places.length;
        int levels = settings.model.levels;
        patchProbabilities = probabilities;
        patchLevels = new double[patches];
        patchExpectedLevels = new double[patches];
        patchCertainties = new double[patches];
        patchPositions = places;
        double highest = 0;
        double sum = 0;
        int measurable = 0;
        for (int i = 0; i < patches; i++) {
            patchLevels[i] = Certainty.level(probabilities[i]);
            patchExpectedLevels[i] = Certainty.expectedLevel(probabilities[i]);
            patchCertainties[i] = Certainty.certainty(probabilities[i]);
            highest = Math.max(highest, patchCertainties[i]);
            if (counted[i]) {
                sum += patchCertainties[i];
                measurable++;
            }
        }
        height = plane.height;
        width = plane.width;
        binning = plane.binning;
        this.probabilities = Certainty.aggregate(
                probabilities, Certainty.weights(patchCertainties), levels);
        productProbabilities = Certainty.product(probabilities, levels);
        level = Certainty.level(this.probabilities);
        expectedLevel = Certainty.expectedLevel(this.probabilities);
        certainty = Certainty.certainty(this.probabilities);
        meanCertainty = measurable > 0 ? sum / measurable : 0;
        maxCertainty = highest;
        weightedCertainty = Certainty.weighted(patchCertainties);
        status = status(settings);
        patchSizePx = settings.model.patchSize * binning;
        blurDiameterPx = Optics.BLUR_PX_PER_LEVEL * expectedLevel * binning;
        defocusUm = settings.defocusUm(expectedLevel, binning);
        saturatedFraction = plane.saturatedFraction;
        this.contrast = contrast;
        List<String> sentences = new ArrayList<>(plane.messages);
        int bordered = plane.bordered.get();
        if (bordered > 0) {
            sentences.add(
                    "A border of one value was left out in " + bordered
                            + (bordered == 1 ? " patch." : " patches."));
        }
        String missing = missing(settings, plane, patches, measurable);
        if (!missing.isEmpty()) {
            sentences.add(missing);
        }
        if (status.equals("out_of_focus") && settings.optics == null
                && Spectrum.isUpperHalfEmpty(
                        surest(plane, settings.model.patchSize), settings.model.patchSize)) {
            sentences.add(Spectrum.HINT);
        }
        message = String.join(" ", sentences);
    }

    /** Gives the patches that are surest, of those of which no pixel is masked. */
    private double[][] surest(Plane plane, int size) {
        List<Integer> order = new ArrayList<>();
        for (int i = 0; i < patchCertainties.length; i++) {
            order.add(i);
        }
        order.sort(Comparator.comparingDouble(i -> -patchCertainties[i]));
        List<double[]> found = new ArrayList<>();
        for (int i : order) {
            MicroscopeFocus.Cut cut = new MicroscopeFocus.Cut(size, binning);
            cut.of(plane, patchPositions[i]);
            if (cut.isWhole()) {
                found.add(cut.values);
            }
            if (found.size() == Spectrum.PATCHES) {
                break;
            }
        }
        return found.toArray(new double[0][]);
    }

    private boolean isTooSmall(FocusSettings settings) {
        return Math.min(height, width) < settings.model.patchSize * binning;
    }

    private String missing(FocusSettings settings, Plane plane, int patches, int measurable) {
        int size = settings.model.patchSize;
        if (patches == 0) {
            return "The image has " + height + " x " + width + " pixels"
                    + (Math.min(height, width) >= size
                            ? ", " + height / binning + " x " + width / binning
                                    + " at the model's sampling"
                            : "")
                    + "; a patch needs " + size + " x " + size + ".";
        }
        if (measurable == 0) {
            return "No patch is at least half unmasked.";
        }
        if (!Double.isNaN(level)) {
            return "";
        }
        return plane.unmasked == null && plane.bordered.get() == 0
                ? "All patches are constant."
                : "All patches are constant, or show little but the mask's border.";
    }

    private String status(FocusSettings settings) {
        if (isTooSmall(settings)) {
            return "too_small";
        }
        int defined = 0;
        int sure = 0;
        int far = 0;
        for (int i = 0; i < patchLevels.length; i++) {
            if (!Double.isNaN(patchLevels[i])) {
                defined++;
                if (patchCertainties[i] >= settings.model.sureCertainty) {
                    sure++;
                    double away = Math.abs(patchExpectedLevels[i] - expectedLevel);
                    far += away > MicroscopeFocus.MIXED_LEVELS ? 1 : 0;
                }
            }
        }
        if (sure <= MicroscopeFocus.sureByChance(defined)) {
            return "no_content";
        }
        if ((double) far / sure > MicroscopeFocus.MIXED_SHARE) {
            return "mixed";
        }
        return expectedLevel <= settings.inFocusLimit ? "in_focus" : "out_of_focus";
    }

    /** Gives the columns of a results table that a plane itself determines, by name. */
    public Map<String, Object> toRow() {
        Map<String, Object> row = new LinkedHashMap<>();
        row.put("width", width);
        row.put("height", height);
        row.put("level", level);
        row.put("expected_level", expectedLevel);
        row.put("certainty", certainty);
        row.put("mean_certainty", meanCertainty);
        row.put("max_certainty", maxCertainty);
        row.put("weighted_certainty", weightedCertainty);
        row.put("status", status);
        row.put("blur_diameter_px", blurDiameterPx);
        row.put("defocus_um", defocusUm);
        row.put("saturated_fraction", saturatedFraction);
        row.put("contrast", contrast);
        for (int k = 0; k < probabilities.length; k++) {
            row.put("p" + k, probabilities[k]);
        }
        row.put("message", message);
        row.put("binning", binning);
        return row;
    }

    /**
     * Gives the number by which the plane counts, its expected level; NaN when there is nothing to
     * judge by.
     */
    public double judgedLevel() {
        return judgedLevel(status, expectedLevel);
    }

    static double judgedLevel(String status, double expectedLevel) {
        return isBlank(status) ? Double.NaN : expectedLevel;
    }

    /** Tells whether an image of a status has nothing to judge by. */
    static boolean isBlank(String status) {
        return status.equals("no_content") || status.equals("too_small");
    }

    /** Gives the outcome in a line. */
    public String verdict() {
        String words = status.replace('_', ' ');
        words = Character.toUpperCase(words.charAt(0)) + words.substring(1);
        if (isBlank(status)) {
            return words;
        }
        words = "Level " + Table.fixed(judgedLevel(), 1) + ", " + status.replace('_', ' ')
                + ", certainty " + Table.fixed(certainty, 2)
                + ", blur " + Table.fixed(blurDiameterPx, 1) + " px";
        return Double.isNaN(defocusUm)
                ? words
                : words + ", defocus " + Table.fixed(defocusUm, 1) + " \u00b5m";
    }

    @Override
    public String toString() {
        return verdict();
    }
}
