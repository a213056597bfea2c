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
 * What the commands have in common that look at the current plane of an image or at all of them: a
 * row a plane in a table, coloured patches over the image, and maps.
 *
 * @param <R> the result of a plane
 */
abstract class PlaneCommand<R> extends Command {
    private final String title;

    PlaneCommand(String title) {
        super(title);
        this.title = title;
    }

    /** A measured plane. */
    static final class Measured<R> {
        final Grey place;
        final R result;

        Measured(Grey plane, R result) {
            // The pixels are let go: a virtual stack may be larger than memory.
            this.place = new Grey(null, plane.c, plane.z, plane.t, plane.colour);
            this.result = result;
        }
    }

    /** Measures a plane; {@code from} and {@code to} are the shares of the work before and after. */
    interface Measuring<R> {
        R of(Grey plane, double from, double to);
    }

    /** Adds the choice of planes, and of what to measure in a colour image. */
    static void askForPlanes(Options options, ImagePlus image) {
        options.choice(
                "planes", "Planes", "The <i>current</i> one, or <i>all</i> of the stack.",
                image.getStackSize() > 1, "current", "all");
        askForColour(options, isColour(image));
    }

    /** Gives how planes are measured, by what was asked for. */
    abstract Measuring<R> measuring(ImagePlus image, Options options);

    /** Adds rows to the command's table. */
    abstract void addRows(List<Map<String, Object>> rows, List<Measured<R>> measured);

    /** Gives the columns that a plane itself determines. */
    abstract Map<String, Object> row(R result);

    /** Gives the outcome in a line. */
    abstract String verdict(R result);

    /** Gives what a person should know beside it; empty for nothing. */
    abstract String message(R result);

    /** Gives how much a result says: of the three channels of a colour image, one is drawn. */
    abstract double weight(R result);

    abstract List<Roi> patches(R result);

    abstract List<Roi> legend(R result, int height, int width);

    /** Gives the verdict, to stand above the legend. */
    abstract Roi verdictAbove(R result, int height, int width);

    /** Makes the maps that were asked for. */
    abstract void makeMaps(ImagePlus image, List<Measured<R>> measured, Options options);

    /** Measures what was asked for, and shows it. */
    final void measure(ImagePlus image, Options options) {
        lock(image);
        try {
            measureLocked(image, options);
        } finally {
            image.unlock();
        }
    }

    private void measureLocked(ImagePlus image, Options options) {
        Measuring<R> measuring = measuring(image, options);
        boolean all = options.choice("planes").equals("all");
        boolean luminance = options.choice("colour").equals(LUMINANCE);
        List<int[]> places = all ? places(image) : new ArrayList<>();
        if (!all) {
            places.add(new int[] {image.getC(), image.getZ(), image.getT()});
        }
        List<Measured<R>> measured = new ArrayList<>();
        CancellationException stopped = null;
        int done = 0;
        try {
            for (; done < places.size(); done++) {
                String at = "plane " + (done + 1) + " of " + places.size() + " of ";
                IJ.showStatus(title + ": " + (all ? at : "") + image.getTitle());
                int[] place = places.get(done);
                List<Grey> planes = read(image, place[0], place[1], place[2], luminance);
                for (int k = 0; k < planes.size(); k++) {
                    double step = 1.0 / planes.size() / places.size();
                    double from = (double) done / places.size() + k * step;
                    R result = measuring.of(planes.get(k), from, from + step);
                    measured.add(new Measured<>(planes.get(k), result));
                }
            }
        } catch (CancellationException escape) {
            stopped = stopped(measured.size(), "plane " + (done + 1) + " of " + places.size());
        }
        if (!measured.isEmpty()) {
            show(image, measured, options, all);
        }
        if (stopped != null) {
            throw stopped;
        }
        R first = measured.get(0).result;
        IJ.showStatus(measured.size() == 1 ? verdict(first) : measured.size() + " planes measured");
        if (measured.size() == 1 && !message(first).isEmpty()) {
            tell(title, verdict(first) + "\n \n" + message(first));
        }
    }

    private void show(ImagePlus image, List<Measured<R>> measured, Options options, boolean all) {
        List<Map<String, Object>> rows = new ArrayList<>();
        for (Measured<R> plane : measured) {
            Map<String, Object> row = new LinkedHashMap<>();
            place(row, image, plane.place);
            row.putAll(row(plane.result));
            rows.add(row);
        }
        addRows(rows, measured);
        Overlays.clear(image);
        if (options.isChecked("overlay")) {
            draw(image, measured, all, options.isChecked("legend"));
        }
        makeMaps(image, measured, options);
    }

