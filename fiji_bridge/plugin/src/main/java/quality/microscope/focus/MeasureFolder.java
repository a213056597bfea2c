package quality.microscope.focus;

import ij.IJ;
import ij.ImagePlus;
import ij.io.FileInfo;
import ij.io.Opener;
import ij.io.TiffDecoder;
import ij.process.ImageConverter;
import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.regex.PatternSyntaxException;

/**
 * Measures all images of a folder and its subfolders: a row a plane in the Results table and, where
 * one is named, in a CSV file like the library's {@code results.csv}. A file that cannot be measured
 * is a row with its error.
 */
public final class MeasureFolder extends Command {
    private static final String TITLE = "Measure Folder";
    private static final List<String> SUFFIXES = Arrays.asList(
            ".tif", ".tiff", ".btf", ".tf8", ".lsm", ".stk", ".png", ".jpg", ".jpeg", ".bmp");
    private static final List<String> GROUPS = Arrays.asList("plate", "well", "site", "channel");

    public MeasureFolder() {
        super(TITLE);
    }

    @Override
    void execute() {
        Options options = new Options(TITLE);
        options.folder("folder", "Folder");
        options.file("csv", "Write a table to (CSV)");
        options.text("pattern", "Pattern of names, such as (?<well>[A-H]\\d+)");
        askForColour(options, true);
        askForLimit(options);
        askForOptics(options, null);
        options.note("Without a pixel size, each file's own calibration is taken.");
        if (options.ask()) {
            measure(options);
        }
    }

