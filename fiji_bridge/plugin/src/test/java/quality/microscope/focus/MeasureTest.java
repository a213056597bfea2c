package quality.microscope.focus;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import ij.ImagePlus;
import ij.gui.OvalRoi;
import ij.gui.PointRoi;
import ij.gui.Roi;
import ij.gui.TextRoi;
import ij.measure.Calibration;
import ij.process.ByteProcessor;
import ij.process.ColorProcessor;
import ij.process.FloatProcessor;
import ij.process.ImageProcessor;
import ij.process.ShortProcessor;
import java.util.Arrays;
import java.util.Locale;
import java.util.concurrent.CancellationException;
import org.junit.Test;

/** Measuring from a script, for all types and sizes of images. */
public class MeasureTest {
    @Test
    public void everySizeHasItsPatches() {
        for (int side : new int[] {1, 2, 83, 84, 85, 167, 168, 169, 500, 1023, 2048}) {
            for (int other : new int[] {84, 100}) {
                FocusResult result = MicroscopeFocus.measure(Sample.noise(side, other));
                int rows = other < 84 ? 0 : (other + 83) / 84;
                int columns = side < 84 ? 0 : (side + 83) / 84;
                assertEquals(rows * columns, result.patchPositions.length);
                assertEquals(side, result.width);
                assertEquals(other, result.height);
                assertEquals(side < 84, Double.isNaN(result.level));
                if (side < 84) {
                    assertEquals("too_small", result.status);
                    assertEquals(
                            "The image has " + other + " x " + side + " pixels; a patch needs "
                                    + "84 x 84.", result.message);
                }
            }
        }
    }

    @Test
    public void theTypeMattersNot() {
        ByteProcessor bytes = Sample.noise(300, 200).convertToByteProcessor(true);
        FocusResult expected = MicroscopeFocus.measure(bytes);
        ColorProcessor grey = bytes.convertToColorProcessor();
        ShortProcessor shorts = bytes.convertToShortProcessor(false);
        FloatProcessor floats = bytes.convertToFloatProcessor();
        // Gain and offset drop out.
        shorts.multiply(100);
        shorts.add(5000);
        for (ImageProcessor other : new ImageProcessor[] {grey, shorts, floats}) {
            FocusResult result = MicroscopeFocus.measure(other);
            for (int i = 0; i < expected.patchProbabilities.length; i++) {
                assertArrayEquals(
                        expected.patchProbabilities[i], result.patchProbabilities[i], 1e-5);
            }
        }
        assertTrue(Double.isNaN(MicroscopeFocus.measure(floats).saturatedFraction));
        assertTrue(MicroscopeFocus.measure(bytes).saturatedFraction > 0);
        assertEquals(0, MicroscopeFocus.measure(shorts).saturatedFraction, 0);
    }

    @Test
    public void differentChannelsAreRefused() {
        ColorProcessor colours = new ColorProcessor(100, 100);
        colours.set(5, 0xff0000);
        FocusException error =
                assertThrows(FocusException.class, () -> MicroscopeFocus.measure(colours));
        assertTrue(error.getMessage().contains("MicroscopeFocus.luminance(image)"));
        assertEquals(255, MicroscopeFocus.channel(colours, 1).get(5));
        assertEquals(0, MicroscopeFocus.channel(colours, 3).get(5));
        assertEquals(54, MicroscopeFocus.luminance(colours).get(5));
    }

    @Test
    public void aSelectionLimitsThePatches() {
        ImagePlus image = Sample.open("A01_s1_dna.tif");
        image.setRoi(new Roi(0, 0, 84, 336));
        FocusResult column = MicroscopeFocus.measure(image);
        int measured = 0;
        for (int i = 0; i < column.patchLevels.length; i++) {
            assertEquals(
                    column.patchPositions[i][1] != 0, Double.isNaN(column.patchLevels[i]));
            measured += Double.isNaN(column.patchLevels[i]) ? 0 : 1;
        }
        assertEquals(4, measured);
        // A line or points limit nothing.
        image.setRoi(new PointRoi(5, 5));
        assertEquals(20, MicroscopeFocus.measure(image).patchPositions.length);
        assertFalse(Double.isNaN(MicroscopeFocus.measure(image).level));
        // An oval that reaches beyond the image.
        OvalRoi oval = new OvalRoi(-50, -30, 300, 200);
        boolean[] mask = Plane.mask(oval, 336, 420);
        for (int i = 0; i < mask.length; i++) {
            assertEquals(oval.contains(i % 420, i / 420), mask[i]);
        }
    }

