package quality.microscope.focus;

import ij.IJ;
import ij.ImagePlus;
import ij.gui.Plot;
import java.awt.Color;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CancellationException;

/**
 * Finds the sharpest slice, for each channel and frame of an image, and tells whether it is in
 * focus: a row each in a table, a plot of the levels over z, and the image goes there.
 */
public final class FindBestFocusPlane extends Command {
    private static final String TITLE = "Find Best Focus Plane";

    public FindBestFocusPlane() {
        super(TITLE);
    }

    /** The slices of a channel and frame. */
    private static final class Curve {
        final Grey place;
        final StackResult stack;

        Curve(Grey first, StackResult stack) {
            this.place = new Grey(null, first.c, first.z, first.t, first.colour);
            this.stack = stack;
        }
    }

    @Override
    void execute() {
        ImagePlus image = image();
        if (image.getNSlices() < 2) {
            throw new FocusException(
                    "The image '" + image.getTitle() + "' has one slice and "
                            + image.getNFrames() + " frame(s); the best plane is found along z. "
                            + "Image > Properties... tells which axis is which.");
        }
        Options options = options(
                "Finds the sharpest slice for each channel and frame, in focus or not, and goes "
                        + "there. A row for each goes into the table <i>" + Table.STACKS + "</i>: "
                        + "its status tells whether that slice is in focus. A selection limits "
                        + "which patches count. Esc stops, and keeps the channels and frames that "
                        + "are measured.");
        askForColour(options, isColour(image));
        options.checkbox("plot", "Plot the levels over z", "The focus curve.", true);
        askForLimit(options);
        askForOptics(options, image.getCalibration());
        if (options.ask()) {
            lock(image);
            try {
                find(image, options);
            } finally {
                image.unlock();
            }
        }
    }

    private static void find(ImagePlus image, Options options) {
        FocusSettings settings = settings(options, image.getCalibration())
                .inFocusLimit(options.number("in_focus_limit"))
                .selection(image.getRoi(), image.getHeight(), image.getWidth());
        boolean luminance = options.choice("colour").equals(LUMINANCE);
        List<Curve> curves = new ArrayList<>();
        CancellationException stopped = null;
        int stacks = image.getNChannels() * image.getNFrames();
        int done = 0;
        try {
            for (; done < stacks; done++) {
                int c = done % image.getNChannels() + 1;
                int t = done / image.getNChannels() + 1;
                curves.addAll(curves(image, c, t, luminance, settings));
            }
        } catch (CancellationException escape) {
            stopped = stopped(curves.size(), "stack " + (done + 1) + " of " + stacks);
        }
        if (!curves.isEmpty()) {
            show(image, curves, options, settings);
        }
        if (stopped != null) {
            throw stopped;
        }
    }

    private static void show(
            ImagePlus image, List<Curve> curves, Options options, FocusSettings settings) {
        List<Map<String, Object>> rows = new ArrayList<>();
        Curve shown = null;
        for (Curve curve : curves) {
            Map<String, Object> row = new LinkedHashMap<>();
            place(row, image, curve.place);
            row.remove("z");
            StackResult stack = curve.stack;
            row.put("best_z", stack.bestPlane == 0 ? Double.NaN : (double) stack.bestPlane);
            row.put("expected_level", stack.expectedLevel);
            row.put("status", stack.status);
            row.put("best_position", stack.bestPosition);
            row.put("message", message(stack));
            rows.add(row);
            boolean current = curve.place.c == image.getC() && curve.place.t == image.getT();
            // Of a colour image's channels, green, which has most of the luminance.
            if (current && (curve.place.colour == 0 || curve.place.colour == 2)) {
                shown = curve;
            }
        }
        Table.add(Table.STACKS, Table.stackColumns(), rows);
        if (options.isChecked("plot")) {
            plot(image, curves, settings).show();
        }
        if (shown == null) {
            // It was stopped before it came there.
            return;
        }
        StackResult stack = shown.stack;
        String words = message(stack);
        if (stack.bestPlane > 0) {
            image.setPosition(shown.place.c, stack.bestPlane, shown.place.t);
            words = "Best focus: slice " + stack.bestPlane + " of " + image.getNSlices()
                    + (Double.isNaN(stack.expectedLevel)
                            ? "" : ", expected level " + Table.fixed(stack.expectedLevel, 1))
                    + ", " + stack.status.replace('_', ' ');
        }
        IJ.showStatus(words);
        if (!stack.status.equals("in_focus")) {
            tell(TITLE, words);
        }
    }

    /** Gives what is to be known of a stack that has no plane in focus; else it is empty. */
    private static String message(StackResult stack) {
        if (stack.bestPlane == 0) {
            return "No plane has content.";
        }
        if (stack.status.equals("too_small")) {
            return "The planes are too small for a level: the best one has the highest contrast.";
        }
        return stack.status.equals("in_focus") ? "" : "The best plane is not in focus.";
    }

