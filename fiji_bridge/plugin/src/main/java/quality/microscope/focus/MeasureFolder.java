package quality.microscope.focus;

import ij.IJ;
import ij.ImagePlus;
import ij.io.FileInfo;
import ij.io.Opener;
import ij.io.TiffDecoder;
import ij.measure.Calibration;
import ij.process.ImageConverter;
import java.awt.Toolkit;
import java.awt.image.BufferedImage;
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
import java.util.concurrent.CancellationException;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.regex.PatternSyntaxException;
import javax.imageio.ImageIO;

/**
 * Measures all images of a folder and its subfolders: a row a plane in a table and, where one is
 * named, in a CSV file like the library's {@code results.csv}. A file that cannot be measured
 * is a row with its error.
 */
public final class MeasureFolder extends Command {
    private static final String TITLE = "Measure Folder";
    private static final List<String> SUFFIXES = Arrays.asList(
            ".tif", ".tiff", ".btf", ".tf8", ".lsm", ".stk", ".png", ".jpg", ".jpeg", ".bmp");
    private static final String BITMAP =
            "has 1 bit for each pixel; masks are not measured, images have 8, 16 or 32";
    private static final List<String> GROUPS = Arrays.asList("plate", "well", "site", "channel");

    public MeasureFolder() {
        super(TITLE);
    }

    @Override
    void execute() {
        Options options = options(
                "Measures all images of a folder and of its subfolders: TIFF, PNG, JPEG and BMP. "
                        + "A row for each plane goes into the table <i>" + Table.FOLDER + "</i>. A "
                        + "file that cannot be read is a row with its error. Esc stops, and keeps "
                        + "what is measured, also in the CSV file.");
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
        askForLimit(options);
        askForOptics(options, null);
        options.note("Without a pixel size, each file's own calibration is taken.");
        if (options.ask()) {
            measure(options);
        }
    }

    /** What is asked of every file, and the rows that there are so far. */
    private static final class Folder {
        final Options options;
        final double limit;
        final boolean luminance;
        final Pattern names;
        final Table.Csv csv;
        final List<Map<String, Object>> rows = new ArrayList<>();
        int failed;