    @Test
    public void aMixedPlaneIsShownByItsExpectedLevel() {
        ImageProcessor image = Sample.open("A02_s2_dna.tif").getProcessor();
        FocusResult mixed = MicroscopeFocus.measure(image);
        assertEquals("mixed", mixed.status);
        assertEquals(0, mixed.level, 0);
        assertEquals(0.0, mixed.toRow().get("level"));
        assertEquals(mixed.expectedLevel, mixed.judgedLevel(), 0);
        assertTrue(mixed.verdict(), mixed.expectedLevel > 2 && mixed.expectedLevel < 6);
        String told =
                String.format(
                        Locale.ROOT,
                        "evel %.1f, mixed, certainty %.2f",
                        mixed.expectedLevel,
                        mixed.certainty);
        String verdict = mixed.verdict();
        assertTrue(verdict, verdict.startsWith("L" + told + ", blur "));
        TextRoi shown = (TextRoi) Overlays.verdict(mixed, 336, 420);
        assertEquals("l" + told, shown.getText().trim());
        FocusResult sharp = MicroscopeFocus.measure(Sample.open("A01_s1_dna.tif"));
        assertTrue(sharp.verdict(), sharp.verdict().startsWith("Level 0."));
        FocusResult empty = MicroscopeFocus.measure(new ShortProcessor(84, 84));
        assertTrue(Double.isNaN(empty.judgedLevel()));
        assertEquals("No content", empty.verdict());
    }

    @Test
    public void halfAPatchIsEnough() {
        ShortProcessor image = Sample.noise(84, 84);
        boolean[] mask = new boolean[84 * 84];
        Arrays.fill(mask, 0, 84 * 42, true);
        FocusSettings half = FocusSettings.standard().mask(mask);
        assertFalse(Double.isNaN(MicroscopeFocus.measure(image, half).level));
        mask[0] = false;
        FocusResult less = MicroscopeFocus.measure(image, half);
        assertTrue(Double.isNaN(less.level));
        assertEquals("No patch is at least half unmasked.", less.message);
    }

    @Test
    public void theImageIsLeftAsItIs() {
        for (ImageProcessor image : new ImageProcessor[] {
            Sample.noise(200, 100), Sample.noise(200, 100).convertToFloat()}) {
            ImageProcessor before = image.duplicate();
            FocusSettings settings = FocusSettings.standard().optics(0.5, 1, 0.5, 0.65 / 2)
                    .mask(new boolean[200 * 100]);
            MicroscopeFocus.measure(image, settings);
            MicroscopeFocus.measure(image);
            for (int i = 0; i < 200 * 100; i++) {
                assertEquals(before.getf(i), image.getf(i), 0);
            }
        }
    }

    @Test
    public void imagesOfKnownOpticsAreBinnedByWholeNumbers() {
        ShortProcessor small = Sample.noise(200, 180);
        ShortProcessor image = new ShortProcessor(600, 540);
        for (int i = 0; i < image.getPixelCount(); i++) {
            image.set(i, small.get(i % 600 / 3, i / 600 / 3));
        }
        FocusSettings settings = FocusSettings.standard().optics(0.5, 1, 0.5, 0.65 / 3);
        FocusResult result = MicroscopeFocus.measure(image, settings);
        FocusResult expected = MicroscopeFocus.measure(small, FocusSettings.standard());
        assertEquals(3, result.binning);
        assertEquals(1, expected.binning);
        assertEquals(252, result.patchSizePx, 0);
        assertEquals(expected.expectedLevel, result.expectedLevel, 1e-6);
        assertEquals(3 * expected.blurDiameterPx, result.blurDiameterPx, 1e-5);
        for (int i = 0; i < expected.patchLevels.length; i++) {
            assertEquals(3 * expected.patchPositions[i][0], result.patchPositions[i][0]);
            assertEquals(3 * expected.patchPositions[i][1], result.patchPositions[i][1]);
        }
        assertEquals(1, MicroscopeFocus.measure(image, settings.rescale(false)).binning);
        // What is not finer is left as it is; nothing is interpolated.
        for (double pixel : new double[] {0.65, 0.65 / 1.41, 1.3}) {
            FocusSettings other = settings.optics(0.5, 1, 0.5, pixel);
            assertEquals(1, MicroscopeFocus.measure(small, other.rescale(true)).binning);
        }
        FocusResult none = MicroscopeFocus.measure(small, settings);
        assertEquals("too_small", none.status);
        assertEquals(
                "The image has 180 x 200 pixels, 60 x 66 at the model's sampling; a patch needs "
                        + "84 x 84.", none.message);
        assertTrue(Double.isNaN(none.judgedLevel()));
        assertEquals("Too small", none.verdict());
    }

