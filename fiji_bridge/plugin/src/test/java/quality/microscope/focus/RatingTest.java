package quality.microscope.focus;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertNull;
import static org.junit.Assert.assertSame;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import ij.ImagePlus;
import ij.gui.Roi;
import ij.process.FloatProcessor;
import ij.process.ImageProcessor;
import java.io.File;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.concurrent.CancellationException;
import java.util.zip.ZipEntry;
import java.util.zip.ZipOutputStream;
import org.junit.Rule;
import org.junit.Test;
import org.junit.rules.TemporaryFolder;

/** Ratings from scripts, and the raters that they take. */
public class RatingTest {
    @Rule public TemporaryFolder temporary = new TemporaryFolder();

    @Test
    public void gainOffsetAndTypeDoNotMatter() {
        ImageProcessor grey = Sample.drawn(256, 300, "noise", 50.0);
        FloatProcessor other = grey.convertToFloatProcessor();
        other.multiply(-0.25);
        other.add(77);
        RatingResult one = MicroscopeRating.rate(grey);
        FloatProcessor same = grey.convertToFloatProcessor();
        same.multiply(0.25);
        same.add(77);
        assertEquals(one.score, MicroscopeRating.rate(same).score, 1e-5);
        assertTrue(Double.isNaN(MicroscopeRating.rate(same).saturatedFraction));
        // A negative has other grey levels, but the same spectrum.
        assertEquals(
                one.components.blurPx, MicroscopeRating.rate(other).components.blurPx, 0.1);
    }

    /** Features that lean to the right lean to the left in the mirror. */
    @Test
    public void anglesRunCounterClockwise() {
        ImageProcessor leaning = Sample.drawn(
                256, 256, "drawn", Arrays.asList(12.0, 2.0), "shear", 1.0);
        RatingResult one = MicroscopeRating.rate(leaning);
        leaning.flipHorizontal();
        RatingResult mirrored = MicroscopeRating.rate(leaning);
        assertTrue(one.components.elongation > 1.5);
        assertEquals(45, one.components.angleDeg, 15);
        assertEquals(135, mirrored.components.angleDeg, 15);
    }

    @Test
    public void theCurrentPlaneAndItsSelectionCount() {
        ImagePlus image = new ImagePlus("", Sample.drawn(256, 600, "noise", 40.0));
        assertEquals(3, MicroscopeRating.rate(image).rated());
        image.setRoi(new Roi(0, 0, 512, 256));
        RatingResult selected = MicroscopeRating.rate(image);
        assertEquals(2, selected.rated());
        assertEquals(1 / 3.0, selected.blankFraction, 1e-12);
        image.setRoi(new Roi(10, 0, 500, 256));
        assertEquals("no_content", MicroscopeRating.rate(image).status);
    }

    /** Parts that are alike leave nothing open, but what the rater itself gets wrong. */
    @Test
    public void aSampleIsCloseToTheWhole() {
        ImageProcessor image = Sample.drawn(1600, 1600, "noise", 40.0);
        RatingResult whole = MicroscopeRating.rate(image);
        RatingResult sample = MicroscopeRating.rate(image, RatingSettings.standard().places(4));
        assertEquals(4, sample.places);
        assertEquals(24, sample.patchPositions.length);
        assertEquals(whole.score, sample.score, 0.02);
        assertTrue(sample.scoreHigh - sample.scoreLow >= whole.scoreHigh - whole.scoreLow);
        RatingResult again = MicroscopeRating.rate(image, RatingSettings.standard().places(4));
        assertTrue(Arrays.deepEquals(sample.patchPositions, again.patchPositions));
        assertArrayEquals(sample.patchScores, again.patchScores, 0);
    }

    @Test
    public void aBlankPlaceIsLookedForElsewhere() {
        ImageProcessor image = Sample.drawn(1600, 1600, "noise", 40.0);
        // The middle of the left parts.
        image.setRoi(0, 0, 799, 1600);
        image.setValue(900);
        image.fill();
        RatingResult sample = MicroscopeRating.rate(image, RatingSettings.standard().places(4));
        // Of each blank part all four looks, of the others one.
        assertTrue(sample.patchPositions.length > 24);
        assertTrue(sample.blankFraction > 0);
        assertTrue(sample.score > 0.1);
        image.setRoi((java.awt.Rectangle) null);
        image.setValue(900);
        image.fill();
        RatingResult blank = MicroscopeRating.rate(image, RatingSettings.standard().places(4));
        assertEquals("no_content", blank.status);
        assertEquals(4 * 6 * 4, blank.patchPositions.length);
        assertEquals(1, blank.blankFraction, 0);
    }

