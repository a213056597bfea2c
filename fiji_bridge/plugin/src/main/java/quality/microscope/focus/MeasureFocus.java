package quality.microscope.focus;

import ij.IJ;
import ij.ImagePlus;
import ij.gui.Roi;
import ij.process.FloatProcessor;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Measures the current plane of an image or all of them: coloured patches over the image, a row a
 * plane in a table, and maps where they are asked for.
 */
public final class MeasureFocus extends PlaneCommand<FocusResult> {
    public MeasureFocus() {
        super("Measure Focus");
    }

    @Override
    void execute() {
        ImagePlus image = image();
        Options options = options(
                "Measures how far an image is out of focus: from level 0, in focus, to 10. A row "
                        + "for each plane goes into the table <i>" + Table.PLANES + "</i>. A "
                        + "selection limits which patches count. Esc stops, and keeps what is "
                        + "measured.");
        askForPlanes(options, image);
        options.checkbox(
                "overlay", "Show patches as an overlay",
                "Each patch of 84 x 84 pixels in the colour of its level, from blue (in focus) to "
                        + "yellow; dim where it is not sure.", true);
        options.checkbox(
                "legend", "Show the legend in the overlay",
                "It tells the image's level, too.", true);
        options.checkbox(
                "level_map", "Make a map of levels",
                "An image whose pixels are the levels of their patches; NaN, dark grey, where "
                        + "nothing is measured.", false);
        options.checkbox(
                "certainty_map", "Make a map of certainties",
                "The same of the certainties, 0 (black) to 1 (white).", false);
        options.checkbox(
                "probability_stack", "Make a stack of probabilities",
                "The same of the probabilities of each level; NaN, dark green, where nothing is "
                        + "measured.", false);
        askForLimit(options);
        askForOptics(options, image.getCalibration());
        options.checkbox(
                "preview", "Preview the grid of patches",
                "Shows the patches that count, before anything is measured.", false);
        ij.gui.Overlay before = image.getOverlay();
        boolean hidden = image.getHideOverlay();
        options.onChange(() -> preview(image, options, before, hidden));
        boolean asked;
        try {
            asked = options.ask();
        } finally {
            Overlays.restore(image, before, hidden);
        }
        if (asked) {
            measure(image, options);
        }
    }

    private static void preview(
            ImagePlus image, Options options, ij.gui.Overlay before, boolean hidden) {
        Overlays.restore(image, before, hidden);
        if (options.isChecked("preview")) {
            try {
                FocusSettings settings = settings(options, image.getCalibration()).selection(
                        image.getRoi(), image.getHeight(), image.getWidth());
                Overlays.show(
                        image, Overlays.grid(settings, image.getHeight(), image.getWidth()));
                IJ.showStatus("");
            } catch (FocusException error) {
                IJ.showStatus(options.message(error));
            }
        }
    }

    @Override
    Measuring<FocusResult> measuring(ImagePlus image, Options options) {
        FocusSettings settings = settings(options, image.getCalibration())
                .inFocusLimit(options.number("in_focus_limit"))
                .selection(image.getRoi(), image.getHeight(), image.getWidth());
        return (plane, from, to) ->
                MicroscopeFocus.measure(plane.pixels, settings.progress(watched(from, to)));
    }

    @Override
    void addRows(List<Map<String, Object>> rows, List<Measured<FocusResult>> measured) {
        int levels = measured.get(0).result.probabilities.length;
        Table.add(Table.PLANES, Table.planeColumns(levels), rows);
    }

    @Override
    Map<String, Object> row(FocusResult result) {
        return result.toRow();
    }

    @Override
    String verdict(FocusResult result) {
        return result.verdict();
    }

    @Override
    String message(FocusResult result) {
        return result.message;
    }

    @Override
    double weight(FocusResult result) {
        return result.certainty;
    }

    @Override
    List<Roi> patches(FocusResult result) {
        return Overlays.patches(result);
    }

    @Override
    List<Roi> legend(FocusResult result, int height, int width) {
        return Overlays.legend(height, width, result.probabilities.length);
    }

    @Override
    Roi verdictAbove(FocusResult result, int height, int width) {
        return Overlays.verdict(result, height, width);
    }

    @Override
    void makeMaps(ImagePlus image, List<Measured<FocusResult>> measured, Options options) {
        int levels = measured.get(0).result.probabilities.length;
        if (options.isChecked("level_map")) {
            ImagePlus map = map(
                    image, measured, "Level", result -> paint(result.patchLevels, result));
            Overlays.colourLevels(map, levels);
            map.show();
        }
        if (options.isChecked("certainty_map")) {
            ImagePlus map = map(
                    image, measured, "Certainty", result -> paint(result.patchCertainties, result));
            Overlays.colourShares(map);
            map.show();
        }
        if (options.isChecked("probability_stack")) {
            ImagePlus map = stack(image, measured, "Probabilities", MeasureFocus::probabilities);
            Overlays.colourShares(map);
            map.show();
        }
    }

    private static Map<String, FloatProcessor> probabilities(FocusResult result) {
        Map<String, FloatProcessor> planes = new LinkedHashMap<>();
        for (int k = 0; k < result.probabilities.length; k++) {
            double[] values = new double[result.patchProbabilities.length];
            for (int i = 0; i < values.length; i++) {
                values[i] = result.patchProbabilities[i][k];
            }
            planes.put("p" + k, paint(values, result));
        }
        return planes;
    }

    private static FloatProcessor paint(double[] values, FocusResult result) {
        return new FloatProcessor(
                result.width, result.height,
                Tiles.paint(
                        values, result.patchPositions, result.patchSizePx, result.height,
                        result.width));
    }
}
