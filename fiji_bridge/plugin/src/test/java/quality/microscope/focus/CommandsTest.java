package quality.microscope.focus;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertNotNull;
import static org.junit.Assert.assertNull;
import static org.junit.Assert.assertSame;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import ij.IJ;
import ij.ImagePlus;
import ij.ImageStack;
import ij.WindowManager;
import ij.gui.Overlay;
import ij.gui.PointRoi;
import ij.gui.Roi;
import ij.gui.TextRoi;
import ij.io.FileInfo;
import ij.io.FileSaver;
import ij.macro.Interpreter;
import ij.measure.Calibration;
import ij.plugin.FileInfoVirtualStack;
import ij.process.ByteProcessor;
import ij.process.ColorProcessor;
import ij.process.FloatProcessor;
import ij.process.ImageProcessor;
import ij.process.LUT;
import java.awt.event.KeyEvent;
import java.awt.image.BufferedImage;
import java.awt.image.DataBuffer;
import java.awt.image.DataBufferByte;
import java.awt.image.Raster;
import java.awt.image.WritableRaster;
import java.io.ByteArrayOutputStream;
import java.io.File;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CancellationException;
import java.util.concurrent.atomic.AtomicBoolean;
import javax.imageio.IIOImage;
import javax.imageio.ImageIO;
import javax.imageio.ImageWriter;
import javax.imageio.stream.ImageOutputStream;
import org.junit.Test;

/** The menu entries, run as macros and scripts run them, without a screen. */
public class CommandsTest extends MenuTest {
    private static ImagePlus hyperstack() {
        ImagePlus file = Sample.open("B03_s1_dna_stack.tif");
        ImageStack stack = new ImageStack(168, 168);
        for (int t = 0; t < 2; t++) {
            for (int z = 1; z <= 8; z++) {
                for (int c = 0; c < 2; c++) {
                    int from = c == 0 ? z : 9 - z;
                    stack.addSlice(file.getStack().getProcessor(from).duplicate());
                }
            }
        }
        ImagePlus image = new ImagePlus("hyper", stack);
        image.setDimensions(2, 8, 2);
        image.setOpenAsHyperStack(true);
        return image;
    }

    @Test
    public void measureFocusWritesTheLibrarysColumns() {
        ImagePlus image = Sample.open("A02_s1_dna.tif");
        run(image, "Measure Focus...", "overlay legend na=0.5 wavelength_um=0.5 "
                + "refractive_index=1 pixel_size_um=0.65");
        FocusResult expected = MicroscopeFocus.measure(
                image.getProcessor(), FocusSettings.standard().optics(0.5, 1, 0.5, 0.65));
        assertEquals(1, results().size());
        assertEquals("A02_s1_dna.tif", results().getStringValue("file", 0));
        assertEquals(expected.level, results().getValue("level", 0), 0);
        assertEquals(expected.expectedLevel, results().getValue("expected_level", 0), 0);
        assertEquals(expected.status, results().getStringValue("status", 0));
        assertEquals(expected.defocusUm, results().getValue("defocus_um", 0), 0);
        assertEquals(expected.probabilities[3], results().getValue("p3", 0), 0);
        List<String> known = Table.columns(11);
        for (String heading : results().getHeadings()) {
            assertTrue(heading, known.contains(heading));
        }
        // A tint and a border for each patch, the verdict and the legend.
        int legend = Overlays.legend(336, 420, 11).size();
        assertEquals(2 * 20 + legend + 1, image.getOverlay().size());
        assertTrue(image.lockSilently());
        image.unlock();
    }

    @Test
    public void withoutOptionsAMacroHasTheDefaults() {
        ImagePlus image = Sample.open("A02_s1_dna.tif");
        run(image, "Measure Focus...", "");
        assertEquals(1, results().size());
        assertTrue(image.getOverlay().size() > 40);
        // Unknown, and not 0.
        assertEquals("", results().getStringValue("defocus_um", 0));
        assertTrue(Double.isNaN(results().getValue("defocus_um", 0)));
    }

    @Test
    public void withoutAScreenMacrosReadTheResultsTable() {
        ImagePlus image = Sample.open("A02_s1_dna.tif");
        WindowManager.setTempCurrentImage(image);
        String said = IJ.runMacro(
                "run('Measure Focus...', ''); return d2s(getResult('expected_level', nResults - 1), 6)"
                        + " + getResultString('status', nResults - 1);");
        FocusResult expected = MicroscopeFocus.measure(image);
        assertEquals(Table.fixed(expected.expectedLevel, 6) + expected.status, said);
    }

    @Test
    public void theOverlayIsReplacedAndOthersStay() {
        ImagePlus image = Sample.open("A02_s1_dna.tif");
        Roi mine = new Roi(5, 5, 20, 20);
        mine.setName("mine");
        image.setOverlay(new Overlay(mine));
        run(image, "Measure Focus...", "overlay");
        run(image, "Measure Focus...", "overlay");
        assertEquals(1 + 40, image.getOverlay().size());
        run(image, "Measure Focus...", "in_focus_limit=1");
        assertEquals(1, image.getOverlay().size());
        assertEquals("mine", image.getOverlay().get(0).getName());
    }

    @Test
    public void allPlanesOfAHyperstackCountFromOne() {
        ImagePlus image = hyperstack();
        run(image, "Measure Focus...", "planes=all overlay legend");
        assertEquals(32, results().size());
        int legend = Overlays.legend(168, 168, 11).size();
        assertEquals(32 * (2 * 4 + 1) + legend, image.getOverlay().size());
        int row = 0;
        for (int t = 1; t <= 2; t++) {
            for (int z = 1; z <= 8; z++) {
                for (int c = 1; c <= 2; c++) {
                    assertEquals(c, results().getValue("c", row), 0);
                    assertEquals(z, results().getValue("z", row), 0);
                    assertEquals(t, results().getValue("t", row), 0);
                    FocusResult expected = MicroscopeFocus.measure(
                            image.getStack().getProcessor(image.getStackIndex(c, z, t)));
                    assertEquals(
                            expected.expectedLevel, results().getValue("expected_level", row), 0);
                    row++;
                }
            }
        }
        Roi last = image.getOverlay().get(image.getOverlay().size() - 1);
        assertEquals(2, last.getCPosition());
        assertEquals(8, last.getZPosition());
        assertEquals(2, last.getTPosition());
    }

    @Test
    public void aVirtualStackIsReadPlaneByPlane() throws IOException {
        ImagePlus memory = Sample.open("B03_s1_dna_stack.tif");
        File file = temporary.newFile("stack.tif");
        new FileSaver(memory).saveAsTiffStack(file.getPath());
        FileInfo[] info = ij.io.Opener.getTiffFileInfo(file.getPath());
        ImagePlus image = new ImagePlus("virtual", new FileInfoVirtualStack(info[0], false));
        assertTrue(image.getStack().isVirtual());
        run(image, "Measure Focus...", "planes=all");
        run(memory, "Measure Focus...", "planes=all");
        assertEquals(16, results().size());
        for (int i = 0; i < 8; i++) {
            assertEquals(
                    results().getValue("expected_level", i + 8),
                    results().getValue("expected_level", i), 0);
        }
    }

