package quality.microscope.focus;

import ij.IJ;
import ij.ImagePlus;
import ij.ImageStack;
import ij.gui.Roi;
import ij.measure.Calibration;
import ij.process.FloatProcessor;
import ij.process.LUT;
import java.awt.Color;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Function;

/**
 * Measures the current plane of an image or all of them: coloured patches over the image, a row a
 * plane in the Results table, and maps where they are asked for.
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
        Options options = new Options(TITLE);
        options.choice("planes", "Planes", image.getStackSize() > 1, "current", "all");
        askForColour(options, isColour(image));
        options.checkbox("overlay", "Show patches as an overlay", true);
        options.checkbox("legend", "Show the legend in the overlay", true);
        options.checkbox("level_map", "Make a map of levels", false);
        options.checkbox("certainty_map", "Make a map of certainties", false);
        options.checkbox("probability_stack", "Make a stack of probabilities", false);
        askForLimit(options);
        askForOptics(options, image);
        options.checkbox("preview", "Preview the grid of patches", false);
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
                FocusSettings settings = settings(options, Double.NaN).selection(
                        image.getRoi(), image.getHeight(), image.getWidth());
                Overlays.show(
                        image, Overlays.grid(settings, image.getHeight(), image.getWidth()));
                IJ.showStatus("");
            } catch (FocusException error) {
                IJ.showStatus(error.getMessage());
            }
        }
    }

    private static void measure(ImagePlus image, Options options) {
        FocusSettings settings = settings(options, Optics.pixelSizeUm(image.getCalibration()))
                .inFocusLimit(options.number("in_focus_limit"))
                .selection(image.getRoi(), image.getHeight(), image.getWidth());
        boolean all = options.choice("planes").equals("all");
        boolean luminance = options.choice("colour").equals(LUMINANCE);
        List<int[]> places = all ? places(image) : new ArrayList<>();
        if (!all) {
            places.add(new int[] {image.getC(), image.getZ(), image.getT()});
        }
        List<Measured> measured = new ArrayList<>();
        for (int i = 0; i < places.size(); i++) {
            int[] place = places.get(i);
            List<Grey> planes = read(image, place[0], place[1], place[2], luminance);
            for (int k = 0; k < planes.size(); k++) {
                double step = 1.0 / planes.size() / places.size();
                double from = (double) i / places.size() + k * step;
                FocusResult result = MicroscopeFocus.measure(
                        planes.get(k).pixels, watched(settings, from, from + step));
                measured.add(new Measured(planes.get(k), result));
            }
        }

        List<Map<String, Object>> rows = new ArrayList<>();
        for (Measured plane : measured) {
            Map<String, Object> row = new LinkedHashMap<>();
            place(row, image, plane.place);
            row.putAll(plane.result.toRow());
            rows.add(row);
        }
        Table.addToResults(Table.columns(settings.model.levels), rows);
        Overlays.clear(image);
        if (options.isChecked("overlay")) {
            draw(image, measured, all, options.isChecked("legend"));
        }
        makeMaps(image, measured, settings.model.levels, options);
        FocusResult first = measured.get(0).result;
        IJ.showStatus(
                measured.size() == 1 ? first.verdict() : measured.size() + " planes measured");
        if (measured.size() == 1 && !first.message.isEmpty()) {
            tell(TITLE, first.verdict() + "\n \n" + first.message);
        }
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
            map.setLut(Overlays.lut(levels));
            map.setDisplayRange(0, levels - 1);
            map.show();
        }
        if (options.isChecked("certainty_map")) {
            ImagePlus map = map(image, measured, "Certainty", result -> result.patchCertainties);
            map.setLut(LUT.createLutFromColor(Color.WHITE));
            map.setDisplayRange(0, 1);
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
            map.setDisplayRange(0, 1);
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
