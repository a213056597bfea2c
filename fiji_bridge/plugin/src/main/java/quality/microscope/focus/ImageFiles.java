package quality.microscope.focus;

import ij.IJ;
import ij.ImagePlus;
import ij.io.FileInfo;
import ij.io.Opener;
import ij.io.TiffDecoder;
import ij.process.ImageConverter;
import java.awt.Toolkit;
import java.awt.image.BufferedImage;
import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import javax.imageio.ImageIO;

/** Finds images in folders, and opens those that are whole. */
final class ImageFiles {
    /** Endings of the names of files that are images. */
    static final List<String> SUFFIXES = Arrays.asList(
            ".tif", ".tiff", ".btf", ".tf8", ".lsm", ".stk", ".png", ".jpg", ".jpeg", ".bmp");

    private static final String BITMAP =
            "has 1 bit for each pixel; masks are not measured, images have 8, 16 or 32";

    private ImageFiles() {}

    /**
     * Opens an image that is found to be whole.
     *
     * @throws IOException when it cannot be read; the message says why
     */
    static ImagePlus open(File file) throws IOException {
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
    static String unreadAxes(ImagePlus image) {
        Object description = image.getProperty("Info");
        boolean ome = String.valueOf(description).contains("<OME ");
        boolean read = image.getNChannels() > 1 || image.getNFrames() > 1;
        return ome && !read && image.getStackSize() > 1
                ? "The axes of this OME-TIFF were not read: z counts its planes as they are stored."
                : "";
    }

    /** Lists images in natural order, names that start with a dot left out, no folder twice. */
    static void find(File folder, List<File> files, Set<String> entered) {
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
        Arrays.sort(names, ImageFiles::compareNaturally);
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
