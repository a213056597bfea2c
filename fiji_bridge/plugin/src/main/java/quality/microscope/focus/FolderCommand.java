package quality.microscope.focus;

import ij.IJ;
import ij.ImagePlus;
import ij.measure.Calibration;
import java.io.File;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CancellationException;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.regex.PatternSyntaxException;

/**
 * What the commands have in common that look at all images of a folder and its subfolders: a row a
 * plane in a table and, where one is named, in a CSV file like the library's {@code results.csv}. A
 * file that cannot be measured is a row with its error.
 */
abstract class FolderCommand extends Command {
    private static final List<String> GROUPS = Arrays.asList("plate", "well", "site", "channel");

    private final String title;
    private final String table;

    /**
     * Names the command.
     *
     * @param title in the menu
     * @param table of ImageJ's, to which rows are added
     */
    FolderCommand(String title, String table) {
        super(title);
        this.title = title;
        this.table = table;
    }

    /** Measures a plane; {@code from} and {@code to} are the shares of the work before and after. */
    interface Measuring {
        Map<String, Object> row(Grey plane, Calibration calibration, double from, double to);
    }

    /** Adds the folder, the CSV file and the pattern of names. */
    static void askForFolder(Options options) {
        options.folder("folder", "Folder", "Of the images.");
        options.file(
                "csv", "Write a table to (CSV)",
                "A file with the columns of the command line's <i>results.csv</i>. An older one is "
                        + "replaced; anything else is not.");
        options.text(
                "pattern", "Pattern of names, such as (?<well>[A-H]\\d+)",
                "A regular expression, whose groups <i>plate</i>, <i>well</i>, <i>site</i> and "
                        + "<i>channel</i> are found in each name and fill these columns.");
        askForColour(options, true);
    }

    /** Gives how planes are measured, by what was asked for. */
    abstract Measuring measuring(Options options);

    /** Gives the columns of the CSV file. */
    abstract List<String> columns(Options options);

    /** Gives those of ImageJ's table. */
    abstract List<String> tableColumns(Options options);

    /** What is asked of every file, and the rows that there are so far. */
    private static final class Folder {
        final Options options;
        final Measuring measuring;
        final boolean luminance;
        final Pattern names;
        final Table.Csv csv;
        final List<Map<String, Object>> rows = new ArrayList<>();
        int failed;

        Folder(Options options, Measuring measuring, Pattern names, Table.Csv csv) {
            this.options = options;
            this.measuring = measuring;
            luminance = options.choice("colour").equals(LUMINANCE);
            this.names = names;
            this.csv = csv;
        }

        void add(Map<String, Object> row, String name) {
            row.put("file", name);
            addNames(row, names, name);
            failed += row.containsKey("error") ? 1 : 0;
            rows.add(row);
            if (csv != null) {
                csv.append(row);
            }
        }
    }

    /** Measures the folder that was asked for, and shows the rows. */
    final void measure(Options options) {
        // Fiji's and ImageJ's fields end folders with a slash, which is no name.
        File place = new File(options.text("folder"));
        if (options.text("folder").isEmpty() || !place.isDirectory()) {
            throw FocusException.of(
                    "folder", "must be a folder of images, not '" + options.text("folder") + "'.");
        }
        Pattern names = pattern(options.text("pattern"));
        Measuring measuring = measuring(options);
        List<File> files = new ArrayList<>();
        ImageFiles.find(place, files, new HashSet<>());
        if (files.isEmpty()) {
            throw new FocusException(
                    "There is no image in " + place + "; files with these endings are found: "
                            + String.join(" ", ImageFiles.SUFFIXES) + ".");
        }
        String csv = options.text("csv");
        int done = 0;
        CancellationException stopped = null;
        Folder folder = null;
        try (Table.Csv file = csv.isEmpty()
                ? null : new Table.Csv(new File(csv), columns(options))) {
            folder = new Folder(options, measuring, names, file);
            try {
                for (; done < files.size(); done++) {
                    File next = files.get(done);
                    String name = place.toPath().relativize(next.toPath()).toString()
                            .replace(File.separatorChar, '/');
                    IJ.showStatus(
                            title + ": file " + (done + 1) + " of " + files.size() + ", " + name);
                    stopOnEscape();
                    measure(
                            next, name, folder, (double) done / files.size(), 1.0 / files.size());
                }
            } catch (CancellationException escape) {
                stopped = stopped(
                        folder.rows.size(), "file " + (done + 1) + " of " + files.size());
            }
            if (file != null && !folder.rows.isEmpty()) {
                file.finish();
            }
        } finally {
            if (folder != null && !folder.rows.isEmpty()) {
                Table.add(table, tableColumns(options), folder.rows);
            }
        }
        if (stopped != null) {
            throw stopped;
        }
        int planes = folder.rows.size();
        IJ.showStatus(
                files.size() + (files.size() == 1 ? " file, " : " files, ") + planes
                        + (planes == 1 ? " plane" : " planes")
                        + (folder.failed > 0 ? ", " + folder.failed + " with an error" : ""));
    }