    @Test
    public void theOtherPlanesAreNotMeasuredUnlessAsked() {
        ImagePlus image = hyperstack();
        image.setPosition(2, 5, 2);
        run(image, "Measure Focus...", "planes=current overlay");
        assertEquals(1, results().size());
        assertEquals(5, results().getValue("z", 0), 0);
        assertEquals(5, image.getOverlay().get(0).getZPosition());
    }

    @Test
    public void colourIsMeasuredByChannelsOrLuminance() {
        ImageProcessor red = Sample.open("A01_s1_dna.tif").getProcessor().convertToByte(true);
        ImageProcessor green = Sample.open("A02_s1_dna.tif").getProcessor().convertToByte(true);
        ColorProcessor colours = new ColorProcessor(420, 336);
        colours.setChannel(1, (ByteProcessor) red);
        colours.setChannel(2, (ByteProcessor) green);
        ImagePlus image = new ImagePlus("colour", colours);
        run(image, "Measure Focus...", "colour=channels overlay");
        assertEquals(3, results().size());
        for (int c = 1; c <= 3; c++) {
            assertEquals(c, results().getValue("c", c - 1), 0);
        }
        assertEquals(0, results().getValue("level", 0), 0);
        assertEquals("no_content", results().getStringValue("status", 2));
        // No number where there is none.
        assertTrue(Double.isNaN(results().getValue("level", 2)));
        assertEquals("", results().getStringValue("level", 2));
        assertEquals(40, image.getOverlay().size());
        run(image, "Measure Focus...", "colour=luminance");
        assertEquals(4, results().size());
        assertEquals(
                MicroscopeFocus.measure(MicroscopeFocus.luminance(colours)).expectedLevel,
                results().getValue("expected_level", 3), 0);
        colours.setChannel(1, (ByteProcessor) green);
        colours.setChannel(3, (ByteProcessor) green);
        run(image, "Measure Focus...", "colour=channels");
        assertEquals("Equal channels are one grey image.", 5, results().size());
    }

    @Test
    public void aSmallImageHasARowAndASentence() {
        for (int side : new int[] {1, 83}) {
            ImagePlus image = new ImagePlus("small", Sample.noise(side, side));
            run(image, "Measure Focus...", "overlay legend level_map certainty_map "
                    + "probability_stack");
            int row = results().size() - 1;
            assertEquals("too_small", results().getStringValue("status", row));
            assertTrue(results().getStringValue("message", row).contains("a patch needs 84 x 84"));
        }
    }

    @Test
    public void mapsAreCalibratedFloatImages() {
        ImagePlus image = Sample.open("A02_s2_dna.tif");
        Calibration calibration = image.getCalibration();
        calibration.setUnit("micron");
        calibration.pixelWidth = 0.65;
        calibration.pixelHeight = 0.65;
        FocusResult expected = MicroscopeFocus.measure(image);
        run(image, "Measure Focus...", "level_map certainty_map probability_stack");
        ImagePlus stack = WindowManager.getCurrentImage();
        assertEquals("Probabilities of A02_s2_dna.tif", stack.getTitle());
        assertEquals(11, stack.getStackSize());
        ImagePlus levels = shown("Level of A02_s2_dna.tif");
        ImagePlus certainties = shown("Certainty of A02_s2_dna.tif");
        for (ImagePlus map : new ImagePlus[] {stack, levels, certainties}) {
            assertTrue(map.getProcessor() instanceof FloatProcessor);
            assertEquals(0.65, map.getCalibration().pixelWidth, 0);
            assertEquals("micron", map.getCalibration().getUnit());
            assertEquals(420, map.getWidth());
            assertEquals(336, map.getHeight());
        }
        for (int i = 0; i < expected.patchPositions.length; i++) {
            int y = expected.patchPositions[i][0] + 83;
            int x = expected.patchPositions[i][1] + 83;
            assertEquals(expected.patchLevels[i], levels.getProcessor().getf(x, y), 0);
            assertEquals(
                    expected.patchCertainties[i], certainties.getProcessor().getf(x, y), 1e-6);
            assertEquals(
                    expected.patchProbabilities[i][4],
                    stack.getStack().getProcessor(5).getf(x, y), 1e-6);
        }
        assertEquals(10, levels.getDisplayRangeMax(), 0);
    }

    private static ImagePlus shown(String title) {
        for (int id : Interpreter.getBatchModeImageIDs()) {
            ImagePlus image = Interpreter.getBatchModeImage(id);
            if (image.getTitle().equals(title)) {
                return image;
            }
        }
        return null;
    }

    @Test
    public void calibrationAndNaGiveMicrometres() {
        ImagePlus image = Sample.open("A02_s1_dna.tif");
        Calibration calibration = image.getCalibration();
        calibration.setUnit("nm");
        calibration.pixelWidth = 200;
        calibration.pixelHeight = 200;
        // The key alone, as macros of the plugin's checkbox have it, is "on".
        String[] options = {"na=0.75", "na=0.75 rescale", "na=0.75 rescale=on", "na=0.75 rescale=off"};
        FocusSettings settings = FocusSettings.standard().optics(0.75, 1, 0.5, 0.2);
        FocusResult expected = MicroscopeFocus.measure(image.getProcessor(), settings);
        assertEquals(168, expected.patchSizePx, 0);
        for (int i = 0; i < options.length; i++) {
            run(image, "Measure Focus...", options[i]);
            boolean off = options[i].endsWith("off");
            FocusResult own = off
                    ? MicroscopeFocus.measure(image.getProcessor(), settings.rescale(false))
                    : expected;
            assertEquals(own.defocusUm, results().getValue("defocus_um", i), 1e-9);
            assertEquals(off ? 1 : 2, results().getValue("binning", i), 0);
        }
        // Macros can hand over variables.
        WindowManager.setTempCurrentImage(image);
        IJ.runMacro("aperture = 0.75; run('Measure Focus...', 'na=&aperture rescale');");
        assertEquals(expected.defocusUm, results().getValue("defocus_um", options.length), 1e-9);
    }

