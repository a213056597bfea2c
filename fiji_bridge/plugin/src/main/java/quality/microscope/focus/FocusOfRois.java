package quality.microscope.focus;

import ij.IJ;
import ij.ImagePlus;
import ij.gui.PointRoi;
import ij.gui.Roi;
import ij.gui.TextRoi;
import ij.plugin.frame.RoiManager;
import ij.process.FloatPolygon;
import java.awt.Color;
import java.awt.Font;
import java.awt.HeadlessException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CancellationException;

/**
 * Measures the patch around each region of interest: the entries of the ROI manager, or without
 * any, the image's selection, of which each point counts by itself.
 */
public final class FocusOfRois extends Command {
    private static final String TITLE = "Focus of ROIs";

    public FocusOfRois() {
        super(TITLE);
    }

    /** A point to measure, in the library's way: (0, 0) is the middle of the upper left pixel. */
    private static final class Target {
        final String name;
        final double y;
        final double x;
        final int c;
        final int z;
        final int t;

        Target(String name, double y, double x, int[] place) {
            this.name = name;
            this.y = y;
            this.x = x;
            c = place[0];
            z = place[1];
            t = place[2];
        }

        boolean isInPlaneOf(Target other) {
            return c == other.c && z == other.z && t == other.t;
        }

        boolean isInside(ImagePlus image) {
            return y >= -0.5 && y <= image.getHeight() - 0.5
                    && x >= -0.5 && x <= image.getWidth() - 0.5;
        }
    }

    @Override
    void execute() {
        ImagePlus image = image();
        List<Target> targets = new ArrayList<>();
        for (Roi roi : rois(image)) {
            targets.addAll(targets(roi, image, targets.size()));
        }
        Options options = options(
                "Measures the patch of 84 x 84 pixels around each entry of the ROI manager, or of "
                        + "those that are selected there; without any, around the image's "
                        + "selection. A row for each goes into the table <i>" + Table.ROIS
                        + "</i>. Esc stops, and keeps what is measured.");
        askForColour(options, isColour(image));
        options.checkbox(
                "overlay", "Show the patches as an overlay",
                "Each with its name and its level.", true);
        askForOptics(options, image.getCalibration());
        if (options.ask()) {
            lock(image);
            try {
                measure(image, targets, options);
            } finally {
                image.unlock();
            }
        }
    }

    private static Roi[] rois(ImagePlus image) {
        try {
            RoiManager manager = RoiManager.getInstance2();
            if (manager != null && manager.getCount() > 0) {
                return manager.getSelectedRoisAsArray();
            }
        } catch (HeadlessException error) {
            // ImageJ without Fiji has no ROI manager where there is no screen.
            IJ.showStatus("");
        }
        if (image.getRoi() != null) {
            return new Roi[] {image.getRoi()};
        }
        throw new FocusException(
                "There is no region of interest: make a selection, or add some to the ROI manager.");
    }

    private static List<Target> targets(Roi roi, ImagePlus image, int before) {
        int[] place = {image.getC(), image.getZ(), image.getT()};
        if (roi.getPosition() > 0 && !roi.hasHyperStackPosition()
                && roi.getPosition() <= image.getStackSize()) {
            place = image.convertIndexToPosition(roi.getPosition());
        } else {
            int[] own = {roi.getCPosition(), roi.getZPosition(), roi.getTPosition()};
            int[] last = {image.getNChannels(), image.getNSlices(), image.getNFrames()};
            for (int axis = 0; axis < 3; axis++) {
                place[axis] = own[axis] > 0 ? Math.min(own[axis], last[axis]) : place[axis];
            }
        }
        List<Target> targets = new ArrayList<>();
        if (roi.getType() == Roi.POINT) {
            FloatPolygon points = roi.getFloatPolygon();
            for (int i = 0; i < points.npoints; i++) {
                String name = points.npoints == 1 && roi.getName() != null
                        ? roi.getName() : String.valueOf(before + i + 1);
                // Each point keeps the slice that it was set in.
                int slice = roi instanceof PointRoi ? ((PointRoi) roi).getPointPosition(i) : 0;
                boolean own = slice > 0 && slice <= image.getStackSize();
                targets.add(new Target(
                        name, Math.floor(points.ypoints[i]), Math.floor(points.xpoints[i]),
                        own ? image.convertIndexToPosition(slice) : place));
            }
            return targets;
        }
        // Borders of selections run between pixels, whose middles have whole numbers here.
        double[] centre = roi.getContourCentroid();
        String name = roi.getName() != null ? roi.getName() : String.valueOf(before + 1);
        targets.add(new Target(name, rounded(centre[1] - 0.5), rounded(centre[0] - 0.5), place));
        return targets;
    }

    private static double rounded(double pixels) {
        return Math.rint(1000 * pixels) / 1000;
    }

