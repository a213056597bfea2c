package quality.microscope.focus;

import ij.ImagePlus;
import ij.gui.Overlay;
import ij.gui.Roi;
import ij.gui.TextRoi;
import ij.process.LUT;
import java.awt.Color;
import java.awt.Font;
import java.util.ArrayList;
import java.util.List;
import java.util.function.DoubleFunction;

/** Draws patches in the colours of their levels or scores, like the library's overlay. */
final class Overlays {
    /** How the elements are called, which tells them from others in the same overlay. */
    static final String NAME = "focus";
    /** Those of ratings. */
    static final String RATING = "rating";

    // From in focus to furthest out: sky blue, blue, violet, pink, coral, orange, yellow.
    private static final int[][] ANCHORS = {
        {60, 190, 255}, {65, 150, 253}, {70, 110, 250}, {153, 75, 217}, {178, 75, 189},
        {202, 75, 163}, {219, 91, 131}, {239, 114, 92}, {248, 144, 69}, {255, 180, 56},
        {255, 235, 90},
    };
    // What a patch without any certainty is drawn in.
    private static final int[] UNSURE = {52, 52, 56};
    // What is not measured in a map of greys.
    private static final Color NOT_MEASURED = new Color(30, 66, 52);
    // Certainty from which a colour is drawn in full.
    private static final double FULL_COLOUR = 0.6;
    // Share of the patch's colour in the light over its pixels.
    private static final double TINT = 0.18;
    private static final Color GROUND = new Color(24, 24, 27, 225);
    private static final Color BRIGHT = new Color(240, 240, 242);
    private static final Color DIM = new Color(185, 185, 193);
    private static final int STEPS = 5;
    // Scores in their legend, from the lowest one to 1, and steps of their colours.
    private static final int SCORES = 10;
    private static final int SCORE_STEPS = 90;

    private Overlays() {}

    /** Gives a level's colour, dimmer the less certain it is. */
    static Color colour(double level, double certainty, int levels) {
        double strength = Math.min(Math.max(certainty / FULL_COLOUR, 0), 1);
        double at = Double.isNaN(level) ? 0 : level * (ANCHORS.length - 1) / (levels - 1);
        int below = (int) Math.min(Math.max(Math.floor(at), 0), ANCHORS.length - 2);
        int[] rgb = new int[3];
        for (int i = 0; i < 3; i++) {
            double full = ANCHORS[below][i] + (at - below) * (ANCHORS[below + 1][i]
                    - ANCHORS[below][i]);
            double strong = Double.isNaN(level) ? 0 : strength;
            rgb[i] = (int) Math.rint(UNSURE[i] + strong * (full - UNSURE[i]));
        }
        return new Color(rgb[0], rgb[1], rgb[2]);
    }

    /** Gives a score's colour, from blue (1) to yellow (0.1). */
    static Color colourOfScore(double score) {
        double worse = (1 - score) / (1 - Components.LOWEST_SCORE);
        double step = Math.rint(Components.clipped(worse, 0, 1) * SCORE_STEPS);
        return colour(step / SCORE_STEPS * (ANCHORS.length - 1), 1, ANCHORS.length);
    }

    /** Shows a map of scores in their colours, and what is not rated as in an overlay. */
    static void colourScores(ImagePlus map) {
        double lowest = Components.LOWEST_SCORE;
        colourMap(map, lowest, 1, Overlays::colourOfScore, colour(Double.NaN, 0, 2));
    }

    /** Shows a map of levels in their colours, and what is not measured as in an overlay. */
    static void colourLevels(ImagePlus map, int levels) {
        colourMap(
                map, 0, levels - 1, level -> colour(level, 1, levels),
                colour(Double.NaN, 0, levels));
    }

    /** Shows a map of values from 0 to 1 in greys, and what is not measured in a colour. */
    static void colourShares(ImagePlus map) {
        colourMap(map, 0, 1, share -> {
            int grey = (int) Math.rint(255 * share);
            return new Color(grey, grey, grey);
        }, NOT_MEASURED);
    }