    @Test
    public void errorsEndTheMacro() throws InterruptedException {
        ImagePlus image = Sample.open("A02_s1_dna.tif");
        String[][] wrong = {
            {"rescale", "rescale needs the optics of the image"},
            {"na=0.5", "pixel_size_um is needed with a numerical aperture. The image is not "
                    + "calibrated in a unit of length (a pixel is 1 by 1 of no unit)"},
            {"na=1.2 pixel_size_um=1", "na must be below the refractive index: 1.2"},
            {"na=0.5 pixel_size_um=0", "pixel_size_um must be positive and finite, not 0"},
            {"na=high", "na must be a number, not 'high'"},
            {"numerical=0.5", "There is no option 'numerical'; there are planes, colour, overlay"},
            {"planes=some", "planes must be one of current, all, not 'some'"},
            {"overlay=yes", "overlay is given or left away"},
            {"rescale=yes", "rescale must be one of auto, on, off, not 'yes'"},
            {"in_focus_limit=11", "in_focus_limit must be a level from 0 to 10, not 11"},
            {"model=[/no/such place]", "There is no model folder or exported model"},
            {"model=[/no", "The options end before the ']'"},
        };
        for (String[] options : wrong) {
            String message = fail(image, "Measure Focus...", options[0]);
            assertNotNull(options[0], message);
            assertTrue(message, message.contains(options[1]));
            assertTrue("The image stays locked.", image.lockSilently());
            image.unlock();
        }
        assertTrue(fail(image, "Find Best Focus Plane...", "").contains("has one slice"));
        assertTrue(fail(image, "Focus of ROIs...", "").contains("no region of interest"));
        assertTrue(fail(image, "Measure Folder...", "").contains("folder must be a folder"));
        assertTrue(fail(null, "Measure Focus...", "").contains("No image is open"));
        Thread other = new Thread(image::lock);
        other.start();
        other.join();
        assertTrue(fail(image, "Measure Focus...", "").contains("is in use by another command"));
        image.unlock();
    }

    @Test
    public void errorsReachAScript() {
        WindowManager.setTempCurrentImage(Sample.open("A02_s1_dna.tif"));
        Thread.currentThread().setName("Run$_test");
        ij.Macro.setOptions("rescale");
        try {
            FocusException error = assertThrows(
                    FocusException.class,
                    () -> IJ.runPlugIn(MeasureFocus.class.getName(), ""));
            assertTrue(error.getMessage().contains("rescale needs the optics"));
        } finally {
            ij.Macro.setOptions(null);
        }
    }

    @Test
    public void theBestPlaneIsFoundAndShown() {
        ImagePlus image = hyperstack();
        image.setPosition(2, 1, 2);
        run(image, "Find Best Focus Plane...", "plot in_focus_limit=1");
        assertEquals(4, results().size());
        int[] best = {4, 5, 4, 5};
        for (int row = 0; row < 4; row++) {
            assertEquals(row % 2 + 1, results().getValue("c", row), 0);
            assertEquals(row / 2 + 1, results().getValue("t", row), 0);
            assertEquals(best[row], results().getValue("best_z", row), 0);
        }
        assertEquals(5, image.getZ());
        assertNotNull(shown("Focus of hyper"));
    }

    @Test
    public void theBestPlaneMayBeOutOfFocus() {
        ImagePlus image = Sample.open("B03_s1_dna_stack.tif");
        for (int i = 0; i < 6; i++) {
            image.getStack().deleteSlice(2);
        }
        image.setStack(image.getStack());
        assertEquals(2, image.getNSlices());
        StackResult expected = MicroscopeFocus.measureStack(image);
        image.setSlice(3 - expected.bestPlane);
        run(image, "Find Best Focus Plane...", "");
        assertEquals(expected.bestPlane, results().getValue("best_z", 0), 0);
        assertEquals("out_of_focus", results().getStringValue("status", 0));
        assertEquals("The best plane is not in focus.", results().getStringValue("message", 0));
        assertEquals(expected.bestPlane, image.getZ());
        // The limit decides the status alone.
        run(image, "Find Best Focus Plane...", "in_focus_limit=9.5");
        assertEquals(expected.bestPlane, results().getValue("best_z", 1), 0);
        assertEquals("in_focus", results().getStringValue("status", 1));
        assertEquals("", results().getStringValue("message", 1));
    }

    @Test
    public void ofPlanesThatAreTooSmallContrastTells() {
        ImageStack small = new ImageStack(60, 64);
        for (int z = 0; z < 5; z++) {
            ImageProcessor plane = Sample.open("A01_s1_dna.tif").getProcessor().convertToFloat();
            plane.blurGaussian(1 + 2 * Math.abs(z - 3));
            plane.setRoi(180, 120, 60, 64);
            small.addSlice(plane.crop());
        }
        ImagePlus image = new ImagePlus("small", small);
        image.setDimensions(1, 5, 1);
        run(image, "Find Best Focus Plane...", "");
        assertEquals(4, results().getValue("best_z", 0), 0);
        assertEquals("too_small", results().getStringValue("status", 0));
        assertEquals("", results().getStringValue("expected_level", 0));
        assertTrue(results().getStringValue("message", 0).contains("highest contrast"));
        assertEquals(4, image.getZ());
    }

    @Test
    public void aStackWithoutContentHasNoBestPlane() {
        ImageStack empty = new ImageStack(100, 100);
        empty.addSlice(new ByteProcessor(100, 100));
        empty.addSlice(new ByteProcessor(100, 100));
        ImagePlus image = new ImagePlus("empty", empty);
        image.setDimensions(1, 2, 1);
        image.setSlice(2);
        run(image, "Find Best Focus Plane...", "");
        assertEquals("", results().getStringValue("best_z", 0));
        assertEquals("no_content", results().getStringValue("status", 0));
        assertEquals("No plane has content.", results().getStringValue("message", 0));
        assertEquals(2, image.getZ());
    }

    @Test
    public void selectionsHaveTheirOwnPatch() {
        ImagePlus image = Sample.open("A02_s2_dna.tif");
        PointRoi points = new PointRoi(10, 12);
        points.addPoint(400, 300);
        image.setRoi(points);
        run(image, "Focus of ROIs...", "overlay");
        image.setRoi(new Roi(100, 50, 40, 21));
        run(image, "Focus of ROIs...", "overlay");
        PointsResult expected = MicroscopeFocus.measureAt(
                image.getProcessor(), new double[][] {{12, 10}, {300, 400}, {60, 119.5}},
                FocusSettings.standard());
        assertEquals(3, results().size());
        for (int row = 0; row < 3; row++) {
            assertEquals(expected.levels[row], results().getValue("level", row), 0);
            assertEquals(expected.certainties[row], results().getValue("certainty", row), 0);
        }
        assertEquals(119.5, results().getValue("x", 2), 1e-9);
        assertEquals(2, image.getOverlay().size());
    }

