package quality.microscope.focus;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertNull;
import static org.junit.Assert.assertTrue;

import ij.ImagePlus;
import ij.ImageStack;
import ij.WindowManager;
import ij.gui.Overlay;
import ij.gui.Roi;
import ij.io.FileSaver;
import ij.process.ByteProcessor;
import ij.process.ColorProcessor;
import ij.process.FloatProcessor;
import ij.process.ImageProcessor;
import java.io.File;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.util.Arrays;
import java.util.List;
import org.junit.Test;

/** The menu entries that rate, run as macros and scripts run them, without a screen. */
public class RatingCommandsTest extends MenuTest {
    private static ImagePlus image() {
        return new ImagePlus("tile", Sample.drawn(600, 520, "noise", 40.0));
    }

    private static ImagePlus shown(String title) {
        for (int id : WindowManager.getIDList()) {
            if (WindowManager.getImage(id).getTitle().equals(title)) {
                return WindowManager.getImage(id);
            }
        }
        throw new AssertionError("There is no " + title);
    }

    @Test
    public void rateImageWritesTheLibrarysColumns() {
        ImagePlus image = image();
        run(image, "Rate Image...", "overlay legend");
        RatingResult expected = MicroscopeRating.rate(image);
        assertEquals(1, results().size());
        assertEquals("tile", results().getStringValue("file", 0));
        assertEquals(expected.score, results().getValue("score", 0), 0);
        assertEquals(expected.scoreLow, results().getValue("score_low", 0), 0);
        assertEquals(expected.components.blurPx, results().getValue("blur_px", 0), 0);
        assertEquals(expected.status, results().getStringValue("status", 0));
        assertEquals(9, results().getValue("patches", 0), 0);
        List<String> known = Table.ratingColumns();
        for (String heading : results().getHeadings()) {
            assertTrue(heading, known.contains(heading));
        }
        // A tint and a border for each patch, the verdict and the legend.
        int legend = Overlays.legendOfScores(600, 520).size();
        assertEquals(2 * 9 + legend + 1, image.getOverlay().size());
        Roi verdict = image.getOverlay().get(image.getOverlay().size() - 1);
        assertEquals("rating: verdict", verdict.getName());
        assertTrue(image.lockSilently());
        image.unlock();
    }

    @Test
    public void aPoorImageSaysWhyAndWhatToDo() {
        ImagePlus image = new ImagePlus("noisy", Sample.drawn(256, 256, "noise", 200.0));
        run(image, "Rate Image...", "score_limit=1");
        RatingSettings settings = RatingSettings.standard().scoreLimit(1);
        RatingResult expected = MicroscopeRating.rate(image.getProcessor(), settings);
        assertEquals("poor", results().getStringValue("status", 0));
        assertEquals(expected.cause, results().getStringValue("cause", 0));
        assertEquals(expected.action, results().getStringValue("action", 0));
        assertTrue(Arrays.asList("blur", "noise").contains(expected.cause));
        assertTrue(expected.verdict(), expected.verdict().endsWith(
                "poor: " + expected.cause + ", " + expected.action));
        run(image, "Rate Image...", "score_limit=0.1");
        assertEquals("good", results().getStringValue("status", 1));
        assertEquals("", results().getStringValue("cause", 1));
    }

    @Test
    public void theOverlayTakesThePlaceOfThatOfFocus() {
        ImagePlus image = image();
        Roi mine = new Roi(5, 5, 20, 20);
        mine.setName("mine");
        image.setOverlay(new Overlay(mine));
        run(image, "Measure Focus...", "overlay");
        run(image, "Rate Image...", "overlay");
        run(image, "Rate Image...", "overlay");
        assertEquals(1 + 2 * 9, image.getOverlay().size());
        run(image, "Measure Focus...", "in_focus_limit=1");
        assertEquals(1, image.getOverlay().size());
        assertEquals("mine", image.getOverlay().get(0).getName());
    }

