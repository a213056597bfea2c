package quality.microscope.focus;

import ij.IJ;
import ij.measure.ResultsTable;
import java.awt.GraphicsEnvironment;
import java.io.BufferedReader;
import java.io.BufferedWriter;
import java.io.Closeable;
import java.io.File;
import java.io.IOException;
import java.math.BigDecimal;
import java.math.MathContext;
import java.math.RoundingMode;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** Rows of results, in ImageJ's tables and in CSV files like the library's. */
final class Table {
    /** Title of the table of Measure Focus. */
    static final String PLANES = "Focus of Planes";
    /** Title of the table of Rate Image. */
    static final String RATINGS = "Rating of Planes";
    /** Title of the table of Find Best Focus Plane. */
    static final String STACKS = "Focus of Stacks";
    /** Title of the table of Focus of ROIs. */
    static final String ROIS = "Focus of ROIs";
    /** Title of the table of Measure Folder. */
    static final String FOLDER = "Focus of Folder";
    /** Title of the table of Rate Folder. */
    static final String RATED_FOLDER = "Rating of Folder";

    private static final List<String> GROUPS = Arrays.asList("plate", "well", "site", "channel");
    // As many as CSV files have of numbers below 1.
    private static final int DECIMALS = 6;

    private Table() {}

    /** Gives the columns of {@code results.csv}: one row a plane. */
    static List<String> columns(int levels) {
        List<String> columns = new ArrayList<>(Arrays.asList((
                "file plate well site channel z c t width height level expected_level certainty "
                        + "mean_certainty max_certainty weighted_certainty status "
                        + "blur_diameter_px defocus_um saturated_fraction").split(" ")));
        addProbabilities(columns, levels);
        columns.addAll(Arrays.asList("error", "series", "message", "binning"));
        return columns;
    }

    /** Gives those of them that planes of an open image have. */
    static List<String> planeColumns(int levels) {
        List<String> columns = folderColumns(levels);
        columns.removeAll(GROUPS);
        columns.remove("error");
        return columns;
    }

    /** Gives those of them that files have in ImageJ, of which it reads the first series. */
    static List<String> folderColumns(int levels) {
        List<String> columns = columns(levels);
        columns.remove("series");
        return columns;
    }

    /** Gives the columns of {@code results.csv} of ratings: one row a plane. */
    static List<String> ratingColumns() {
        return new ArrayList<>(Arrays.asList((
                "file plate well site channel z c t width height score blur_px elongation angle_deg "
                        + "noise line_noise jitter_px status cause action saturated_fraction error "
                        + "series message score_low score_high patches blank_fraction").split(" ")));
    }

    /** Gives those of them that planes of an open image have. */
    static List<String> ratedPlaneColumns() {
        List<String> columns = ratedFolderColumns();
        columns.removeAll(GROUPS);
        columns.remove("error");
        return columns;
    }

    /** Gives those of them that files have in ImageJ, of which it reads the first series. */
    static List<String> ratedFolderColumns() {
        List<String> columns = ratingColumns();
        columns.remove("series");
        return columns;
    }

    /** Gives the columns of {@code stacks.csv}: one row a z-stack. */
    static List<String> stackColumns() {
        return Arrays.asList(
                "file", "c", "t", "best_z", "expected_level", "status", "best_position", "message");
    }

    /** Gives the columns for regions of interest: one row each. */
    static List<String> roiColumns(int levels) {
        List<String> columns = new ArrayList<>(Arrays.asList(
                "file", "z", "c", "t", "roi", "y", "x", "level", "expected_level", "certainty",
                "blur_diameter_px", "defocus_um"));
        addProbabilities(columns, levels);
        columns.add("message");
        return columns;
    }

    private static void addProbabilities(List<String> columns, int levels) {
        for (int k = 0; k < levels; k++) {
            columns.add("p" + k);
        }
    }

    /**
     * Adds rows to a table of ImageJ's: that of a command, or the Results table where there is no
     * screen, and so no other. What is undefined is empty, never 0 or NaN. The parts of names that
     * no row has are left out.
     */
    static void add(String title, List<String> columns, List<Map<String, Object>> rows) {
        boolean windows = IJ.getInstance() != null && !GraphicsEnvironment.isHeadless();
        ResultsTable table = windows
                ? ResultsTable.getResultsTable(title) : ResultsTable.getResultsTable();
        if (table == null) {
            table = new ResultsTable();
            table.setPrecision(DECIMALS);
        }
        table.setNaNEmptyCells(true);
        List<String> used = new ArrayList<>();
        boolean complete = true;
        for (String column : columns) {
            boolean there = table.columnExists(column);
            boolean needed = there || !GROUPS.contains(column);
            for (Map<String, Object> row : rows) {
                needed |= !text(row.get(column)).isEmpty();
            }
            if (needed) {
                used.add(column);
                complete &= there;
            }
        }
        if (!complete) {
            arrange(table, used);
        }
        for (Map<String, Object> row : rows) {
            addRow(table, used, row);
        }
        table.show(windows ? title : "Results");
    }