    @Test
    public void aFolderIsATableWithItsErrors() throws IOException {
        File folder = temporary.newFolder("plate one");
        for (String name : new String[] {"A01_s1_dna.tif", "B03_s1_dna_stack.tif"}) {
            Files.copy(new File(Sample.ROOT, "docs/sample/" + name).toPath(),
                    new File(folder, name).toPath());
        }
        File inner = new File(folder, "deep");
        assertTrue(inner.mkdir());
        byte[] whole = Files.readAllBytes(new File(folder, "A01_s1_dna.tif").toPath());
        Files.write(new File(inner, "B10_cut.tif").toPath(), Arrays.copyOf(whole, 9000));
        Files.write(new File(inner, "B2_empty.tif").toPath(), new byte[0]);
        Files.write(new File(inner, "C1_text.png").toPath(), "a text, \"quoted\"".getBytes("UTF-8"));
        byte[] png = {(byte) 0x89, 'P', 'N', 'G', '\r', '\n', 26, '\n', 0, 0, 0, 1};
        Files.write(new File(inner, "C2_damaged.png").toPath(), png);
        Files.write(new File(inner, ".hidden.tif").toPath(), whole);
        Files.write(new File(inner, "notes.txt").toPath(), whole);
        new FileSaver(new ImagePlus("x", Sample.noise(100, 90).convertToByte(true)))
                .saveAsPng(new File(folder, "c.png").getPath());
        File csv = new File(temporary.getRoot(), "table.csv");
        run(null, "Measure Folder...", "folder=[" + folder + "/] csv=[" + csv
                + "] pattern=[(?P<well>[A-H][0-9]+)_]");
        List<String> lines = Files.readAllLines(csv.toPath(), StandardCharsets.UTF_8);
        assertEquals(String.join(",", Table.columns(11)), lines.get(0));
        String[] files = {
            "A01_s1_dna.tif", "B03_s1_dna_stack.tif", "c.png", "deep/B2_empty.tif",
            "deep/B10_cut.tif", "deep/C1_text.png", "deep/C2_damaged.png",
        };
        assertEquals(1 + 1 + 8 + 5, lines.size());
        for (int i = 0; i < files.length; i++) {
            String line = lines.get(i < 2 ? i + 1 : i + 8);
            assertTrue(line, line.startsWith(files[i] + ","));
        }
        assertTrue(lines.get(1).startsWith("A01_s1_dna.tif,,A01,,,,,,420,336,0,"));
        assertTrue(lines.get(5).startsWith("B03_s1_dna_stack.tif,,B03,,,4,,,168,168,0,"));
        String[] errors = {
            "is empty (0 bytes)", "is cut short", "is not a TIFF, PNG, JPEG or BMP image",
            "cannot be decoded",
        };
        int errorColumn = results().getColumnIndex("error");
        assertTrue(errorColumn >= 0);
        for (int i = 0; i < errors.length; i++) {
            int row = 10 + i;
            assertTrue(
                    results().getStringValue("error", row),
                    results().getStringValue("error", row).startsWith(errors[i]));
            assertEquals("", results().getStringValue("level", row));
            assertTrue(lines.get(row + 1), lines.get(row + 1).contains(",,,,,,,,"));
        }
        assertEquals(14, results().size());
        // The table is written anew; anything else at its place stays.
        run(null, "Measure Folder...", "folder=[" + folder + "] csv=[" + csv + "]");
        Files.write(csv.toPath(), "my notes".getBytes(StandardCharsets.UTF_8));
        results().reset();
        String message = fail(
                null, "Measure Folder...", "folder=[" + folder + "] csv=[" + csv + "]");
        assertTrue(message, message.contains("is not a table of this kind"));
        assertEquals("my notes", new String(Files.readAllBytes(csv.toPath()), "UTF-8"));
        assertFalse(new File(csv.getPath() + ".part").exists());
    }

    @Test
    public void aPatternNeedsItsGroups() throws IOException {
        File folder = temporary.newFolder("plate");
        String[][] wrong = {
            {"(?<row>A)", "it has row"}, {"A", "it has none"}, {"(?<well>", "no regular expression"},
        };
        for (String[] pattern : wrong) {
            String message = fail(
                    null, "Measure Folder...",
                    "folder=[" + folder + "] pattern=[" + pattern[0] + "]");
            assertTrue(message, message.contains(pattern[1]));
        }
        assertTrue(fail(null, "Measure Folder...", "folder=[" + folder + "]")
                .contains("There is no image in"));
    }

    @Test
    public void anotherModelCanBeUsed() {
        ImagePlus image = Sample.open("A02_s1_dna.tif");
        File layers = new File(Sample.vectors(), "layers").getAbsoluteFile();
        run(image, "Measure Focus...", "model=[" + layers + "]");
        assertFalse(Arrays.asList(results().getHeadings()).contains("p5"));
        FocusModel model = FocusModel.load(layers.getPath());
        assertSame(model, FocusModel.load(layers.getPath()));
        assertEquals(
                MicroscopeFocus.measure(image.getProcessor(), FocusSettings.of(model)).expectedLevel,
                results().getValue("expected_level", 0), 0);
    }

    @Test
    public void thePreviewShowsThePatchesThatCount() {
        FocusSettings settings = FocusSettings.standard();
        assertEquals(20, Overlays.grid(settings, 336, 420).size());
        boolean[] left = Plane.mask(new Roi(0, 0, 84, 336), 336, 420);
        java.awt.Color counted = null;
        int others = 0;
        for (Roi patch : Overlays.grid(settings.mask(left), 336, 420)) {
            if (patch.getXBase() < 2) {
                counted = patch.getStrokeColor();
            } else {
                others += patch.getStrokeColor().equals(counted) ? 0 : 1;
            }
        }
        assertEquals(16, others);
        FocusSettings fine = settings.optics(0.75, 1, 0.5, 0.2);
        assertEquals(6, Overlays.grid(fine, 336, 420).size());
        assertEquals(20, Overlays.grid(fine.rescale(false), 336, 420).size());
    }

    @Test
    public void namesAreInNaturalOrder() {
        String[] names = {"b10", "B2", "a", "b2x", "10", "9"};
        Arrays.sort(names, ImageFiles::compareNaturally);
        assertEquals("[9, 10, a, B2, b2x, b10]", Arrays.toString(names));
    }

    /** Runs Measure Folder in a macro, and checks that its next line runs. */
    private static void runFolder(File folder, File csv) {
        String result = IJ.runMacro(
                "run('Measure Folder...', 'folder=[" + folder + "] csv=[" + csv + "]');"
                        + "return 'went on after ' + nResults;");
        assertEquals("went on after " + results().size(), result);
        assertTrue("The table is not complete.", csv.isFile());
        assertFalse(new File(csv.getPath() + ".part").exists());
    }

    private static void assertFolder(File folder, File csv, String[][] expected) {
        runFolder(folder, csv);
        assertEquals(expected.length, results().size());
        for (int row = 0; row < expected.length; row++) {
            assertEquals(expected[row][0], results().getStringValue("file", row));
            String error = results().getStringValue("error", row);
            assertTrue(expected[row][0] + " " + error, error.contains(expected[row][1]));
            assertEquals(expected[row][0] + " " + error, expected[row][1].isEmpty(), error.isEmpty());
        }
    }

    /** Writes an uncompressed TIFF of one strip a page; a page is its width, height and bits. */
    private static byte[] tiff(String description, int[]... pages) {
        byte[] text = (description + "\0").getBytes(StandardCharsets.ISO_8859_1);
        ByteBuffer file = ByteBuffer.allocate(1 << 20).order(ByteOrder.LITTLE_ENDIAN);
        file.put(new byte[] {'I', 'I', 42, 0}).putInt(8 + text.length + text.length % 2).put(text);
        file.position(8 + text.length + text.length % 2);
        for (int i = 0; i < pages.length; i++) {
            int bytes = (pages[i][0] * pages[i][2] + 7) / 8 * pages[i][1];
            int pixels = file.position() + 2 + 9 * 12 + 4;
            int[][] tags = {
                {256, 4, 1, pages[i][0]}, {257, 4, 1, pages[i][1]}, {258, 3, 1, pages[i][2]},
                {259, 3, 1, 1}, {262, 3, 1, 1}, {270, 2, text.length, 8}, {273, 4, 1, pixels},
                {278, 4, 1, pages[i][1]}, {279, 4, 1, bytes},
            };
            file.putShort((short) tags.length);
            for (int[] tag : tags) {
                file.putShort((short) tag[0]).putShort((short) tag[1]);
                file.putInt(tag[2]).putInt(tag[3]);
            }
            int next = pixels + bytes + bytes % 2;
            file.putInt(i + 1 < pages.length ? next : 0);
            for (int k = 0; k < bytes; k++) {
                file.put((byte) (k * k % 251));
            }
            file.position(next);
        }
        return Arrays.copyOf(file.array(), file.position());
    }