    @Test
    public void blankPatchesAreLeftAsTheyAre() {
        ImageProcessor pixels = Sample.drawn(512, 512, "noise", 40.0);
        pixels.setRoi(0, 0, 256, 256);
        pixels.setValue(2000);
        pixels.fill();
        ImagePlus image = new ImagePlus("blank corner", pixels);
        run(image, "Rate Image...", "overlay score_map");
        assertEquals(0.25, results().getValue("blank_fraction", 0), 0);
        assertEquals(2 * 3, image.getOverlay().size());
        ImageProcessor map = shown("Score of blank corner").getProcessor();
        assertTrue(Float.isNaN(map.getf(255, 255)));
        assertTrue(map.getf(256, 255) > 0.1);
    }

    @Test
    public void aSmallImageHasARowAndASentence() {
        for (int side : new int[] {1, 127}) {
            ImagePlus image = new ImagePlus("small", Sample.noise(side, side));
            run(image, "Rate Image...", "overlay legend score_map component_stack");
            int row = results().size() - 1;
            assertEquals("too_small", results().getStringValue("status", row));
            assertEquals("", results().getStringValue("score", row));
            assertTrue(results().getStringValue("message", row).contains("128 x 128 at least"));
        }
    }

    @Test
    public void mapsHoldTheNumbersOfThePatches() {
        ImagePlus image = image();
        RatingResult expected = MicroscopeRating.rate(image);
        run(image, "Rate Image...", "score_map component_stack");
        ImagePlus scores = shown("Score of tile");
        ImagePlus stack = shown("Components of tile");
        assertTrue(scores.getProcessor() instanceof FloatProcessor);
        String[] names = {"blur_px", "elongation", "angle_deg", "noise", "line_noise", "jitter_px"};
        assertArrayEquals(names, Arrays.copyOf(stack.getStack().getSliceLabels(), 6));
        for (int i = 0; i < expected.patchPositions.length; i++) {
            int y = expected.patchPositions[i][0] + 255;
            int x = expected.patchPositions[i][1] + 255;
            assertEquals(expected.patchScores[i], scores.getProcessor().getf(x, y), 1e-6);
            Components components = Components.of(expected.patchOutputs[i]);
            assertEquals(components.noise, stack.getStack().getProcessor(4).getf(x, y), 1e-5);
        }
    }

    @Test
    public void allPlanesOfAStackCountFromOne() {
        ImageStack stack = new ImageStack(256, 256);
        for (int z = 0; z < 3; z++) {
            stack.addSlice(Sample.drawn(256, 256, "seed", (double) z, "noise", 100.0 * z));
        }
        ImagePlus image = new ImagePlus("stack", stack);
        image.setDimensions(1, 3, 1);
        image.setPosition(1, 2, 1);
        run(image, "Rate Image...", "planes=all overlay");
        assertEquals(3, results().size());
        for (int z = 1; z <= 3; z++) {
            assertEquals(z, results().getValue("z", z - 1), 0);
            assertEquals(
                    MicroscopeRating.rate(stack.getProcessor(z)).score,
                    results().getValue("score", z - 1), 0);
            assertEquals(z, image.getOverlay().get(2 * z - 1).getPosition());
        }
        run(image, "Rate Image...", "planes=current");
        assertEquals(2, results().getValue("z", 3), 0);
    }

    @Test
    public void colourIsRatedByChannelsOrLuminance() {
        ByteProcessor red = Sample.drawn(256, 256).convertToByteProcessor();
        ColorProcessor colours = new ColorProcessor(256, 256);
        colours.setChannel(1, red);
        ImagePlus image = new ImagePlus("colour", colours);
        run(image, "Rate Image...", "colour=channels overlay");
        assertEquals(3, results().size());
        assertEquals(1, results().getValue("c", 0), 0);
        assertEquals("no_content", results().getStringValue("status", 1));
        assertEquals(2, image.getOverlay().size());
        run(image, "Rate Image...", "colour=luminance");
        assertEquals(
                MicroscopeRating.rate(MicroscopeFocus.luminance(colours)).score,
                results().getValue("score", 3), 0);
    }

    @Test
    public void patchesInsideASelectionCount() {
        ImagePlus image = image();
        image.setRoi(new Roi(0, 0, 300, 600));
        run(image, "Rate Image...", "");
        // Of three columns, one lies inside.
        assertEquals(3, results().getValue("patches", 0), 0);
    }