    private static void measure(ImagePlus image, List<Target> targets, Options options) {
        FocusSettings settings = settings(options, image.getCalibration());
        boolean luminance = options.choice("colour").equals(LUMINANCE);
        List<Map<String, Object>> rows = new ArrayList<>();
        List<Roi> elements = new ArrayList<>();
        List<Target> left = new ArrayList<>(targets);
        CancellationException stopped = null;
        try {
            while (!left.isEmpty()) {
                int done = targets.size() - left.size();
                IJ.showStatus(
                        TITLE + ": patch " + (done + 1) + " of " + targets.size() + " of "
                                + image.getTitle());
                // All targets of a plane at once: it is read one time.
                List<Target> here = new ArrayList<>();
                for (Target target : left) {
                    if (target.isInPlaneOf(left.get(0))) {
                        here.add(target);
                    }
                }
                measurePlane(
                        image, here, settings, luminance, (double) done / targets.size(), rows,
                        elements);
                left.removeAll(here);
            }
        } catch (CancellationException escape) {
            stopped = stopped(
                    rows.size(),
                    "patch " + (targets.size() - left.size() + 1) + " of " + targets.size());
        }
        if (!rows.isEmpty()) {
            Table.add(Table.ROIS, Table.roiColumns(settings.model.levels), rows);
            Overlays.clear(image);
            if (options.isChecked("overlay")) {
                Overlays.show(image, elements);
            }
        }
        if (stopped != null) {
            throw stopped;
        }
        IJ.showStatus(targets.size() + (targets.size() == 1 ? " patch" : " patches") + " measured");
    }

    /** Measures targets that lie in one plane, and adds their rows and what is drawn of them. */
    private static void measurePlane(
            ImagePlus image, List<Target> here, FocusSettings settings, boolean luminance,
            double share, List<Map<String, Object>> rows, List<Roi> elements) {
        // One that lies outside has a row as well, and the others are measured.
        List<Target> inside = new ArrayList<>();
        for (Target target : here) {
            if (target.isInside(image)) {
                inside.add(target);
            }
        }
        double[][] centres = new double[inside.size()][];
        for (int k = 0; k < centres.length; k++) {
            centres[k] = new double[] {inside.get(k).y, inside.get(k).x};
        }
        Target first = here.get(0);
        for (Grey plane : read(image, first.c, first.z, first.t, luminance)) {
            PointsResult points = MicroscopeFocus.measureAt(
                    plane.pixels, centres, settings.progress(watched(share, share)));
            for (Target target : here) {
                int k = inside.indexOf(target);
                if (k < 0) {
                    rows.add(outside(image, plane, target, settings));
                    continue;
                }
                rows.add(row(image, plane, target, points, k, settings));
                if (plane.colour <= 1) {
                    elements.addAll(patch(image, target, points, k, settings));
                }
            }
        }
    }

    /** Gives the row of a target that cannot be measured. */
    private static Map<String, Object> outside(
            ImagePlus image, Grey plane, Target target, FocusSettings settings) {
        double[][] unknown = new double[1][settings.model.levels];
        Arrays.fill(unknown[0], Double.NaN);
        Map<String, Object> row =
                row(image, plane, target, new PointsResult(unknown), 0, settings);
        for (String column : new String[] {
            "level", "expected_level", "certainty", "blur_diameter_px", "defocus_um"}) {
            row.put(column, Double.NaN);
        }
        row.put("message",
                "The centre lies outside the image of " + image.getHeight() + " x "
                        + image.getWidth() + " pixels.");
        return row;
    }

    private static Map<String, Object> row(
            ImagePlus image, Grey plane, Target target, PointsResult points, int k,
            FocusSettings settings) {
        Map<String, Object> row = new LinkedHashMap<>();
        place(row, image, plane);
        row.put("roi", target.name);
        row.put("y", target.y);
        row.put("x", target.x);
        row.put("level", points.levels[k]);
        row.put("expected_level", points.expectedLevels[k]);
        row.put("certainty", points.certainties[k]);
        int binning = Binning.of(settings);
        double expected = points.expectedLevels[k];
        row.put("blur_diameter_px", Optics.BLUR_PX_PER_LEVEL * expected * binning);
        row.put("defocus_um", settings.defocusUm(expected, binning));
        for (int level = 0; level < settings.model.levels; level++) {
            row.put("p" + level, points.probabilities[k][level]);
        }
        boolean sure = points.certainties[k] >= settings.model.sureCertainty;
        row.put("message", Double.isNaN(points.levels[k])
                ? "There is nothing in the patch to judge by."
                : sure ? "" : "The patch is not sure: an empty one could look like this.");
        return row;
    }

    private static List<Roi> patch(
            ImagePlus image, Target target, PointsResult points, int k, FocusSettings settings) {
        double side = settings.model.patchSize * Binning.of(settings);
        double nearest = Math.floor(points.expectedLevels[k] + 0.5);
        Color colour = Overlays.colour(nearest, points.certainties[k], settings.model.levels);
        double top = Math.floor(target.y + 0.5) - side / 2;
        double left = Math.floor(target.x + 0.5) - side / 2;
        Roi border = new Roi(left, top, side, side);
        border.setStrokeColor(colour);
        border.setStrokeWidth(2);
        String level = Double.isNaN(points.levels[k])
                ? "no content" : "level " + Table.fixed(points.expectedLevels[k], 1);
        TextRoi text = new TextRoi(
                Math.max(left, 0) + 3, Math.max(top, 0) + 2, target.name + ": " + level);
        text.setFont(new Font(Font.SANS_SERIF, Font.BOLD, 11));
        text.setAntiAlias(true);
        double room = image.getWidth() - text.getFloatWidth() - 3;
        text.setLocation(Math.max(Math.min(text.getXBase(), room), 0), text.getYBase());
        text.setStrokeColor(Color.WHITE);
        text.setFillColor(new Color(24, 24, 27, 170));
        List<Roi> elements = new ArrayList<>();
        for (Roi element : new Roi[] {border, text}) {
            element.setName(Overlays.NAME + ": " + target.name + ", " + level);
            if (image.isHyperStack()) {
                element.setPosition(target.c, target.z, target.t);
            } else if (image.getStackSize() > 1) {
                element.setPosition(image.getStackIndex(target.c, target.z, target.t));
            }
            elements.add(element);
        }
        return elements;
    }
}
