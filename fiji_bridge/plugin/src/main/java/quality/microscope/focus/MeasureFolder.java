package quality.microscope.focus;

import ij.measure.Calibration;
import java.util.List;
import java.util.Map;

/** Measures all images of a folder and its subfolders. */
public final class MeasureFolder extends FolderCommand {
    public MeasureFolder() {
        super("Measure Folder", Table.FOLDER);
    }

    @Override
    void execute() {
        Options options = options(
                "Measures all images of a folder and of its subfolders: TIFF, PNG, JPEG and BMP. "
                        + "A row for each plane goes into the table <i>" + Table.FOLDER + "</i>. A "
                        + "file that cannot be read is a row with its error. Esc stops, and keeps "
                        + "what is measured, also in the CSV file.");
        askForFolder(options);
        askForLimit(options);
        askForOptics(options, null);
        options.note("Without a pixel size, each file's own calibration is taken.");
        if (options.ask()) {
            measure(options);
        }
    }

    private static FocusModel model(Options options) {
        return FocusModel.load(options.text("model"));
    }

    @Override
    Measuring measuring(Options options) {
        double limit = options.number("in_focus_limit");
        FocusSettings.of(model(options)).inFocusLimit(limit);
        return (plane, calibration, from, to) -> {
            boolean sizeMissing = isSizeMissing(options, calibration);
            // As on the command line: what lacks the optics is measured without them.
            FocusSettings settings = sizeMissing && !options.choice("rescale").equals(ON)
                    ? FocusSettings.of(model(options)) : settings(options, calibration);
            settings = settings.inFocusLimit(limit).progress(watched(from, to));
            Map<String, Object> row = MicroscopeFocus.measure(plane.pixels, settings).toRow();
            if (sizeMissing) {
                addMessage(row, "No defocus in \u00b5m. " + Optics.whyNoPixelSize(calibration));
            }
            return row;
        };
    }

    private static boolean isSizeMissing(Options options, Calibration calibration) {
        return !Double.isNaN(options.number("na"))
                && Double.isNaN(pixelSizeUm(options, calibration));
    }

    @Override
    List<String> columns(Options options) {
        return Table.columns(model(options).levels);
    }

    @Override
    List<String> tableColumns(Options options) {
        return Table.folderColumns(model(options).levels);
    }
}