    private static void colourMap(
            ImagePlus map, double first, double last, DoubleFunction<Color> colours,
            Color notMeasured) {
        byte[][] table = new byte[3][256];
        for (int i = 0; i < 256; i++) {
            // ImageJ shows NaN as what lies lowest: the first entry is kept for it.
            double value = first + (i - 1) / 254.0 * (last - first);
            Color colour = i == 0 ? notMeasured : colours.apply(value);
            table[0][i] = (byte) colour.getRed();
            table[1][i] = (byte) colour.getGreen();
            table[2][i] = (byte) colour.getBlue();
        }
        map.setLut(new LUT(table[0], table[1], table[2]));
        map.setDisplayRange(first - (last - first) / 254, last);
    }

    /** Gives the patches of a plane: a border and a tint, dark grey where there is no content. */
    static List<Roi> patches(FocusResult result) {
        List<Roi> elements = new ArrayList<>();
        int levels = result.probabilities.length;
        int[][] parts = Tiles.visible(result.patchPositions, result.patchSizePx);
        for (int i = 0; i < parts.length; i++) {
            double level = result.patchLevels[i];
            double certainty = result.patchCertainties[i];
            String name = Double.isNaN(level)
                    ? NAME + ": no content"
                    : NAME + ": level " + (int) level + ", certainty "
                            + Table.fixed(certainty, 2);
            addPatch(
                    elements, parts[i], result.height, result.width, result.patchSizePx,
                    colour(level, certainty, levels), name);
        }
        return elements;
    }

    /** Gives the patches of a plane: a border and a tint; blank ones are left as they are. */
    static List<Roi> patches(RatingResult result) {
        List<Roi> elements = new ArrayList<>();
        int side = result.patchSizePx;
        int[][] parts = new int[result.patchPositions.length][];
        for (int i = 0; i < parts.length; i++) {
            int[] place = result.patchPositions[i];
            parts[i] = new int[] {place[0], place[1], place[0] + side, place[1] + side};
        }
        if (result.places == 0) {
            parts = Tiles.visible(result.patchPositions, side);
        }
        for (int i = 0; i < parts.length; i++) {
            double score = result.patchScores[i];
            if (!Double.isNaN(score)) {
                addPatch(
                        elements, parts[i], result.height, result.width, side,
                        colourOfScore(score), RATING + ": score " + Table.fixed(score, 2));
            }
        }
        return elements;
    }

    /** Adds a patch, of which a part is seen: top, left, bottom and right in pixels. */
    private static void addPatch(
            List<Roi> elements, int[] part, int height, int width, double patchSize, Color colour,
            String name) {
        double line = Math.max(1, Math.rint(patchSize / 40));
        // A gap of a pixel keeps the borders of neighbours apart.
        double high = Math.min(part[2], height) - part[0] - 1;
        double wide = Math.min(part[3], width) - part[1] - 1;
        if (high < 1 || wide < 1) {
            return;
        }
        Roi tint = new Roi(part[1], part[0], wide, high);
        int alpha = (int) Math.rint(255 * TINT);
        tint.setFillColor(new Color(colour.getRed(), colour.getGreen(), colour.getBlue(), alpha));
        Roi border = new Roi(
                part[1] + line / 2, part[0] + line / 2, Math.max(wide - line, 0.5),
                Math.max(high - line, 0.5));
        border.setStrokeColor(colour);
        border.setStrokeWidth(line);
        for (Roi element : new Roi[] {tint, border}) {
            element.setName(name);
            elements.add(element);
        }
    }