    private static Pattern pattern(String text) {
        if (text.isEmpty()) {
            return null;
        }
        Pattern pattern;
        try {
            // Python writes named groups with a P.
            pattern = Pattern.compile(text.replace("(?P<", "(?<"));
        } catch (PatternSyntaxException error) {
            throw FocusException.of(
                    "pattern", "is no regular expression: " + error.getDescription() + ".");
        }
        List<String> found = new ArrayList<>();
        Matcher groups = Pattern.compile("\\(\\?P?<([A-Za-z]\\w*)>").matcher(text);
        while (groups.find()) {
            found.add(groups.group(1));
        }
        if (found.isEmpty() || !GROUPS.containsAll(found)) {
            throw FocusException.of(
                    "pattern",
                    "needs named groups out of " + String.join(", ", GROUPS)
                            + ", written as (?<well>[A-P]\\d\\d); it has "
                            + (found.isEmpty() ? "none" : String.join(", ", found)) + ".");
        }
        return pattern;
    }

    private static void addNames(Map<String, Object> row, Pattern names, String name) {
        Matcher matcher = names == null ? null : names.matcher(name);
        if (matcher == null || !matcher.find()) {
            return;
        }
        for (String group : GROUPS) {
            if (names.pattern().contains("(?<" + group + ">")) {
                row.put(group, matcher.group(group));
            }
        }
    }

    /** Adds the rows of a file's planes, or one that tells why they cannot be measured. */
    private static void measure(
            File file, String name, Folder folder, double from, double share) {
        try {
            ImagePlus image = ImageFiles.open(file);
            String unread = ImageFiles.unreadAxes(image);
            int planes = image.getStackSize();
            for (int index = 1; index <= planes; index++) {
                int[] place = image.convertIndexToPosition(index);
                double start = from + share * (index - 1) / planes;
                for (Grey plane : read(image, place[0], place[1], place[2], folder.luminance)) {
                    Map<String, Object> row = new LinkedHashMap<>();
                    place(row, image, plane);
                    if (image.isInvertedLut()) {
                        // The file's 0 is white.
                        plane.pixels.invert();
                    }
                    try {
                        row.putAll(folder.measuring.row(
                                plane, image.getCalibration(), start, start + share / planes));
                    } catch (FocusException error) {
                        row.put("error", folder.options.message(error));
                    }
                    addMessage(row, unread);
                    folder.add(row, name);
                }
            }
            image.flush();
        } catch (IOException | FocusException error) {
            folder.add(failure(error.getMessage()), name);
        } catch (OutOfMemoryError error) {
            folder.add(failure("is too large for the memory that ImageJ has"), name);
        }
    }

    private static Map<String, Object> failure(String message) {
        Map<String, Object> row = new LinkedHashMap<>();
        row.put("error", message);
        return row;
    }

    /** Adds a sentence to what has to be said beside a row's numbers. */
    static void addMessage(Map<String, Object> row, String sentence) {
        String message = Table.text(row.get("message"));
        if (!sentence.isEmpty()) {
            row.put("message", message.isEmpty() ? sentence : message + " " + sentence);
        }
    }
}