    /** Measures the slices of a channel and frame, one at a time. */
    private static List<Curve> curves(
            ImagePlus image, int c, int t, boolean luminance, FocusSettings settings) {
        int slices = image.getNSlices();
        int stacks = image.getNChannels() * image.getNFrames();
        int before = (t - 1) * image.getNChannels() + c - 1;
        List<List<FocusResult>> results = new ArrayList<>();
        List<Grey> places = new ArrayList<>();
        boolean grey = luminance;
        for (int z = 1; z <= slices; z++) {
            IJ.showStatus(
                    TITLE + ": slice " + z + " of " + slices
                            + (stacks > 1 ? ", stack " + (before + 1) + " of " + stacks : "")
                            + ", " + image.getTitle());
            List<Grey> planes = read(image, c, z, t, luminance);
            double step = 1.0 / slices / stacks;
            double from = (before * slices + z - 1) * step;
            // A grey slice of a colour stack is the same in all three channels.
            int channels = isColour(image) && !grey ? 3 : 1;
            FocusResult last = null;
            for (int k = 0; k < channels; k++) {
                if (z == 1) {
                    results.add(new ArrayList<>());
                    places.add(new Grey(null, c, z, t, channels == 3 ? k + 1 : 0));
                }
                if (k < planes.size()) {
                    last = MicroscopeFocus.measure(
                            planes.get(k).pixels, settings.progress(watched(from, from + step)));
                }
                results.get(k).add(last);
            }
        }
        List<Curve> curves = new ArrayList<>();
        for (int k = 0; k < results.size(); k++) {
            curves.add(new Curve(
                    places.get(k),
                    MicroscopeFocus.bestPlane(results.get(k))));
        }
        return curves;
    }

    private static Plot plot(ImagePlus image, List<Curve> curves, FocusSettings settings) {
        int slices = image.getNSlices();
        int levels = settings.model.levels;
        Plot plot = new Plot("Focus of " + image.getTitle(), "Slice (z)", "Expected defocus level");
        plot.setLimits(0.5, slices + 0.5, -0.5, levels - 0.5);
        plot.setLineWidth(1);
        plot.setColor(new Color(150, 150, 155));
        double limit = settings.inFocusLimit;
        plot.drawDottedLine(0.5, limit, slices + 0.5, limit, 3);
        StringBuilder names = new StringBuilder();
        for (int i = 0; i < curves.size(); i++) {
            Curve curve = curves.get(i);
            double[] z = new double[slices];
            double[] expected = new double[slices];
            for (int k = 0; k < slices; k++) {
                FocusResult result = curve.stack.results.get(k);
                z[k] = k + 1;
                boolean empty = FocusResult.isBlank(result.status);
                expected[k] = empty ? Double.NaN : result.expectedLevel;
            }
            Color colour = curves.size() == 1
                    ? new Color(65, 110, 250)
                    // Without the last colours, which are too light for a white ground.
                    : Overlays.colour(0.8 * i * (levels - 1) / (curves.size() - 1), 1, levels);
            plot.setColor(colour, colour);
            plot.setLineWidth(2);
            plot.addPoints(z, expected, Plot.CONNECTED_CIRCLES);
            plot.setLineWidth(1);
            if (curve.stack.bestPlane > 0) {
                double at = curve.stack.bestPosition;
                plot.drawDottedLine(at, -0.5, at, levels - 0.5, 2);
            }
            names.append(name(curve, image)).append('\n');
        }
        plot.setColor(Color.BLACK);
        plot.addLabel(0, 0, headline(curves));
        if (curves.size() > 1 && curves.size() <= 6) {
            plot.setColor(Color.DARK_GRAY);
            plot.setLegend(names.toString(), Plot.AUTO_POSITION);
        }
        return plot;
    }

    private static String headline(List<Curve> curves) {
        StackResult stack = curves.get(0).stack;
        if (curves.size() == 1) {
            return stack.bestPlane == 0
                    ? "No plane has content"
                    : "Best focus: slice " + stack.bestPlane + ", "
                            + stack.status.replace('_', ' ');
        }
        int focused = 0;
        for (Curve curve : curves) {
            focused += curve.stack.status.equals("in_focus") ? 1 : 0;
        }
        return focused + " of " + curves.size() + " stacks are in focus at their best plane";
    }

    private static String name(Curve curve, ImagePlus image) {
        Map<String, Object> row = new LinkedHashMap<>();
        place(row, image, curve.place);
        String channel = row.containsKey("c") ? "channel " + row.get("c") : "";
        String frame = row.containsKey("t") ? "frame " + row.get("t") : "";
        return channel + (channel.isEmpty() || frame.isEmpty() ? "" : ", ") + frame;
    }
}