    /** Gives the grid of patches as it would be measured: those that count stand out. */
    static List<Roi> grid(FocusSettings settings, int height, int width) {
        int side = settings.model.patchSize * Binning.of(settings);
        List<Roi> elements = new ArrayList<>();
        for (int[] place : Tiles.positions(height, width, side)) {
            double y = place[0];
            double x = place[1];
            // A gap between neighbours shows each one's own colour.
            Roi border = new Roi(x + 1.5, y + 1.5, side - 3, side - 3);
            boolean counts = counts(settings.mask, y, x, side, height, width);
            border.setStrokeColor(counts ? new Color(60, 190, 255) : new Color(95, 95, 100));
            border.setName(NAME + ": preview");
            elements.add(border);
        }
        return elements;
    }

    private static boolean counts(
            boolean[] mask, double top, double left, double side, int height, int width) {
        if (mask == null) {
            return true;
        }
        int inside = 0;
        int all = 0;
        for (int y = (int) top; y < Math.min(top + side, height); y++) {
            for (int x = (int) left; x < Math.min(left + side, width); x++) {
                inside += mask[y * width + x] ? 1 : 0;
                all++;
            }
        }
        return 2 * inside >= all;
    }

    /**
     * Gives the legend in the lower left corner of an image, with a line of text above it: the
     * levels from left to right, certainties from top to bottom.
     */
    static List<Roi> legend(int height, int width, int levels) {
        double unit = unit(height, width);
        double block = 13 * unit;
        double left = 46 * unit;
        double bottom = height - 19 * unit;
        double top = bottom - STEPS * 4 * unit;
        List<Roi> elements = new ArrayList<>();
        Roi ground = new Roi(0, height - legendHeight(unit), 2 * left + levels * block - 36 * unit,
                legendHeight(unit));
        ground.setFillColor(GROUND);
        elements.add(ground);
        for (int step = 0; step < STEPS; step++) {
            for (int level = 0; level < levels; level++) {
                // A little larger than a block: the next one covers the seam.
                double wide = level + 1 < levels ? block + unit : block;
                double high = step + 1 < STEPS ? 5 * unit : 4 * unit;
                Roi part = new Roi(left + level * block, top + step * 4 * unit, wide, high);
                // Certainties from 1 to 0; colours are full from 0.6 on.
                part.setFillColor(colour(level, 1 - step / (STEPS - 1.0), levels));
                elements.add(part);
            }
        }
        for (int level = 0; level < levels; level++) {
            if (levels <= 11 || level % 2 == 0) {
                double middle = left + (level + 0.5) * block;
                elements.add(text(String.valueOf(level), middle, bottom + 1 * unit, unit, DIM,
                        TextRoi.CENTER));
            }
        }
        elements.add(text("sure", left - 3 * unit, top - 3 * unit, unit, DIM, TextRoi.RIGHT));
        elements.add(text("unsure", left - 3 * unit, bottom - 9 * unit, unit, DIM, TextRoi.RIGHT));
        elements.add(text("in focus", left, top - 13 * unit, unit, BRIGHT, TextRoi.LEFT));
        elements.add(text("far out of focus", left + levels * block, top - 13 * unit, unit, BRIGHT,
                TextRoi.RIGHT));
        for (Roi element : elements) {
            element.setName(NAME + ": legend");
        }
        return elements;
    }

    /** Gives the legend of scores likewise: from the lowest one to 1. */
    static List<Roi> legendOfScores(int height, int width) {
        double unit = unit(height, width);
        double block = 29 * unit;
        double left = 10 * unit;
        double bottom = height - 19 * unit;
        double top = bottom - 2 * STEPS * unit;
        List<Roi> elements = new ArrayList<>();
        Roi ground = new Roi(
                0, height - legendHeight(unit) + 2 * STEPS * unit, 2 * left + SCORES * block,
                legendHeight(unit) - 2 * STEPS * unit);
        ground.setFillColor(GROUND);
        elements.add(ground);
        for (int i = 0; i < SCORES; i++) {
            double share = i / (SCORES - 1.0);
            double score = Components.LOWEST_SCORE + share * (1 - Components.LOWEST_SCORE);
            // A little larger than a block: the next one covers the seam.
            double wide = i + 1 < SCORES ? block + unit : block;
            Roi part = new Roi(left + i * block, top, wide, bottom - top);
            part.setFillColor(colourOfScore(score));
            elements.add(part);
            elements.add(text(Table.general(score, 2), left + (i + 0.5) * block, bottom + unit, unit,
                    DIM, TextRoi.CENTER));
        }
        elements.add(text("worst", left, top - 13 * unit, unit, BRIGHT, TextRoi.LEFT));
        elements.add(text("ideal", left + SCORES * block, top - 13 * unit, unit, BRIGHT,
                TextRoi.RIGHT));
        for (Roi element : elements) {
            element.setName(RATING + ": legend");
        }
        return elements;
    }

