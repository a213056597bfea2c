package quality.microscope.focus;

import ij.ImagePlus;
import ij.gui.Roi;
import ij.process.FloatProcessor;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Rates the current plane of an image of an electron microscope or all of them: coloured patches
 * over the image, a row a plane in a table, and maps where they are asked for.
 */
public final class RateImage extends PlaneCommand<RatingResult> {
    public RateImage() {
        super("Rate Image");
    }

    @Override
    void execute() {
        ImagePlus image = image();
        Options options = options(
                "Rates how much of its detail an image of an electron microscope shows, from 0.1 to "
                        + "1, an ideal image, and says what it lacks: focus, stigmation, electrons, "
                        + "or lines that are in step. A row for each plane goes into the table <i>"
                        + Table.RATINGS + "</i>. Of a selection, the patches inside count. Lines "
                        + "run from left to right. Esc stops, and keeps what is rated.");
        askForPlanes(options, image);
        options.checkbox(
                "overlay", "Show patches as an overlay",
                "Each patch in the colour of its score, from blue (1) to yellow (0.1); blank ones "
                        + "are left as they are.", true);
        options.checkbox(
                "legend", "Show the legend in the overlay",
                "It tells the image's score, too.", true);
        options.checkbox(
                "score_map", "Make a map of scores",
                "An image whose pixels are the scores of their patches; NaN, dark grey, where "
                        + "nothing is rated.", false);
        options.checkbox(
                "component_stack", "Make a stack of components",
                "The same of the blur in pixels, elongation and its angle, noise, line noise and "
                        + "jitter.", false);
        askForRating(options);
        if (options.ask()) {
            measure(image, options);
        }
    }

    @Override
    Measuring<RatingResult> measuring(ImagePlus image, Options options) {
        RatingSettings settings = ratingSettings(options)
                .selection(image.getRoi(), image.getHeight(), image.getWidth());
        return (plane, from, to) ->
                MicroscopeRating.rate(plane.pixels, settings.progress(watched(from, to)));
    }

    @Override
    void addRows(List<Map<String, Object>> rows, List<Measured<RatingResult>> measured) {
        Table.add(Table.RATINGS, Table.ratedPlaneColumns(), rows);
    }

    @Override
    Map<String, Object> row(RatingResult result) {
        return result.toRow();
    }

    @Override
    String verdict(RatingResult result) {
        return result.verdict();
    }

    @Override
    String message(RatingResult result) {
        return result.message;
    }

    @Override
    double weight(RatingResult result) {
        return result.rated();
    }

    @Override
    List<Roi> patches(RatingResult result) {
        return Overlays.patches(result);
    }

    @Override
    List<Roi> legend(RatingResult result, int height, int width) {
        return Overlays.legendOfScores(height, width);
    }

    @Override
    Roi verdictAbove(RatingResult result, int height, int width) {
        return Overlays.verdict(result, height, width);
    }

    @Override
    void makeMaps(ImagePlus image, List<Measured<RatingResult>> measured, Options options) {
        if (options.isChecked("score_map")) {
            ImagePlus map = map(
                    image, measured, "Score", result -> paint(result.patchScores, result));
            Overlays.colourScores(map);
            map.show();
        }
        if (options.isChecked("component_stack")) {
            stack(image, measured, "Components", RateImage::components).show();
        }
    }

    private static Map<String, FloatProcessor> components(RatingResult result) {
        double[][] outputs = result.patchOutputs;
        Map<String, double[]> values = new LinkedHashMap<>();
        Map<String, Object> names = new LinkedHashMap<>();
        result.components.putInto(names);
        names.keySet().forEach(name -> values.put(name, new double[outputs.length]));
        for (int i = 0; i < outputs.length; i++) {
            Map<String, Object> row = new LinkedHashMap<>();
            Components.of(outputs[i]).putInto(row);
            for (Map.Entry<String, double[]> component : values.entrySet()) {
                component.getValue()[i] = (Double) row.get(component.getKey());
            }
        }
        Map<String, FloatProcessor> planes = new LinkedHashMap<>();
        values.forEach((name, ofPatches) -> planes.put(name, paint(ofPatches, result)));
        return planes;
    }

    private static FloatProcessor paint(double[] values, RatingResult result) {
        return new FloatProcessor(
                result.width, result.height,
                Tiles.paint(
                        values, result.patchPositions, result.patchSizePx, result.height,
                        result.width));
    }
}