    private static void measure(Options options) {
        // Fiji's and ImageJ's fields end folders with a slash, which is no name.
        File folder = new File(options.text("folder"));
        if (options.text("folder").isEmpty() || !folder.isDirectory()) {
            throw new FocusException(
                    "folder must be a folder of images, not '" + options.text("folder") + "'.");
        }
        Pattern names = pattern(options.text("pattern"));
        double limit = options.number("in_focus_limit");
        FocusModel model = FocusModel.load(options.text("model"));
        FocusSettings.of(model).inFocusLimit(limit);
        List<File> files = new ArrayList<>();
        find(folder, files, new HashSet<>());
        if (files.isEmpty()) {
            throw new FocusException(
                    "There is no image in " + folder + "; files with these endings are found: "
                            + String.join(" ", SUFFIXES) + ".");
        }
        List<String> columns = Table.columns(model.levels);
        List<Map<String, Object>> rows = new ArrayList<>();
        String csv = options.text("csv");
        int failed = 0;
        try (Table.Csv table =
                csv.isEmpty() ? null : new Table.Csv(new File(csv), columns)) {
            for (int i = 0; i < files.size(); i++) {
                String name = folder.toPath().relativize(files.get(i).toPath()).toString()
                        .replace(File.separatorChar, '/');
                IJ.showStatus(TITLE + ": " + name);
                double from = (double) i / files.size();
                for (Map<String, Object> row
                        : rows(files.get(i), options, limit, from, 1.0 / files.size())) {
                    row.put("file", name);
                    addNames(row, names, name);
                    failed += row.containsKey("error") ? 1 : 0;
                    rows.add(row);
                    if (table != null) {
                        table.append(row);
                    }
                }
            }
            if (table != null) {
                table.finish();
            }
        } finally {
            Table.addToResults(columns, rows);
        }
        IJ.showStatus(
                files.size() + (files.size() == 1 ? " file, " : " files, ") + rows.size()
                        + (rows.size() == 1 ? " plane" : " planes")
                        + (failed > 0 ? ", " + failed + " with an error" : ""));
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
            throw new FocusException(
                    "pattern is no regular expression: " + error.getDescription() + ".");
        }
        List<String> found = new ArrayList<>();
        Matcher groups = Pattern.compile("\\(\\?P?<([A-Za-z]\\w*)>").matcher(text);
        while (groups.find()) {
            found.add(groups.group(1));
        }
        if (found.isEmpty() || !GROUPS.containsAll(found)) {
            throw new FocusException(
                    "pattern needs named groups out of " + String.join(", ", GROUPS)
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

    /** Measures the planes of a file, or tells in one row why they cannot be. */
    private static List<Map<String, Object>> rows(
            File file, Options options, double limit, double from, double share) {
        List<Map<String, Object>> rows = new ArrayList<>();
        try {
            ImagePlus image = open(file);
            int planes = image.getStackSize();
            for (int index = 1; index <= planes; index++) {
                int[] place = image.convertIndexToPosition(index);
                boolean luminance = options.choice("colour").equals(LUMINANCE);
                double start = from + share * (index - 1) / planes;
                for (Grey plane : read(image, place[0], place[1], place[2], luminance)) {
                    Map<String, Object> row = new LinkedHashMap<>();
                    place(row, image, plane);
                    try {
                        FocusSettings settings =
                                settings(options, Optics.pixelSizeUm(image.getCalibration()))
                                        .inFocusLimit(limit);
                        if (image.isInvertedLut()) {
                            // The file's 0 is white.
                            plane.pixels.invert();
                        }
                        row.putAll(MicroscopeFocus.measure(
                                plane.pixels, watched(settings, start, start + share / planes))
                                .toRow());
                    } catch (FocusException error) {
                        row.put("error", error.getMessage());
                    }
                    rows.add(row);
                }
            }
            image.flush();
        } catch (IOException | FocusException error) {
            rows.add(failure(error.getMessage()));
        } catch (OutOfMemoryError error) {
            rows.add(failure("is too large for the memory that ImageJ has"));
        }
        return rows;
    }

    private static Map<String, Object> failure(String message) {
        Map<String, Object> row = new LinkedHashMap<>();
        row.put("error", message);
        return row;
    }

    private static ImagePlus open(File file) throws IOException {
        byte[] start = new byte[12];
        int length;
        try (InputStream stream = Files.newInputStream(file.toPath())) {
            length = Math.max(stream.read(start), 0);
        }
        if (length == 0) {
            throw new IOException("is empty (0 bytes)");
        }
        String first = new String(start, 0, length, "ISO-8859-1");
        boolean tiff = first.startsWith("II*\0") || first.startsWith("MM\0*")
                || first.startsWith("II+\0") || first.startsWith("MM\0+");
        if (!tiff && !first.startsWith("\u0089PNG") && !first.startsWith("\u00ff\u00d8\u00ff")
                && !first.startsWith("BM")) {
            throw new IOException("is not a TIFF, PNG, JPEG or BMP image");
        }
        if (tiff) {
            checkComplete(file);
        }
        ImagePlus image;
        IJ.redirectErrorMessages(true);
        try {
            image = new Opener().openImage(file.getPath());
        } catch (RuntimeException error) {
            throw new IOException("cannot be decoded: " + error, error);
        } finally {
            IJ.redirectErrorMessages(false);
        }
        if (image == null) {
            String reason = IJ.getErrorMessage();
            throw new IOException(
                    "cannot be decoded" + (reason == null ? "" : ": " + reason.trim()));
        }
        if (!tiff && image.getType() == ImagePlus.COLOR_256) {
            new ImageConverter(image).convertToRGB();
        }
        return image;
    }

    /** Refuses a TIFF whose pixels end before they should: ImageJ would fill them up with black. */
    private static void checkComplete(File file) throws IOException {
        FileInfo[] infos;
        try {
            infos = new TiffDecoder(file.getParent() + File.separator, file.getName())
                    .getTiffInfo();
        } catch (RuntimeException error) {
            throw new IOException("is damaged or cut short: " + error, error);
        }
        if (infos == null || infos.length == 0) {
            throw new IOException("holds no image");
        }
        long size = file.length();
        for (FileInfo info : infos) {
            long end = 0;
            if (info.stripOffsets != null && info.stripLengths != null) {
                for (int i = 0; i < info.stripOffsets.length; i++) {
                    long offset = info.stripOffsets[i] & 0xffffffffL;
                    int stored = i < info.stripLengths.length ? info.stripLengths[i] : 0;
                    end = Math.max(end, offset + (stored & 0xffffffffL));
                }
            }
            if (info.compression <= FileInfo.COMPRESSION_NONE) {
                long pixels = (long) info.width * info.height * info.getBytesPerPixel();
                end = Math.max(end, info.getOffset() + pixels * Math.max(info.nImages, 1));
            }
            if (end > size) {
                throw new IOException(
                        "is cut short: it has " + size + " bytes, and its pixels end at " + end);
            }
        }
    }

    /** Lists images in natural order, names that start with a dot left out, no folder twice. */
    private static void find(File folder, List<File> files, Set<String> entered) {
        try {
            if (!entered.add(folder.getCanonicalPath())) {
                return;
            }
        } catch (IOException error) {
            return;
        }
        String[] names = folder.list();
        if (names == null) {
            return;
        }
        boolean results = Arrays.asList(names).contains("results.csv");
        Arrays.sort(names, MeasureFolder::compareNaturally);
        for (String name : names) {
            File file = new File(folder, name);
            String lower = name.toLowerCase(Locale.ROOT);
            boolean image = SUFFIXES.stream().anyMatch(lower::endsWith);
            if (name.startsWith(".") || results && name.equals("overlays")) {
                continue;
            }
            if (image) {
                files.add(file);
            } else if (file.isDirectory()) {
                find(file, files, entered);
            }
        }
    }

    /** Compares names so that "b2" comes before "b10". */
    static int compareNaturally(String one, String other) {
        String[] parts = one.toLowerCase(Locale.ROOT).split("(?<=\\d)(?=\\D)|(?<=\\D)(?=\\d)");
        String[] others = other.toLowerCase(Locale.ROOT).split("(?<=\\d)(?=\\D)|(?<=\\D)(?=\\d)");
        for (int i = 0; i < Math.min(parts.length, others.length); i++) {
            boolean numbers = Character.isDigit(parts[i].charAt(0))
                    && Character.isDigit(others[i].charAt(0));
            int order = numbers
                    ? new java.math.BigInteger(parts[i]).compareTo(
                            new java.math.BigInteger(others[i]))
                    : parts[i].compareTo(others[i]);
            if (order != 0) {
                return order;
            }
        }
        return parts.length != others.length ? parts.length - others.length : one.compareTo(other);
    }
}