    /** Gives channel, slice and frame of all planes, in the order of the stack. */
    private static List<int[]> places(ImagePlus image) {
        List<int[]> places = new ArrayList<>();
        for (int index = 1; index <= image.getStackSize(); index++) {
            places.add(image.convertIndexToPosition(index));
        }
        return places;
    }

    private void draw(
            ImagePlus image, List<Measured<R>> measured, boolean all, boolean legendShown) {
        int height = image.getHeight();
        int width = image.getWidth();
        boolean withLegend = legendShown;
        List<Roi> elements = new ArrayList<>();
        List<Roi> above = new ArrayList<>();
        for (Measured<R> plane : measured) {
            if (!isDrawn(plane, measured)) {
                continue;
            }
            elements.addAll(placed(patches(plane.result), image, plane.place));
            if (withLegend) {
                List<Roi> legend = legend(plane.result, height, width);
                // One legend does for all planes.
                above.addAll(all ? legend : placed(legend, image, plane.place));
                withLegend = !all;
            }
            if (legendShown) {
                List<Roi> verdict = new ArrayList<>();
                verdict.add(verdictAbove(plane.result, height, width));
                above.addAll(placed(verdict, image, plane.place));
            }
        }
        elements.addAll(above);
        Overlays.show(image, elements);
    }

    /** Tells whether no other channel of the same colour says more, or as much and stands before. */
    private boolean isDrawn(Measured<R> plane, List<Measured<R>> measured) {
        for (Measured<R> other : measured) {
            boolean samePlane = other.place.c == plane.place.c && other.place.z == plane.place.z
                    && other.place.t == plane.place.t;
            double more = weight(other.result) - weight(plane.result);
            if (samePlane && (more > 0 || more == 0 && other.place.colour < plane.place.colour)) {
                return false;
            }
        }
        return true;
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

    /** Makes an image whose planes have the values of the patches at their places. */
    static <R> ImagePlus map(
            ImagePlus image, List<Measured<R>> measured, String name,
            Function<R, FloatProcessor> paint) {
        ImageStack stack = new ImageStack(image.getWidth(), image.getHeight());
        for (Measured<R> plane : measured) {
            stack.addSlice(label("", image, plane.place), paint.apply(plane.result));
        }
        ImagePlus map = new ImagePlus(name + " of " + image.getTitle(), stack);
        if (measured.size() == image.getStackSize() && measured.size() > 1) {
            map.setDimensions(image.getNChannels(), image.getNSlices(), image.getNFrames());
            map.setOpenAsHyperStack(image.isHyperStack());
        }
        map.setCalibration(spatial(image));
        return map;
    }

    /** Makes an image with several planes for each that was measured, by their names. */
    static <R> ImagePlus stack(
            ImagePlus image, List<Measured<R>> measured, String name,
            Function<R, Map<String, FloatProcessor>> paint) {
        ImageStack stack = new ImageStack(image.getWidth(), image.getHeight());
        for (Measured<R> plane : measured) {
            paint.apply(plane.result).forEach(
                    (one, pixels) -> stack.addSlice(label(one, image, plane.place), pixels));
        }
        ImagePlus map = new ImagePlus(name + " of " + image.getTitle(), stack);
        map.setDimensions(1, stack.size() / measured.size(), measured.size());
        map.setOpenAsHyperStack(measured.size() > 1);
        map.setCalibration(spatial(image));
        return map;
    }

    /** Gives the calibration of space, without that of grey values. */
    private static Calibration spatial(ImagePlus image) {
        Calibration calibration = image.getCalibration().copy();
        calibration.disableDensityCalibration();
        return calibration;
    }

    private static String label(String name, ImagePlus image, Grey plane) {
        Map<String, Object> row = new LinkedHashMap<>();
        place(row, image, plane);
        StringBuilder label = new StringBuilder(name);
        for (String axis : new String[] {"c", "z", "t"}) {
            if (row.containsKey(axis)) {
                label.append(label.length() > 0 ? " " : "").append(axis).append(row.get(axis));
            }
        }
        return label.toString();
    }
}