    @Test
    public void wrongSettingsAreRefused() {
        ShortProcessor image = Sample.noise(100, 100);
        FocusSettings standard = FocusSettings.standard();
        String[] messages = {
            "rescale needs the optics", "must have the image's 100 x 100 pixels",
            "in_focus_limit must be a level from 0 to 10, not 10.5", "100 times more coarsely",
            "na must be below the refractive index", "wavelength_um must be in micrometres",
            "pixel_size_um must be positive", "outside the image of 100 x 100",
        };
        Runnable[] wrong = {
            () -> MicroscopeFocus.measure(image, standard.rescale(true)),
            () -> MicroscopeFocus.measure(image, standard.mask(new boolean[5])),
            () -> standard.inFocusLimit(10.5),
            () -> MicroscopeFocus.measure(
                    image, standard.optics(0.5, 1, 0.5, 65).rescale(true)),
            () -> standard.optics(1.4, 1, 0.5, 0.1),
            () -> standard.optics(0.5, 1, 500, 0.1),
            () -> standard.optics(0.5, 1, 0.5, 0),
            () -> MicroscopeFocus.measureAt(
                    image, new double[][] {{0, 99.6}}, standard),
        };
        for (int i = 0; i < wrong.length; i++) {
            FocusException error = assertThrows(messages[i], FocusException.class, wrong[i]::run);
            assertTrue(error.getMessage(), error.getMessage().contains(messages[i]));
        }
    }

    @Test
    public void itCanBeStopped() {
        int[] calls = {0};
        FocusSettings settings = FocusSettings.standard().progress(share -> ++calls[0] < 3);
        assertThrows(
                CancellationException.class,
                () -> MicroscopeFocus.measure(Sample.noise(2000, 2000), settings));
        assertTrue(calls[0] < 30);
    }

    @Test
    public void unitsOfLengthAreKnown() {
        String[] units = {
            "\u00b5m", "\u03bcm", "um", "micron", "microns", "nm", "mm", "cm", "Micrometers"};
        double[] um = {1, 1, 1, 1, 1, 1e-3, 1e3, 1e4, 1};
        for (int i = 0; i < units.length; i++) {
            Calibration calibration = new Calibration();
            calibration.setUnit(units[i]);
            calibration.pixelWidth = 0.5;
            calibration.pixelHeight = 0.5;
            assertEquals(units[i], 0.5 * um[i], Optics.pixelSizeUm(calibration), 1e-12 * um[i]);
            calibration.pixelHeight = 0.6;
            assertTrue(Double.isNaN(Optics.pixelSizeUm(calibration)));
        }
        assertTrue(Double.isNaN(Optics.pixelSizeUm(new Calibration())));
        // Nobody's pixel is 85 µm wide in the specimen: 300 dpi are for a printer.
        for (String inch : new String[] {"inch", "inches", "in", "\""}) {
            Calibration printed = new Calibration();
            printed.setUnit(inch);
            printed.pixelWidth = 1 / 300.0;
            printed.pixelHeight = 1 / 300.0;
            assertTrue(inch, Double.isNaN(Optics.pixelSizeUm(printed)));
        }
        Calibration seconds = new Calibration();
        seconds.setUnit("sec");
        assertTrue(Double.isNaN(Optics.pixelSizeUm(seconds)));
    }
}