    private static byte[] jpeg(int bands) throws IOException {
        WritableRaster raster =
                Raster.createInterleavedRaster(DataBuffer.TYPE_BYTE, 168, 168, bands, null);
        byte[] pixels = ((DataBufferByte) raster.getDataBuffer()).getData();
        ImageProcessor noise = Sample.noise(168, 168).convertToByte(true);
        for (int i = 0; i < pixels.length; i++) {
            pixels[i] = (byte) noise.get(i / bands);
        }
        ByteArrayOutputStream content = new ByteArrayOutputStream();
        ImageWriter writer = ImageIO.getImageWritersByFormatName("jpeg").next();
        try (ImageOutputStream out = ImageIO.createImageOutputStream(content)) {
            writer.setOutput(out);
            writer.write(null, new IIOImage(raster, null, null), null);
        } finally {
            writer.dispose();
        }
        return content.toByteArray();
    }

    private File folder(String name, Object... files) throws IOException {
        File folder = temporary.newFolder(name);
        for (int i = 0; i < files.length; i += 2) {
            Files.write(new File(folder, (String) files[i]).toPath(), (byte[]) files[i + 1]);
        }
        return folder;
    }

    @Test
    public void filesThatImageJRefusesDoNotEndTheMacro() throws IOException {
        byte[] big = {'I', 'I', 43, 0, 8, 0, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
        byte[] bigEnd = {'M', 'M', 0, 43, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0, 0, 0};
        byte[] bmp = Arrays.copyOf(new byte[] {'B', 'M'}, 200);
        byte[] png = Arrays.copyOf(new byte[] {(byte) 0x89, 'P', 'N', 'G', 13, 10, 26, 10}, 60);
        byte[] header = {'I', 'I', 42, 0, 8, 0, 0, 0};
        // The directory of the second page comes first.
        ByteBuffer backwards = ByteBuffer.wrap(tiff("", new int[] {90, 90, 8}, new int[] {90, 90, 8}))
                .order(ByteOrder.LITTLE_ENDIAN);
        int one = backwards.getInt(4);
        int other = backwards.getInt(one + 2 + 9 * 12);
        backwards.putInt(4, other).putInt(other + 2 + 9 * 12, one).putInt(one + 2 + 9 * 12, 0);
        File folder = folder(
                "refused", "a.btf", big, "b.tif", bigEnd, "c.jpg", jpeg(4), "d.bmp", bmp,
                "e.png", png, "f.tif", header, "g.tif", backwards.array(), "z.jpg", jpeg(1));
        assertFolder(folder, new File(temporary.getRoot(), "refused.csv"), new String[][] {
            {"a.btf", "is a BigTIFF"}, {"b.tif", "is a BigTIFF"}, {"c.jpg", "not CMYK"},
            {"d.bmp", "cannot be decoded"}, {"e.png", "cannot be decoded"},
            {"f.tif", "holds no image"}, {"g.tif", "page 2 lies before page 1"}, {"z.jpg", ""},
        });
    }

    @Test
    public void formatsGiveTheSameNumbers() throws IOException {
        ImageProcessor noise = Sample.noise(168, 168).convertToByte(true);
        File folder = temporary.newFolder("formats");
        for (String format : new String[] {"bmp", "png"}) {
            BufferedImage grey = noise.getBufferedImage();
            assertTrue(ImageIO.write(grey, format, new File(folder, "grey." + format)));
            BufferedImage colour = new ColorProcessor(noise.createImage()).getBufferedImage();
            assertTrue(ImageIO.write(colour, format, new File(folder, "rgb." + format)));
        }
        runFolder(folder, new File(temporary.getRoot(), "formats.csv"));
        assertEquals(4, results().size());
        double expected = MicroscopeFocus.measure(noise).expectedLevel;
        for (int row = 0; row < 4; row++) {
            assertEquals(expected, results().getValue("expected_level", row), 0);
        }
    }

    @Test
    public void everyPointIsMeasuredOnItsOwnSlice() {
        for (boolean hyper : new boolean[] {false, true}) {
            ImagePlus image = hyper ? hyperstack() : Sample.open("B03_s1_dna_stack.tif");
            results().reset();
            int[] slices = {2, 4, 7};
            PointRoi points = new PointRoi();
            for (int slice : slices) {
                image.setSlice(slice);
                points.addPoint(image, 80, 90);
            }
            image.setSlice(1);
            image.setRoi(points);
            run(image, "Focus of ROIs...", "");
            assertEquals(3, results().size());
            for (int row = 0; row < 3; row++) {
                int[] place = image.convertIndexToPosition(slices[row]);
                assertEquals(place[1], results().getValue("z", row), 0);
                PointsResult expected = MicroscopeFocus.measureAt(
                        image.getStack().getProcessor(slices[row]), new double[][] {{90, 80}},
                        FocusSettings.standard());
                assertEquals(
                        expected.expectedLevels[0], results().getValue("expected_level", row), 0);
            }
        }
    }

    @Test
    public void withoutAScreenTheMessageIsPrinted() throws IOException {
        PrintStream before = System.err;
        ByteArrayOutputStream printed = new ByteArrayOutputStream();
        System.setErr(new PrintStream(printed, true, "UTF-8"));
        try {
            fail(Sample.open("A02_s1_dna.tif"), "Measure Focus...", "na=0,5");
        } finally {
            System.setErr(before);
        }
        String text = printed.toString("UTF-8");
        assertTrue(text, text.contains("Measure Focus: na must be a number, not '0,5'"));
    }

    @Test
    public void damagedOrPartlyReadFilesSaySo() throws IOException {
        byte[] whole = jpeg(1);
        byte[] trailing = Arrays.copyOf(whole, whole.length + 30);
        trailing[whole.length + 7] = (byte) 0xff;
        trailing[whole.length + 8] = (byte) 0xda;
        ByteArrayOutputStream mask = new ByteArrayOutputStream();
        ImageIO.write(new BufferedImage(90, 90, BufferedImage.TYPE_BYTE_BINARY), "png", mask);
        File folder = folder(
                "damaged", "a.jpg", Arrays.copyOf(whole, whole.length / 2), "b.jpg", trailing,
                "c.tif", tiff("", new int[] {90, 90, 8}, new int[] {100, 90, 8}),
                "d.tif", tiff("", new int[] {90, 90, 8}, new int[] {90, 90, 16}),
                "e.tif", tiff("", new int[] {90, 90, 1}), "f.png", mask.toByteArray(),
                "g.tif", tiff("", new int[] {90, 90, 12}));
        assertFolder(folder, new File(temporary.getRoot(), "damaged.csv"), new String[][] {
            {"a.jpg", "is cut short"}, {"b.jpg", ""},
            {"c.tif", "pages of different sizes or types (90 x 90, 8-bit, 90 x 100, 8-bit)"},
            {"d.tif", "pages of different sizes or types (90 x 90, 8-bit, 90 x 90, 16-bit)"},
            {"e.tif", "masks are not measured"}, {"f.png", "masks are not measured"}, {"g.tif", ""},
        });
    }

    @Test
    public void packedPixelsAreNotCutShort() throws IOException {
        byte[] whole = tiff("", new int[] {91, 90, 12});
        File folder = folder(
                "packed", "a.tif", whole, "b.tif", Arrays.copyOf(whole, whole.length - 200),
                "c.tif", tiff("", new int[] {90, 90, 12}));
        assertFolder(folder, new File(temporary.getRoot(), "packed.csv"), new String[][] {
            {"a.tif", ""}, {"b.tif", "is cut short"}, {"c.tif", ""},
        });
    }

    @Test
    public void axesThatAreNotReadAreSaid() throws IOException {
        int[] page = {90, 90, 8};
        File folder = folder(
                "axes", "a.tif", tiff("<?xml version='1.0'?><OME ><Image/></OME>", page, page),
                "b.tif", tiff("two planes", page, page),
                "c.tif", tiff("<?xml version='1.0'?><OME ><Image/></OME>", page));
        runFolder(folder, new File(temporary.getRoot(), "axes.csv"));
        assertEquals(5, results().size());
        for (int row = 0; row < 5; row++) {
            assertEquals(
                    row < 2, results().getStringValue("message", row).contains("axes of this OME"));
        }
    }

    @Test
    public void namesWithOtherDigitsDoNotEndTheFolder() throws IOException {
        assertTrue(ImageFiles.compareNaturally("a\uff11\uff12b", "a\uff13") < 0);
        assertTrue(ImageFiles.compareNaturally("\uff11b", "1b") > 0);
        assertTrue(ImageFiles.compareNaturally("1\uff11b", "1\u0663") > 0);
    }

    @Test
    public void aRegionOutsideIsARowOfItsOwn() {
        ImagePlus image = Sample.open("A02_s2_dna.tif");
        PointRoi points = new PointRoi(10, 12);
        points.addPoint(-30, 300);
        points.addPoint(400, 300);
        image.setRoi(points);
        run(image, "Focus of ROIs...", "overlay");
        PointsResult expected = MicroscopeFocus.measureAt(
                image.getProcessor(), new double[][] {{12, 10}, {300, 400}},
                FocusSettings.standard());
        assertEquals(3, results().size());
        assertEquals(expected.expectedLevels[0], results().getValue("expected_level", 0), 0);
        assertEquals(expected.expectedLevels[1], results().getValue("expected_level", 2), 0);
        assertEquals("2", results().getStringValue("roi", 1));
        for (String column : new String[] {"level", "expected_level", "certainty", "p3"}) {
            assertEquals(column, "", results().getStringValue(column, 1));
        }
        assertEquals(
                "The centre lies outside the image of 336 x 420 pixels.",
                results().getStringValue("message", 1));
        // Two patches with their names.
        assertEquals(4, image.getOverlay().size());
    }

    @Test
    public void otherColumnsStayEmpty() {
        results().incrementCounter();
        results().addLabel("mine");
        results().addValue("Area", 12.5);
        run(Sample.open("A02_s1_dna.tif"), "Measure Focus...", "");
        assertEquals(2, results().size());
        assertEquals(12.5, results().getValue("Area", 0), 0);
        assertEquals("", results().getStringValue("Area", 1));
        assertEquals("mine", results().getLabel(0));
    }

    @Test
    public void escStopsWithoutAPatch() throws Exception {
        IJ.setKeyDown(KeyEvent.VK_ESCAPE);
        assertThrows(CancellationException.class, () -> Command.watched(0, 1));
        IJ.resetEscape();
        File folder = temporary.newFolder("many");
        for (int i = 0; i < 2000; i++) {
            Files.write(new File(folder, i + ".tif").toPath(), new byte[0]);
        }
        AtomicBoolean over = new AtomicBoolean();
        Thread presser = new Thread(() -> {
            while (!over.get()) {
                IJ.setKeyDown(KeyEvent.VK_ESCAPE);
            }
        });
        presser.start();
        try {
            IJ.runMacro("run('Measure Folder...', 'folder=[" + folder + "]');");
        } finally {
            over.set(true);
            presser.join();
            IJ.resetEscape();
        }
        assertTrue(results().size() < 2000);
    }

    @Test
    public void aHiddenOverlayStaysHidden() {
        ImagePlus image = Sample.open("A02_s1_dna.tif");
        image.setOverlay(new Overlay(new Roi(5, 5, 20, 20)));
        image.setHideOverlay(true);
        run(image, "Measure Focus...", "planes=current");
        assertEquals(1, image.getOverlay().size());
        assertTrue(image.getHideOverlay());
        // Patches that are asked for show.
        run(image, "Measure Focus...", "overlay");
        assertFalse(image.getHideOverlay());
    }

    @Test
    public void aFolderMayBeNamedLikeAnImage() throws IOException {
        File folder = temporary.newFolder("named");
        File inner = new File(folder, "exp.tif");
        assertTrue(inner.mkdir());
        Files.write(new File(inner, "one.jpg").toPath(), jpeg(1));
        run(null, "Measure Folder...", "folder=[" + folder + "]");
        assertEquals(1, results().size());
        assertEquals("exp.tif/one.jpg", results().getStringValue("file", 0));
        assertEquals("", results().getStringValue("error", 0));
    }

    @Test
    public void aTableCannotTakeAFoldersPlace() throws IOException {
        File folder = folder("tables", "one.jpg", jpeg(1));
        String message =
                fail(null, "Measure Folder...", "folder=[" + folder + "] csv=[" + folder + "]");
        assertTrue(message, message.contains("csv must be a file, such as"));
        assertFalse(message, message.contains("Exception"));
    }

    @Test
    public void textIsNoArea() {
        ImagePlus image = Sample.open("A02_s1_dna.tif");
        assertNull(Plane.mask(new TextRoi(5, 5, "a label"), 336, 420));
        double whole = MicroscopeFocus.measure(image).expectedLevel;
        image.setRoi(new TextRoi(5, 5, "a label"));
        run(image, "Measure Focus...", "");
        assertEquals(whole, results().getValue("expected_level", 0), 0);
    }

    @Test
    public void anImageJThatReadsImagesWronglyIsRefused() {
        for (String version : new String[] {IJ.getVersion(), "1.54a", "2.16.0/1.54p", "1.60b"}) {
            Command.checkVersion(version);
        }
        for (String version : new String[] {"1.53t", "2.9.0/1.53t"}) {
            FocusException error =
                    assertThrows(FocusException.class, () -> Command.checkVersion(version));
            assertTrue(error.getMessage(), error.getMessage().startsWith("ImageJ 1.53t reads"));
        }
    }

    @Test
    public void dotsPerInchAreNoCalibration() {
        ImagePlus image = Sample.open("A02_s1_dna.tif");
        image.getCalibration().setUnit("inch");
        image.getCalibration().pixelWidth = 1 / 300.0;
        image.getCalibration().pixelHeight = 1 / 300.0;
        String message = fail(image, "Measure Focus...", "na=0.5");
        assertTrue(message, message.contains("measured in inches, which are those of a printer"));
    }

    private static ImagePlus calibrated(double width, double height, String unit) {
        ImagePlus image = Sample.open("A02_s1_dna.tif");
        image.getCalibration().setUnit(unit);
        image.getCalibration().pixelWidth = width;
        image.getCalibration().pixelHeight = height;
        return image;
    }

    @Test
    public void pixelsThatAreAlmostSquareCountWithTheirGeometricMean() {
        ImagePlus image = calibrated(0.6, 0.654, "micron");
        run(image, "Measure Focus...", "na=0.5");
        FocusResult expected = MicroscopeFocus.measure(
                image.getProcessor(),
                FocusSettings.standard().optics(0.5, 1, 0.5, Math.sqrt(0.6 * 0.654)));
        assertEquals(expected.defocusUm, results().getValue("defocus_um", 0), 1e-12);
        for (double[] sides : new double[][] {{0.65, 0.65}, {0.65, 0.714}, {0.714, 0.65}}) {
            double mean = Math.sqrt(sides[0] * sides[1]);
            Calibration calibration = calibrated(sides[0], sides[1], "um").getCalibration();
            assertEquals(mean, Optics.pixelSizeUm(calibration), 1e-15);
        }
    }

    @Test
    public void pixelsThatAreNotSquareAreRefusedWithTheReason() {
        for (double height : new double[] {0.716, 0.59, 1.3}) {
            ImagePlus image = calibrated(0.65, height, "um");
            assertTrue(Double.isNaN(Optics.pixelSizeUm(image.getCalibration())));
            String message = fail(image, "Measure Focus...", "na=0.5");
            assertTrue(
                    message,
                    message.contains(
                            "pixels are not square (0.65 by " + Table.general(height, 4) + " "));
            assertFalse(message, message.contains("not calibrated"));
        }
        // What is given counts.
        run(calibrated(0.65, 1.3, "um"), "Measure Focus...", "na=0.5 pixel_size_um=0.65");
        assertTrue(results().getValue("defocus_um", 0) > 0);
    }

    /** Gives an indexed image whose numbers are far from its colours. */
    private static ImagePlus indexed(ImageProcessor pixels) {
        byte[] palette = new byte[256];
        byte[] numbers = new byte[pixels.getPixelCount()];
        byte[] places = new byte[256];
        for (int i = 0; i < 256; i++) {
            palette[i] = (byte) (i * 101);
            places[palette[i] & 0xff] = (byte) i;
        }
        for (int i = 0; i < numbers.length; i++) {
            numbers[i] = places[pixels.get(i)];
        }
        byte[] none = new byte[256];
        ImageProcessor result = new ByteProcessor(pixels.getWidth(), pixels.getHeight(), numbers);
        result.setColorModel(new LUT(none, palette, none));
        return new ImagePlus("indexed", result);
    }

    @Test
    public void indexedColourIsMeasuredAsItsColours() {
        ImageProcessor grey = Sample.open("A02_s1_dna.tif").getProcessor().convertToByte(true);
        ImagePlus image = indexed(grey);
        FocusResult green = MicroscopeFocus.measure(grey);
        run(image, "Measure Focus...", "colour=channels");
        assertEquals(3, results().size());
        assertEquals(2, results().getValue("c", 1), 0);
        assertEquals(green.expectedLevel, results().getValue("expected_level", 1), 0);
        assertEquals("no_content", results().getStringValue("status", 0));
        FocusException refused =
                assertThrows(FocusException.class, () -> MicroscopeFocus.measure(image));
        assertTrue(refused.getMessage().contains("colour channels differ"));
        // A lookup table of the menu colours grey values, and changes no number.
        image.getProcessor().setColorModel(grey.getColorModel());
        double numbers = MicroscopeFocus.measure(image.getProcessor()).expectedLevel;
        ImagePlus coloured = indexed(grey);
        coloured.setProp(LUT.nameKey, "glasbey");
        assertEquals(numbers, MicroscopeFocus.measure(coloured).expectedLevel, 0);
        run(coloured, "Measure Focus...", "colour=channels");
        assertEquals(4, results().size());
        assertEquals(numbers, results().getValue("expected_level", 3), 0);
        ImagePlus red = new ImagePlus("red", grey.duplicate());
        red.getProcessor().setColorModel(LUT.createLutFromColor(java.awt.Color.RED));
        assertEquals(green.expectedLevel, MicroscopeFocus.measure(red).expectedLevel, 0);
    }

    @Test
    public void whatIsNotMeasuredIsNotInTheColourOfInFocus() {
        ImageProcessor pixels = Sample.open("A02_s1_dna.tif").getProcessor();
        pixels.setColor(7);
        pixels.fill(new Roi(0, 0, 168, 336));
        ImagePlus image = new ImagePlus("half", pixels);
        FocusResult result = MicroscopeFocus.measure(pixels);
        assertTrue(Double.isNaN(result.patchLevels[0]));
        assertFalse(Double.isNaN(result.patchLevels[4]));
        run(image, "Measure Focus...", "level_map probability_stack");
        ImageProcessor levels = shown("Level of half").getProcessor();
        assertTrue(Float.isNaN(levels.getf(10, 10)));
        int nothing = colour(levels, 10, 10);
        java.awt.Color unsure = Overlays.colour(Double.NaN, 0, 11);
        assertEquals(unsure.getRGB(), nothing);
        // Each level is in its own colour, also the lowest.
        for (int i = 0; i < result.patchLevels.length; i++) {
            if (!Double.isNaN(result.patchLevels[i])) {
                int seen = colour(
                        levels, result.patchPositions[i][1] + 83, result.patchPositions[i][0] + 83);
                assertColour(Overlays.colour(result.patchLevels[i], 1, 11), seen);
            }
        }
        ImageProcessor shares =
                shown("Probabilities of half").getStack().getProcessor(11).duplicate();
        assertTrue(Float.isNaN(shares.getf(10, 10)));
        shares.setMinAndMax(-1 / 254.0, 1);
        assertFalse(colour(shares, 10, 10) == colour(shares, 400, 10));
    }

    private static int colour(ImageProcessor image, int x, int y) {
        return new ColorProcessor(image.createImage()).getPixel(x, y) | 0xff000000;
    }

    private static void assertColour(java.awt.Color expected, int rgb) {
        java.awt.Color found = new java.awt.Color(rgb);
        assertEquals(expected.getRed(), found.getRed(), 2);
        assertEquals(expected.getGreen(), found.getGreen(), 2);
        assertEquals(expected.getBlue(), found.getBlue(), 2);
    }

    @Test
    public void emptyIsEmptyAndThePlaceComesFirst() {
        // The first image has no z, c and t.
        run(Sample.open("A02_s1_dna.tif"), "Measure Focus...", "");
        run(hyperstack(), "Measure Focus...", "");
        String[] headings = results().getHeadings();
        assertEquals(
                "[file, z, c, t, width, height, level]",
                Arrays.toString(Arrays.copyOf(headings, 7)));
        List<String> file = Table.columns(11);
        int last = -1;
        for (String heading : headings) {
            assertTrue(heading, file.indexOf(heading) > last);
            last = file.indexOf(heading);
        }
        for (String axis : new String[] {"z", "c", "t"}) {
            assertEquals("", results().getStringValue(axis, 0));
            assertEquals(1, results().getValue(axis, 1), 0);
        }
        assertEquals(Spectrum.HINT, results().getStringValue("message", 0));
        assertEquals("", results().getStringValue("defocus_um", 0));
        assertFalse(results().getRowAsString(0), results().getRowAsString(0).contains("NaN"));
        // Columns of names come later, and go to their places.
        Map<String, Object> named = new HashMap<>();
        named.put("well", "A01");
        Table.add(Table.FOLDER, Table.folderColumns(11), Arrays.asList(named));
        assertEquals("well", results().getHeadings()[1]);
        assertEquals("", results().getStringValue("well", 0));
        assertEquals("A02_s1_dna.tif", results().getStringValue("file", 0));
        assertEquals("", results().getStringValue("level", 2));
        assertEquals("A01", results().getStringValue("well", 2));
    }

    /** Gives a stack that presses Esc when a plane of it is read. */
    private static ImagePlus pressing(int plane, ImagePlus image) {
        ImageStack stack = new ImageStack(image.getWidth(), image.getHeight()) {
            @Override
            public ImageProcessor getProcessor(int n) {
                if (n == plane && image.isLocked()) {
                    IJ.setKeyDown(KeyEvent.VK_ESCAPE);
                }
                return super.getProcessor(n);
            }
        };
        for (int i = 1; i <= image.getStackSize(); i++) {
            stack.addSlice(image.getStack().getProcessor(i));
        }
        int[] axes = image.getDimensions();
        image.setStack(stack, axes[2], axes[3], axes[4]);
        return image;
    }

    /** Runs a command that Esc stops. */
    private static void stop(ImagePlus image, String command, String options) {
        WindowManager.setTempCurrentImage(image);
        try {
            IJ.runMacro("run('" + command + "', '" + options + "');");
        } finally {
            IJ.resetEscape();
        }
        if (image != null) {
            assertTrue(image.lockSilently());
            image.unlock();
        }
    }

    @Test
    public void escKeepsThePlanesThatAreMeasured() {
        ImagePlus image = pressing(6, hyperstack());
        stop(image, "Measure Focus...", "planes=all overlay level_map");
        assertEquals(5, results().size());
        assertEquals(3, results().getValue("z", 4), 0);
        assertEquals(5 * 2 * 4, image.getOverlay().size());
        assertEquals(5, shown("Level of hyper").getStackSize());
        results().reset();
        stop(pressing(1, hyperstack()), "Measure Focus...", "planes=all overlay");
        assertEquals(0, results().size());
    }

    @Test
    public void escKeepsTheStacksThatAreMeasured() {
        // The third of four stacks begins with plane 17.
        ImagePlus image = pressing(19, hyperstack());
        stop(image, "Find Best Focus Plane...", "");
        assertEquals(2, results().size());
        assertEquals(4, results().getValue("best_z", 0), 0);
        assertEquals(5, results().getValue("best_z", 1), 0);
    }

    @Test
    public void escKeepsTheRoisThatAreMeasured() {
        ImagePlus image = hyperstack();
        PointRoi points = new PointRoi();
        for (int slice : new int[] {2, 5, 9}) {
            image.setSlice(slice);
            points.addPoint(image, 80, 90);
        }
        image.setRoi(points);
        stop(pressing(9, image), "Focus of ROIs...", "overlay");
        assertEquals(2, results().size());
        assertEquals(4, image.getOverlay().size());
    }

    @Test
    public void escKeepsTheTableOfAFolder() throws Exception {
        File folder = temporary.newFolder("many");
        byte[] one = Files.readAllBytes(
                new File(Sample.ROOT, "docs/sample/B03_s1_dna_stack.tif").toPath());
        for (int i = 100; i < 300; i++) {
            Files.write(new File(folder, i + ".tif").toPath(), one);
        }
        File csv = new File(temporary.getRoot(), "table.csv");
        Thread presser = new Thread(() -> {
            // As soon as a file and a half are measured.
            File part = new File(csv.getPath() + ".part");
            while (!csv.exists()) {
                try {
                    if (part.exists() && Files.readAllLines(part.toPath()).size() > 12) {
                        IJ.setKeyDown(KeyEvent.VK_ESCAPE);
                    }
                } catch (IOException error) {
                    assertTrue(csv.exists());
                }
            }
        });
        presser.start();
        stop(null, "Measure Folder...", "folder=[" + folder + "] csv=[" + csv + "]");
        presser.join();
        List<String> lines = Files.readAllLines(csv.toPath(), StandardCharsets.UTF_8);
        assertTrue(lines.size() > 12 && lines.size() < 1 + 8 * 200);
        assertEquals(lines.size() - 1, results().size());
        assertTrue(lines.get(9), lines.get(9).startsWith("101.tif,,,,,1,,,168,168,"));
        assertFalse(new File(csv.getPath() + ".part").exists());
    }

    @Test
    public void aFileWithoutAPixelSizeIsMeasuredWithoutDefocus() throws IOException {
        File folder = temporary.newFolder("sizes");
        ImagePlus image = calibrated(0.65, 0.65, "micron");
        new FileSaver(image).saveAsTiff(new File(folder, "a.tif").getPath());
        image = calibrated(0.65, 1.3, "micron");
        new FileSaver(image).saveAsTiff(new File(folder, "b.tif").getPath());
        run(null, "Measure Folder...", "folder=[" + folder + "] na=0.5");
        assertTrue(results().getValue("defocus_um", 0) > 0);
        assertEquals("", results().getStringValue("message", 0));
        assertEquals("", results().getStringValue("defocus_um", 1));
        double level = results().getValue("expected_level", 0);
        assertEquals(level, results().getValue("expected_level", 1), 0);
        String message = results().getStringValue("message", 1);
        assertTrue(message, message.contains("No defocus in \u00b5m. The image's pixels are"));
        assertEquals("", results().getStringValue("error", 1));
        results().reset();
        run(null, "Measure Folder...", "folder=[" + folder + "] na=0.5 rescale");
        assertEquals("", results().getStringValue("error", 0));
        String error = results().getStringValue("error", 1);
        assertTrue(error, error.contains("pixels are not square"));
    }
}
