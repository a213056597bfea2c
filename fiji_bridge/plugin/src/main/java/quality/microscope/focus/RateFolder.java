package quality.microscope.focus;

import java.util.List;

/** Rates all images of electron microscopes of a folder and its subfolders. */
public final class RateFolder extends FolderCommand {
    public RateFolder() {
        super("Rate Folder", Table.RATED_FOLDER);
    }

    @Override
    void execute() {
        Options options = options(
                "Rates all images of a folder and of its subfolders: TIFF, PNG, JPEG and BMP. A "
                        + "row for each plane goes into the table <i>" + Table.RATED_FOLDER
                        + "</i>. A file that cannot be read is a row with its error. Esc stops, and "
                        + "keeps what is rated, also in the CSV file.");
        askForFolder(options);
        askForRating(options);
        if (options.ask()) {
            measure(options);
        }
    }

    @Override
    Measuring measuring(Options options) {
        RatingSettings settings = ratingSettings(options);
        return (plane, calibration, from, to) ->
                MicroscopeRating.rate(plane.pixels, settings.progress(watched(from, to))).toRow();
    }

    @Override
    List<String> columns(Options options) {
        return Table.ratingColumns();
    }

    @Override
    List<String> tableColumns(Options options) {
        return Table.ratedFolderColumns();
    }
}