    @Test
    public void aSampleSaysWhatItLeavesOpen() {
        ImagePlus image = new ImagePlus("large", Sample.drawn(1100, 1100, "noise", 40.0));
        run(image, "Rate Image...", "patches=2");
        RatingResult expected = MicroscopeRating.rate(
                image.getProcessor(), RatingSettings.standard().places(2));
        assertEquals(12, results().getValue("patches", 0), 0);
        assertEquals(expected.score, results().getValue("score", 0), 0);
        run(image, "Rate Image...", "patches=3");
        assertEquals("There is no room for more.", 25, results().getValue("patches", 1), 0);
    }

    @Test
    public void anotherRaterIsTaken() {
        ImagePlus image = image();
        String folder = new File(Sample.vectors(), "rater").getPath();
        run(image, "Rate Image...", "model=[" + folder + "]");
        RatingSettings settings = RatingSettings.of(RatingModel.load(folder));
        assertEquals(
                MicroscopeRating.rate(image.getProcessor(), settings).score,
                results().getValue("score", 0), 0);
    }

    @Test
    public void whatIsWrongEndsTheMacro() {
        String[][] wrong = {
            {"patches=0", "patches must be a whole number from 1"},
            {"patches=1.5", "patches must be a whole number from 1"},
            {"patches=1000001", "patches must be from 1 to 1000000"},
            {"score_limit=1.1", "score_limit must be a score from 0.1 to 1, not 1.1"},
            {"score_limit=0", "score_limit must be a score from 0.1 to 1"},
            {"in_focus_limit=1", "There is no option 'in_focus_limit'"},
            {"model=[/no/such place]", "There is no model folder or exported model"},
            {"model=[" + new File(Sample.vectors(), "layers") + "]",
                "It is a model of the task 'focus', not of rating."},
        };
        for (String[] one : wrong) {
            String said = fail(image(), "Rate Image...", one[0]);
            assertTrue(one[0] + ": " + said, String.valueOf(said).contains(one[1]));
        }
        String said = fail(image(), "Measure Focus...",
                "model=[" + new File(Sample.vectors(), "rater") + "]");
        assertTrue(said, said.contains("It is a model of the task 'rating', not of focus."));
    }

    @Test
    public void aFolderIsRated() throws IOException {
        File folder = temporary.newFolder("tiles");
        ImagePlus image = image();
        new FileSaver(image).saveAsTiff(new File(folder, "s001_tile.tif").getPath());
        new FileSaver(new ImagePlus("", new ByteProcessor(256, 256))).saveAsPng(
                new File(folder, "s002_tile.png").getPath());
        Files.write(new File(folder, "s003_tile.tif").toPath(), new byte[0]);
        File csv = new File(temporary.getRoot(), "scores.csv");
        run(null, "Rate Folder...", "folder=[" + folder + "] csv=[" + csv
                + "] pattern=(?<site>s\\d+) score_limit=1");
        assertEquals(3, results().size());
        assertEquals(MicroscopeRating.rate(image).score, results().getValue("score", 0), 0);
        assertEquals("poor", results().getStringValue("status", 0));
        assertEquals("s001", results().getStringValue("site", 0));
        assertEquals("no_content", results().getStringValue("status", 1));
        assertEquals("is empty (0 bytes)", results().getStringValue("error", 2));
        assertEquals("", results().getStringValue("score", 2));
        List<String> lines = Files.readAllLines(csv.toPath(), StandardCharsets.UTF_8);
        assertEquals(4, lines.size());
        assertEquals(String.join(",", Table.ratingColumns()), lines.get(0));
        String[] fields = lines.get(1).split(",", -1);
        assertEquals("s001_tile.tif", fields[0]);
        String score = fields[Table.ratingColumns().indexOf("score")];
        assertEquals(Table.general(MicroscopeRating.rate(image).score, 6), score);
    }

    @Test
    public void whatIsWrongWithAFolderIsSaid() {
        assertTrue(fail(null, "Rate Folder...", "").contains("folder must be a folder of images"));
        String said = fail(null, "Rate Folder...", "folder=[" + temporary.getRoot() + "]");
        assertTrue(said, said.contains("There is no image in"));
        assertNull(WindowManager.getCurrentImage());
    }
}