    @Test
    public void aRatingCanBeStopped() {
        ImageProcessor image = Sample.drawn(600, 600);
        RatingSettings settings = RatingSettings.standard().progress(share -> share < 0.5);
        assertThrows(CancellationException.class, () -> MicroscopeRating.rate(image, settings));
    }

    @Test
    public void settingsAndModelsAreKept() {
        assertEquals("em", RatingModel.standard().name);
        assertSame(RatingModel.standard(), RatingModel.load(""));
        assertNull(RatingModel.standard().ownScore);
        RatingSettings settings = RatingSettings.standard().scoreLimit(0.7).places(9);
        assertEquals(0.7, settings.scoreLimit, 0);
        assertEquals(9, settings.places);
        assertEquals(0.7, RatingSettings.standard().scoreLimit, 0);
    }

    private String changed(String from, String to) throws IOException {
        Path folder = temporary.newFolder().toPath();
        for (String name : new String[] {"model.json", "weights.npz"}) {
            Files.copy(new File(Sample.vectors(), "rater/" + name).toPath(), folder.resolve(name));
        }
        Path description = folder.resolve("model.json");
        String text = new String(Files.readAllBytes(description), StandardCharsets.UTF_8);
        String other = text.replaceFirst("(?s)" + from, to);
        assertTrue(from, !text.equals(other));
        Files.write(description, other.getBytes(StandardCharsets.UTF_8));
        return assertThrows(
                FocusException.class, () -> RatingModel.load(folder.toString())).getMessage();
    }

    @Test
    public void brokenRatersAreTold() throws IOException {
        String[][] changes = {
            {"\"task\": \"rating\"", "\"task\": \"focus\"", "the task 'focus', not of rating"},
            {"\"schema_version\": 2", "\"schema_version\": 1", "the task 'focus', not of rating"},
            {"\"spread_factors\"", "\"factors\"", "lacks spread_factors and has the unknown"},
            {"\"spread_factors\": \\[\\s*[0-9.]+,", "\"spread_factors\": [",
                "spread_factors must be 7 numbers, not 6"},
            {"\"spread_factors\": \\[\\s*[0-9.]+,", "\"spread_factors\": [-1,",
                "spread_factors must be numbers from 0 to 1000, not -1.0"},
            {"\"shared_errors\": \\[\\s*[0-9.]+,", "\"shared_errors\": [2,",
                "shared_errors must be numbers from 0 to 1, not 2.0"},
            {"\"units\": 14", "\"units\": 13", "have the shape [12, 14]"},
            {",\\s*\"own_score\": \\{.*?\\}\\s*\\}", "",
                "There are weights of an own score, but nothing that tells of it."},
            {"\"spread\": 0.07", "\"spread\": 7", "spread must be a number from 0 to 1"},
            {"\"patch_size\": 256", "\"patch_size\": 250", "multiple of 32, 128 at least"},
        };
        for (String[] change : changes) {
            String said = changed(change[0], change[1]);
            assertTrue(said, said.contains(change[2]));
        }
    }

    @Test
    public void anExportedFileIsTheSameRater() throws IOException {
        File folder = new File(Sample.vectors(), "rater");
        File file = temporary.newFile("exported.zip");
        try (ZipOutputStream zip = new ZipOutputStream(Files.newOutputStream(file.toPath()))) {
            for (String name : new String[] {"model.json", "weights.npz"}) {
                zip.putNextEntry(new ZipEntry(name));
                zip.write(Files.readAllBytes(new File(folder, name).toPath()));
            }
        }
        ImageProcessor image = Sample.drawn(300, 300);
        RatingSettings settings = RatingSettings.standard();
        assertArrayEquals(
                MicroscopeRating.rate(image, settings.model(folder.getPath())).patchScores,
                MicroscopeRating.rate(image, settings.model(file.getPath())).patchScores, 0);
    }

    @Test
    public void aNetworkOfKerasIsNotRun() throws IOException {
        Path folder = temporary.newFolder().toPath();
        Files.copy(
                new File(Sample.vectors(), "rater/model.json").toPath(),
                folder.resolve("model.json"));
        Files.write(folder.resolve("model.keras"), new byte[] {1});
        FocusException error = assertThrows(
                FocusException.class, () -> RatingModel.load(folder.toString()));
        assertTrue(error.getMessage(), error.getMessage().contains("runs in Python alone"));
    }
}