    /** Gives an image's rating, to stand above the legend. */
    static Roi verdict(RatingResult result, int height, int width) {
        double unit = unit(height, width);
        double top = height - legendHeight(unit) + (2 * STEPS + 3) * unit;
        Roi text = text(result.words(), 6 * unit, top, unit, BRIGHT, TextRoi.LEFT);
        text.setName(RATING + ": verdict");
        return text;
    }

    /** Gives an image's verdict, to stand above the legend. */
    static Roi verdict(FocusResult result, int height, int width) {
        double unit = unit(height, width);
        String words = result.status.replace('_', ' ');
        if (!FocusResult.isBlank(result.status)) {
            words = "level " + Table.fixed(result.judgedLevel(), 1) + ", " + words + ", certainty "
                    + Table.fixed(result.certainty, 2);
        }
        Roi text = text(words, 6 * unit, height - legendHeight(unit) + 3 * unit, unit, BRIGHT,
                TextRoi.LEFT);
        text.setName(NAME + ": verdict");
        return text;
    }

    /** Gives the size of a pixel of the legend: of a large image it takes a smaller share. */
    private static double unit(int height, int width) {
        double small = Math.min(Math.min(width / 420.0, height / 260.0), 1);
        return Math.max(Math.max(small, Math.min(width / 640.0, height / 400.0)), 0.3);
    }

    private static double legendHeight(double unit) {
        return 72 * unit;
    }

    private static TextRoi text(
            String words, double x, double y, double unit, Color colour, int justification) {
        Font font = new Font(Font.SANS_SERIF, Font.PLAIN, 1).deriveFont((float) (10 * unit));
        TextRoi text = new TextRoi(x, y, words);
        text.setFont(font);
        text.setAntiAlias(true);
        text.setJustification(justification);
        text.setStrokeColor(colour);
        return text;
    }

    /** Takes the elements that were drawn here out of an image's overlay; others stay. */
    static void clear(ImagePlus image) {
        Overlay overlay = image.getOverlay();
        if (overlay == null) {
            return;
        }
        Overlay others = without(overlay);
        restore(image, others.size() == 0 ? null : others, image.getHideOverlay());
    }

    /** Puts an overlay back as it was; ImageJ shows every new one, also where it was hidden. */
    static void restore(ImagePlus image, Overlay overlay, boolean hidden) {
        image.setOverlay(overlay);
        if (hidden) {
            image.setHideOverlay(true);
        }
    }

    /** Puts elements into an image's overlay in place of those that were drawn here before. */
    static void show(ImagePlus image, List<Roi> elements) {
        Overlay overlay = image.getOverlay() == null ? new Overlay() : without(image.getOverlay());
        for (Roi element : elements) {
            overlay.add(element);
        }
        image.setOverlay(overlay);
    }

    private static Overlay without(Overlay overlay) {
        Overlay others = overlay.duplicate();
        for (int i = others.size() - 1; i >= 0; i--) {
            String name = others.get(i).getName();
            if (name != null && (name.startsWith(NAME + ": ") || name.startsWith(RATING + ": "))) {
                others.remove(i);
            }
        }
        return others;
    }
}