        Folder(Options options, Pattern names, Table.Csv csv) {
            this.options = options;
            limit = options.number("in_focus_limit");
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

    private static void measure(Options options) {
        // Fiji's and ImageJ's fields end folders with a slash, which is no name.
        File place = new File(options.text("folder"));
        if (options.text("folder").isEmpty() || !place.isDirectory()) {
            throw FocusException.of(
                    "folder", "must be a folder of images, not '" + options.text("folder") + "'.");
        }
        Pattern names = pattern(options.text("pattern"));
        FocusModel model = FocusModel.load(options.text("model"));
        FocusSettings.of(model).inFocusLimit(options.number("in_focus_limit"));
        List<File> files = new ArrayList<>();
        find(place, files, new HashSet<>());
        if (files.isEmpty()) {
            throw new FocusException(
                    "There is no image in " + place + "; files with these endings are found: "
                            + String.join(" ", SUFFIXES) + ".");
        }
        String csv = options.text("csv");
        int done = 0;
        CancellationException stopped = null;
        Folder folder = null;
        try (Table.Csv table = csv.isEmpty()
                ? null : new Table.Csv(new File(csv), Table.columns(model.levels))) {
            folder = new Folder(options, names, table);
            try {
                for (; done < files.size(); done++) {
                    File file = files.get(done);
                    String name = place.toPath().relativize(file.toPath()).toString()
                            .replace(File.separatorChar, '/');
                    IJ.showStatus(
                            TITLE + ": file " + (done + 1) + " of " + files.size() + ", " + name);
                    stopOnEscape();
                    measure(
                            file, name, folder, (double) done / files.size(), 1.0 / files.size());
                }
            } catch (CancellationException escape) {
                stopped = stopped(
                        folder.rows.size(), "file " + (done + 1) + " of " + files.size());
            }
            if (table != null && !folder.rows.isEmpty()) {
                table.finish();
            }
        } finally {
            if (folder != null && !folder.rows.isEmpty()) {
                Table.add(Table.FOLDER, Table.folderColumns(model.levels), folder.rows);
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
            ImagePlus image = open(file);
            String unread = unreadAxes(image);
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
                    fill(row, plane, image.getCalibration(), folder, start, start + share / planes);
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

    private static void fill(
            Map<String, Object> row, Grey plane, Calibration calibration, Folder folder,
            double from, double to) {
        Options options = folder.options;
        try {
            boolean sizeMissing = !Double.isNaN(options.number("na"))
                    && Double.isNaN(pixelSizeUm(options, calibration));
            // As on the command line: what lacks the optics is measured without them.
            FocusSettings settings = sizeMissing && !options.choice("rescale").equals(ON)
                    ? FocusSettings.of(FocusModel.load(options.text("model")))
                    : settings(options, calibration);
            row.putAll(
                    MicroscopeFocus.measure(
                            plane.pixels, watched(settings.inFocusLimit(folder.limit), from, to))
                            .toRow());
            if (sizeMissing) {
                addMessage(row, "No defocus in \u00b5m. " + Optics.whyNoPixelSize(calibration));
            }
        } catch (FocusException error) {
            row.put("error", options.message(error));
        }
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
        if (first.startsWith("II+\0") || first.startsWith("MM\0+")) {
            throw new IOException(
                    "is a BigTIFF, which ImageJ does not read; microscope-quality does, or save it "
                            + "as an ordinary TIFF");
        }
        boolean tiff = first.startsWith("II*\0") || first.startsWith("MM\0*");
        if (!tiff && !first.startsWith("\u0089PNG") && !first.startsWith("\u00ff\u00d8\u00ff")
                && !first.startsWith("BM")) {
            throw new IOException("is not a TIFF, PNG, JPEG or BMP image");
        }
        // Plugins of Fiji, which read LSM and OME-TIFF, know what their pages are.
        boolean own = new Opener().getFileType(file.getPath()) == Opener.TIFF;
        FileInfo[] infos = tiff ? checkTiff(file, own) : null;
        // ImageJ's readers end the macro, or wait for a click, at a file they cannot read: they only
        // get those that were found to be whole.
        BufferedImage decoded = null;
        if (first.startsWith("\u00ff\u00d8")) {
            checkJpeg(file);
        } else if (!tiff) {
            decoded = decode(file);
        }
        ImagePlus image;
        IJ.redirectErrorMessages(true);
        try {
            image = first.startsWith("BM")
                    ? new ImagePlus(file.getName(), decoded)
                    : new Opener().openImage(file.getPath());
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
        if (tiff && own && image.getStackSize() < infos.length) {
            throw new IOException(
                    "is damaged: of its " + infos.length + " pages, ImageJ reads "
                            + image.getStackSize());
        }
        if (!tiff && image.getType() == ImagePlus.COLOR_256) {
            new ImageConverter(image).convertToRGB();
        }
        return image;
    }

    /** Refuses a JPEG image that is cut short, or that ImageJ cannot decode. */
    private static void checkJpeg(File file) throws IOException {
        if (!isEnded(Files.readAllBytes(file.toPath()))) {
            throw new IOException(
                    "is cut short: its " + file.length()
                            + " bytes lack the end marker (FF D9) of a JPEG image");
        }
        try {
            // As ImageJ does it.
            new ImagePlus("", Toolkit.getDefaultToolkit().createImage(file.getPath())).flush();
        } catch (RuntimeException error) {
            throw new IOException(
                    "cannot be decoded: JPEG images must be whole, and grey or RGB, not CMYK", error);
        }
    }

    /** Decodes a PNG or BMP image, or tells what is wrong with it. */
    private static BufferedImage decode(File file) throws IOException {
        BufferedImage image;
        try {
            image = ImageIO.read(file);
        } catch (IOException | RuntimeException error) {
            String reason = error.getMessage() == null ? error.toString() : error.getMessage();
            throw new IOException("cannot be decoded: " + reason, error);
        }
        if (image == null) {
            throw new IOException("cannot be decoded: it is damaged or of an unknown kind");
        }
        if (image.getColorModel().getPixelSize() == 1) {
            throw new IOException(BITMAP);
        }
        return image;
    }

    /** Tells whether a JPEG image has its end: decoders fill up what is missing with grey. */
    private static boolean isEnded(byte[] content) {
        int at = 2;
        while (at + 1 < content.length) {
            int marker = content[at + 1] & 0xff;
            if (content[at] != (byte) 0xff || marker == 0xff) {
                // Pixels, or a filling byte.
                at++;
            } else if (marker == 0xd9) {
                // Whatever follows the end is free.
                return true;
            } else if (marker == 0 || marker == 1 || marker >= 0xd0 && marker <= 0xd8) {
                // An FF among the pixels, or a marker without content.
                at += 2;
            } else if (at + 3 < content.length) {
                // A segment with its length, such as a preview that has an end of its own.
                at += 2 + ((content[at + 2] & 0xff) << 8 | content[at + 3] & 0xff);
            } else {
                return false;
            }
        }
        return false;
    }

    /**
     * Refuses a TIFF that ImageJ would read wrongly without saying so: pixels that end before they
     * should it fills up with black, and of pages that differ it takes the first alone.
     *
     * @param own whether ImageJ reads the file itself and no plugin does
     */
    private static FileInfo[] checkTiff(File file, boolean own) throws IOException {
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
        FileInfo first = infos[0];
        for (FileInfo info : infos) {
            if (info.width <= 0 || info.height <= 0 || info.getOffset() < 0) {
                throw new IOException("is damaged: it says that it has " + page(info) + " pixels");
            }
            if (info.fileType == FileInfo.BITMAP) {
                throw new IOException(BITMAP);
            }
            if (own && (info.width != first.width || info.height != first.height
                    || info.fileType != first.fileType)) {
                throw new IOException(
                        "has pages of different sizes or types (" + page(first) + ", " + page(info)
                                + "), of which ImageJ reads the first alone; split it into files");
            }
            long end = 0;
            if (info.stripOffsets != null && info.stripLengths != null) {
                for (int i = 0; i < info.stripOffsets.length; i++) {
                    long offset = info.stripOffsets[i] & 0xffffffffL;
                    int stored = i < info.stripLengths.length ? info.stripLengths[i] : 0;
                    end = Math.max(end, offset + (stored & 0xffffffffL));
                }
            }
            if (info.compression <= FileInfo.COMPRESSION_NONE) {
                long pixels = bytesPerRow(info) * info.height;
                end = Math.max(end, info.getOffset() + pixels * Math.max(info.nImages, 1));
            }
            if (end > size) {
                throw new IOException(
                        "is cut short: it has " + size + " bytes, and its pixels end at " + end);
            }
        }
        for (int i = 1; i < infos.length; i++) {
            // ImageJ reads forwards.
            if (own && first.compression <= FileInfo.COMPRESSION_NONE
                    && infos[i].getOffset() < infos[i - 1].getOffset()) {
                throw new IOException(
                        "has its pages in an order that ImageJ does not read (page " + (i + 1)
                                + " lies before page " + i + "); save it anew");
            }
        }
        return infos;
    }

    private static String page(FileInfo info) {
        return info.height + " x " + info.width + ", " + 8 * info.getBytesPerPixel() + "-bit";
    }

    /** Gives the bytes of a row of pixels, which are packed where they have 10 or 12 bits. */
    private static long bytesPerRow(FileInfo info) {
        if (info.fileType == FileInfo.GRAY12_UNSIGNED) {
            return (info.width * 12L + 7) / 8;
        }
        if (info.fileType == FileInfo.GRAY10_UNSIGNED) {
            return (info.width * 10L + 7) / 8;
        }
        return (long) info.width * info.getBytesPerPixel();
    }

    /** Tells what is not known of an OME-TIFF whose axes ImageJ did not read; else it is empty. */
    private static String unreadAxes(ImagePlus image) {
        Object description = image.getProperty("Info");
        boolean ome = String.valueOf(description).contains("<OME ");
        boolean read = image.getNChannels() > 1 || image.getNFrames() > 1;
        return ome && !read && image.getStackSize() > 1
                ? "The axes of this OME-TIFF were not read: z counts its planes as they are stored."
                : "";
    }

    private static void addMessage(Map<String, Object> row, String sentence) {
        String message = Table.text(row.get("message"));
        if (!sentence.isEmpty()) {
            row.put("message", message.isEmpty() ? sentence : message + " " + sentence);
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
            // A folder may be called exp.tif.
            if (file.isDirectory()) {
                find(file, files, entered);
            } else if (image) {
                files.add(file);
            }
        }
    }

    private static boolean isDigit(String part) {
        // Those that \d knows; Character.isDigit knows other scripts' too.
        return !part.isEmpty() && part.charAt(0) >= '0' && part.charAt(0) <= '9';
    }

    /** Compares names so that "b2" comes before "b10". */
    static int compareNaturally(String one, String other) {
        String[] parts = one.toLowerCase(Locale.ROOT).split("(?<=\\d)(?=\\D)|(?<=\\D)(?=\\d)");
        String[] others = other.toLowerCase(Locale.ROOT).split("(?<=\\d)(?=\\D)|(?<=\\D)(?=\\d)");
        for (int i = 0; i < Math.min(parts.length, others.length); i++) {
            boolean numbers = isDigit(parts[i]) && isDigit(others[i]);
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
