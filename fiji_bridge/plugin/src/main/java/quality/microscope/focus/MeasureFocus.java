package quality.microscope.focus;

import ij.IJ;
import ij.ImagePlus;
import ij.ImageStack;
import ij.gui.Roi;
import ij.measure.Calibration;
import ij.process.FloatProcessor;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CancellationException;
import java.util.function.Function;

/**
 * Measures the current plane of an image or all of them: coloured patches over the image, a row a
 * plane in a table, and maps where they are asked for.
 */
public final class MeasureFocus extends Command {
    private static final String TITLE = "Measure Focus";

    public MeasureFocus() {
        super(TITLE);
    }

    /** A measured plane. */
    private static final class Measured {
        final Grey place;
        final FocusResult result;

        Measured(Grey plane, FocusResult result) {
            // The pixels are let go: a virtual stack may be larger than memory.
            this.place = new Grey(null, plane.c, plane.z, plane.t, plane.colour);
            this.result = result;
        }
    }

    @Override
    void execute() {
        ImagePlus image = image();
        Options options = options(
                "Measures how far an image is out of focus: from level 0, in focus, to 10. A row "
                        + "for each plane goes into the table <i>" + Table.PLANES + "</i>. A "
                        + "selection limits which patches count. Esc stops, and keeps what is "
                        + "measured.");
        options.choice(
                "planes", "Planes", "The <i>current</i> one, or <i>all</i> of the stack.",
                image.getStackSize() > 1, "current", "all");
        askForColour(options, isColour(image));
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
            lock(image);
            try {
                measure(image, options);
            } finally {
                image.unlock();
            }
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

    private static void measure(ImagePlus image, Options options) {
        FocusSettings settings = settings(options, image.getCalibration())
                .inFocusLimit(options.number("in_focus_limit"))
                .selection(image.getRoi(), image.getHeight(), image.getWidth());
        boolean all = options.choice("planes").equals("all");
        boolean luminance = options.choice("colour").equals(LUMINANCE);
        List<int[]> places = all ? places(image) : new ArrayList<>();
        if (!all) {
            places.add(new int[] {image.getC(), image.getZ(), image.getT()});
        }
        List<Measured> measured = new ArrayList<>();
        CancellationException stopped = null;
        int done = 0;
        try {
            for (; done < places.size(); done++) {
                String at = "plane " + (done + 1) + " of " + places.size() + " of ";
                IJ.showStatus(TITLE + ": " + (all ? at : "") + image.getTitle());
                int[] place = places.get(done);
                List<Grey> planes = read(image, place[0], place[1], place[2], luminance);
                for (int k = 0; k < planes.size(); k++) {
                    double step = 1.0 / planes.size() / places.size();
                    double from = (double) done / places.size() + k * step;
                    FocusResult result = MicroscopeFocus.measure(
                            planes.get(k).pixels, watched(settings, from, from + step));
                    measured.add(new Measured(planes.get(k), result));
                }
            }
        } catch (CancellationException escape) {
            stopped = stopped(measured.size(), "plane " + (done + 1) + " of " + places.size());
        }
        if (!measured.isEmpty()) {
            show(image, measured, options, all, settings.model.levels);
        }
        if (stopped != null) {
            throw stopped;
        }
        FocusResult first = measured.get(0).result;
        IJ.showStatus(
                measured.size() == 1 ? first.verdict() : measured.size() + " planes measured");
        if (measured.size() == 1 && !first.message.isEmpty()) {
            tell(TITLE, first.verdict() + "\n \n" + first.message);
        }
    }

    private static void show(
            ImagePlus image, List<Measured> measured, Options options, boolean all, int levels) {
        List<Map<String, Object>> rows = new ArrayList<>();
        for (Measured plane : measured) {
            Map<String, Object> row = new LinkedHashMap<>();
            place(row, image, plane.place);
            row.putAll(plane.result.toRow());
            rows.add(row);
        }
        Table.add(Table.PLANES, Table.planeColumns(levels), rows);
        Overlays.clear(image);
        if (options.isChecked("overlay")) {
            draw(image, measured, all, options.isChecked("legend"));
        }
        makeMaps(image, measured, levels, options);
    }

    /** Gives channel, slice and frame of all planes, in the order of the stack. */
    private static List<int[]> places(ImagePlus image) {
        List<int[]> places = new ArrayList<>();
        for (int index = 1; index <= image.getStackSize(); index++) {
            places.add(image.convertIndexToPosition(index));
        }
        return places;
    }

    private static void draw(
            ImagePlus image, List<Measured> measured, boolean all, boolean legendShown) {
        int height = image.getHeight();
        int width = image.getWidth();
        boolean withLegend = legendShown;
        List<Roi> elements = new ArrayList<>();
        List<Roi> above = new ArrayList<>();
        for (int i = 0; i < measured.size(); i++) {
            Measured plane = measured.get(i);
            // Of the three channels of a colour image, the surest one is drawn.
            boolean surest = true;
            for (Measured other : measured) {
                boolean samePlane = other.place.c == plane.place.c
                        && other.place.z == plane.place.z && other.place.t == plane.place.t;
                surest &= !samePlane || other.result.certainty < plane.result.certainty
                        || other == plane
                        || other.result.certainty == plane.result.certainty
                                && other.place.colour > plane.place.colour;
            }
            if (!surest) {
                continue;
            }
            elements.addAll(placed(Overlays.patches(plane.result), image, plane.place));
            if (withLegend) {
                List<Roi> legend =
                        Overlays.legend(height, width, plane.result.probabilities.length);
                // One legend does for all planes.
                above.addAll(all ? legend : placed(legend, image, plane.place));
                withLegend = !all;
            }
            if (legendShown) {
                List<Roi> verdict = new ArrayList<>();
                verdict.add(Overlays.verdict(plane.result, height, width));
                above.addAll(placed(verdict, image, plane.place));
            }
        }
        elements.addAll(above);
        Overlays.show(image, elements);
    }

    /** Lets elements show in their plane alone. */
    private static List<Roi> placed(List<Roi> elements, ImagePlus image, Grey place) {
        for (Roi element : elements) {
            if (image.isHyperStack()) {
                element.setPosition(place.c, place.z, place.t);
            } else if (image.getStackSize() > 1) {
                element.setPosition(image.getStackIndex(place.c, place.z, place.t));
            }
        }
        return elements;
    }

    private static void makeMaps(
            ImagePlus image, List<Measured> measured, int levels, Options options) {
        if (options.isChecked("level_map")) {
            ImagePlus map = map(image, measured, "Level", result -> result.patchLevels);
            Overlays.colourLevels(map, levels);
            map.show();
        }
        if (options.isChecked("certainty_map")) {
            ImagePlus map = map(image, measured, "Certainty", result -> result.patchCertainties);
            Overlays.colourShares(map);
            map.show();
        }
        if (options.isChecked("probability_stack")) {
            ImageStack stack = new ImageStack(image.getWidth(), image.getHeight());
            for (Measured plane : measured) {
                for (int k = 0; k < levels; k++) {
                    double[] values = new double[plane.result.patchProbabilities.length];
                    for (int i = 0; i < values.length; i++) {
                        values[i] = plane.result.patchProbabilities[i][k];
                    }
                    stack.addSlice(label("p" + k, image, plane), paint(values, plane.result));
                }
            }
            ImagePlus map = new ImagePlus("Probabilities of " + image.getTitle(), stack);
            map.setDimensions(1, levels, measured.size());
            map.setOpenAsHyperStack(measured.size() > 1);
            map.setCalibration(spatial(image));
            Overlays.colourShares(map);
            map.show();
        }
    }

    private static ImagePlus map(
            ImagePlus image, List<Measured> measured, String name,
            Function<FocusResult, double[]> values) {
        ImageStack stack = new ImageStack(image.getWidth(), image.getHeight());
        for (Measured plane : measured) {
            stack.addSlice(
                    label("", image, plane), paint(values.apply(plane.result), plane.result));
        }
        ImagePlus map = new ImagePlus(name + " of " + image.getTitle(), stack);
        if (measured.size() == image.getStackSize() && measured.size() > 1) {
            map.setDimensions(image.getNChannels(), image.getNSlices(), image.getNFrames());
            map.setOpenAsHyperStack(image.isHyperStack());
        }
        map.setCalibration(spatial(image));
        return map;
    }

    private static FloatProcessor paint(double[] values, FocusResult result) {
        return new FloatProcessor(
                result.width, result.height,
                Tiles.paint(
                        values, result.patchPositions, result.patchSizePx, result.height,
                        result.width));
    }

    /** Gives the calibration of space, without that of grey values. */
    private static Calibration spatial(ImagePlus image) {
        Calibration calibration = image.getCalibration().copy();
        calibration.disableDensityCalibration();
        return calibration;
    }

    private static String label(String name, ImagePlus image, Measured plane) {
        Map<String, Object> row = new LinkedHashMap<>();
        place(row, image, plane.place);
        StringBuilder label = new StringBuilder(name);
        for (String axis : new String[] {"c", "z", "t"}) {
            if (row.containsKey(axis)) {
                label.append(label.length() > 0 ? " " : "").append(axis).append(row.get(axis));
            }
        }
        return label.toString();
    }
}