    /** Puts some columns first, in their order; in rows that lack one it is empty. */
    private static void arrange(ResultsTable table, List<String> first) {
        List<String> before = new ArrayList<>();
        for (String heading : table.getHeadings()) {
            if (table.columnExists(heading)) {
                before.add(heading);
            }
        }
        Set<String> columns = new LinkedHashSet<>(first);
        columns.addAll(before);
        List<Map<String, Object>> rows = new ArrayList<>();
        List<String> labels = new ArrayList<>();
        for (int row = 0; row < table.size(); row++) {
            Map<String, Object> values = new LinkedHashMap<>();
            for (String column : before) {
                double number = table.getValue(column, row);
                String words = table.getStringValue(column, row);
                boolean text = Double.isNaN(number) && !"NaN".equals(words);
                values.put(column, text ? words : number);
            }
            rows.add(values);
            labels.add(table.getLabel(row));
        }
        table.reset();
        for (int row = 0; row < rows.size(); row++) {
            addRow(table, columns, rows.get(row));
            if (labels.get(row) != null) {
                table.setLabel(labels.get(row), row);
            }
        }
    }

    private static void addRow(
            ResultsTable table, Iterable<String> columns, Map<String, Object> row) {
        table.incrementCounter();
        for (String column : columns) {
            Object value = row.get(column);
            if (value instanceof Number && !Double.isNaN(((Number) value).doubleValue())) {
                table.addValue(column, ((Number) value).doubleValue());
            } else {
                table.addValue(column, value instanceof Number ? "" : text(value));
            }
        }
        // What other commands measured, such as an area, is unknown here; ImageJ would put 0.
        for (String heading : table.getHeadings()) {
            if (!row.containsKey(heading) && table.columnExists(heading)) {
                table.addValue(heading, "");
            }
        }
    }

    /** A CSV file that grows beside its place and is put into it when it is complete. */
    static final class Csv implements Closeable {
        private final Path path;
        private final Path part;
        private final List<String> columns;
        private final BufferedWriter writer;

        /**
         * Starts the table.
         *
         * @throws FocusException when at that place is anything but an older table of this kind, or
         *     nothing can be written there
         */
        Csv(File file, List<String> columns) {
            path = file.toPath().toAbsolutePath();
            part = path.resolveSibling(path.getFileName() + ".part");
            this.columns = columns;
            checkReplaceable();
            try {
                writer = Files.newBufferedWriter(part, StandardCharsets.UTF_8);
                writer.write(String.join(",", columns) + "\r\n");
            } catch (IOException error) {
                throw unwritable(error);
            }
        }

        private void checkReplaceable() {
            if (!Files.exists(path)) {
                return;
            }
            if (Files.isDirectory(path)) {
                throw FocusException.of(
                        "csv",
                        "must be a file, such as " + path.resolve("results.csv") + "; " + path
                                + " is a folder.");
            }
            List<String> header = new ArrayList<>();
            try (BufferedReader reader = Files.newBufferedReader(path, StandardCharsets.UTF_8)) {
                String line = reader.readLine();
                header = Arrays.asList((line == null ? "" : line).split(","));
            } catch (CharacterCodingException error) {
                header = new ArrayList<>();
            } catch (IOException error) {
                throw unwritable(error);
            }
            int common = Math.min(header.size(), columns.size());
            if (common < 3 || !header.subList(0, common).equals(columns.subList(0, common))) {
                throw new FocusException(
                        path + " is there already and is not a table of this kind; move it away or "
                                + "choose another file.");
            }
        }

        void append(Map<String, Object> row) {
            List<String> fields = new ArrayList<>();
            for (String column : columns) {
                String field = text(row.get(column));
                boolean plain = !field.matches("(?s).*[,\"\r\n].*");
                fields.add(plain ? field : '"' + field.replace("\"", "\"\"") + '"');
            }
            try {
                writer.write(String.join(",", fields) + "\r\n");
                writer.flush();
            } catch (IOException error) {
                throw unwritable(error);
            }
        }

        /** Puts the complete table in its place, in one step. */
        void finish() {
            try {
                writer.close();
                Files.move(part, path, StandardCopyOption.REPLACE_EXISTING,
                        StandardCopyOption.ATOMIC_MOVE);
            } catch (IOException error) {
                throw unwritable(error);
            }
        }

        /** Stops writing; what is not finished stays in {@code NAME.part}. */
        @Override
        public void close() {
            try {
                writer.close();
            } catch (IOException error) {
                throw unwritable(error);
            }
        }

        private FocusException unwritable(IOException error) {
            return new FocusException(path + " cannot be written: " + error, error);
        }
    }

    /** Gives a field: whole numbers in full, others to 6 significant digits, NaN and null empty. */
    static String text(Object value) {
        if (value == null) {
            return "";
        }
        if (value instanceof Double) {
            double number = (Double) value;
            return Double.isNaN(number) ? "" : general(number, 6);
        }
        return value.toString();
    }

    /** Writes a number to so many significant digits, as C's {@code %g} does. */
    static String general(double value, int digits) {
        if (Double.isNaN(value) || Double.isInfinite(value)) {
            return Double.isNaN(value) ? "nan" : value > 0 ? "inf" : "-inf";
        }
        if (value == 0) {
            return "0";
        }
        BigDecimal rounded =
                new BigDecimal(value).round(new MathContext(digits, RoundingMode.HALF_EVEN));
        rounded = rounded.stripTrailingZeros();
        int exponent = rounded.precision() - rounded.scale() - 1;
        if (exponent >= -4 && exponent < digits) {
            return rounded.toPlainString();
        }
        String mantissa = rounded.movePointLeft(exponent).stripTrailingZeros().toPlainString();
        return mantissa + "e" + (exponent < 0 ? "-" : "+") + (Math.abs(exponent) < 10 ? "0" : "")
                + Math.abs(exponent);
    }

    /** Writes a number with so many decimals. */
    static String fixed(double value, int decimals) {
        return Double.isNaN(value)
                ? "?"
                : new BigDecimal(value).setScale(decimals, RoundingMode.HALF_EVEN).toPlainString();
    }
}
