package quality.microscope.focus;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertTrue;
import static quality.microscope.focus.Sample.list;
import static quality.microscope.focus.Sample.number;
import static quality.microscope.focus.Sample.numbers;
import static quality.microscope.focus.Sample.object;

import ij.process.ImageProcessor;
import java.awt.Color;
import java.io.File;
import java.io.IOException;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.junit.Test;

/** The plugin gives the numbers of the library, which wrote these vectors. */
public class VectorsTest {
    private static final double CLOSE = 1e-4;
    /** Of distances: the plugin's table of blur diameters is coarser than the library's. */
    private static final double COARSE = 0.005;

    /** Gives the models in {@code pretrained} and the small one beside the vectors. */
    private static Map<String, FocusModel> models() {
        Map<String, FocusModel> models = new LinkedHashMap<>();
        for (File folder : new File(Sample.ROOT, "pretrained").listFiles()) {
            if (new File(folder, "model.json").isFile()) {
                models.put(folder.getName(), FocusModel.load(folder.getPath()));
            }
        }
        assertTrue(models.containsKey("compact"));
        File layers = new File(Sample.vectors(), "layers");
        models.put("layers", FocusModel.load(layers.getPath()));
        return models;
    }

    @Test
    public void imagesAreMeasuredAlike() throws IOException {
        for (Map.Entry<String, FocusModel> model : models().entrySet()) {
            for (Object entry : list(Sample.read(model.getKey()).get("cases"))) {
                Map<String, Object> recipe = object(object(entry).get("image"));
                Map<String, Object> expected = object(object(entry).get("result"));
                ImageProcessor image = Sample.image(recipe);
                FocusResult result = MicroscopeFocus.measure(
                        image, Sample.settings(model.getValue(), recipe, image));
                compare(model.getKey() + " " + recipe, result, expected);
            }
        }
    }

    private static void compare(String name, FocusResult result, Map<String, Object> expected) {
        Map<String, Object> row = result.toRow();
        for (String column : expected.keySet()) {
            Object value = expected.get(column);
            if (row.containsKey(column) && !(value instanceof String)) {
                double found = ((Number) row.get(column)).doubleValue();
                double close = column.equals("defocus_um") ? COARSE : CLOSE;
                double tolerance = close * Math.max(1, Math.abs(number(value)));
                assertEquals(name + " " + column, number(value), found, tolerance);
            } else if (value instanceof String) {
                assertEquals(name + " " + column, value, row.get(column));
            }
        }
        assertEquals(name, number(expected.get("level")), result.level, 0);
        assertArrayEquals(
                name, numbers(expected.get("product_probabilities")), result.productProbabilities,
                10 * CLOSE);
        assertEquals(name, number(expected.get("patch_size_px")), result.patchSizePx, 1e-6);
        List<?> places = list(expected.get("patch_positions"));
        assertEquals(name, places.size(), result.patchPositions.length);
        for (int i = 0; i < places.size(); i++) {
            assertEquals(name, numbers(places.get(i))[0], result.patchPositions[i][0], 0);
            assertEquals(name, numbers(places.get(i))[1], result.patchPositions[i][1], 0);
            assertArrayEquals(
                    name, numbers(list(expected.get("patch_probabilities")).get(i)),
                    result.patchProbabilities[i], CLOSE);
        }
        assertArrayEquals(name, numbers(expected.get("patch_levels")), result.patchLevels, 0);
        assertArrayEquals(
                name, numbers(expected.get("patch_certainties")), result.patchCertainties, CLOSE);
    }

    @Test
    public void pointsAreMeasuredAlike() throws IOException {
        for (Map.Entry<String, FocusModel> model : models().entrySet()) {
            for (Object entry : list(Sample.read(model.getKey()).get("points"))) {
                Map<String, Object> recipe = object(object(entry).get("image"));
                Map<String, Object> expected = object(object(entry).get("result"));
                ImageProcessor image = Sample.image(recipe);
                List<?> places = list(recipe.get("points"));
                double[][] points = new double[places.size()][];
                for (int i = 0; i < points.length; i++) {
                    points[i] = numbers(places.get(i));
                }
                PointsResult result = MicroscopeFocus.measureAt(
                        image, points, Sample.settings(model.getValue(), recipe, image));
                String name = model.getKey() + " " + recipe;
                assertArrayEquals(name, numbers(expected.get("levels")), result.levels, 0);
                assertArrayEquals(
                        name, numbers(expected.get("expected_levels")), result.expectedLevels,
                        10 * CLOSE);
                assertArrayEquals(
                        name, numbers(expected.get("certainties")), result.certainties, CLOSE);
                for (int i = 0; i < points.length; i++) {
                    assertArrayEquals(
                            name, numbers(list(expected.get("probabilities")).get(i)),
                            result.probabilities[i], CLOSE);
                }
            }
        }
    }

    @Test
    public void stacksHaveTheSameBestPlane() throws IOException {
        for (Map.Entry<String, FocusModel> model : models().entrySet()) {
            Map<String, Object> expected = object(Sample.read(model.getKey()).get("stack"));
            ij.ImagePlus image = Sample.open("B03_s1_dna_stack.tif");
            image.setDimensions(1, image.getStackSize(), 1);
            StackResult result =
                    MicroscopeFocus.measureStack(image, FocusSettings.of(model.getValue()));
            Object plane = expected.get("best_plane");
            // Slices count from 1 here.
            assertEquals(plane == null ? 0 : (int) number(plane) + 1, result.bestPlane);
            assertEquals(number(expected.get("best_position")) + 1, result.bestPosition, CLOSE);
            assertEquals(number(expected.get("expected_level")), result.expectedLevel, CLOSE);
            assertEquals(expected.get("status"), result.status);
            double[] levels = numbers(expected.get("expected_levels"));
            for (int i = 0; i < levels.length; i++) {
                assertEquals(levels[i], result.results.get(i).expectedLevel, CLOSE);
            }
        }
    }

    @Test
    public void curvesHaveTheSameBestPlane() throws IOException {
        for (Object entry : list(Sample.read("without_model").get("stacks"))) {
            Map<String, Object> stack = object(entry);
            double[] best = MicroscopeFocus.best(
                    numbers(stack.get("expected_levels")), numbers(stack.get("certainties")),
                    numbers(stack.get("contrasts")));
            Object plane = stack.get("best_plane");
            assertEquals(entry.toString(), plane != null, best != null);
            if (best != null) {
                assertEquals(entry.toString(), number(plane), best[0], 0);
                assertEquals(entry.toString(), number(stack.get("position")), best[1], 1e-6);
            }
        }
    }

    @Test
    public void patchesStandAtTheSamePlaces() throws IOException {
        for (Object entry : list(Sample.read("without_model").get("positions"))) {
            int[][] places = Tiles.positions(
                    (int) number(object(entry).get("height")),
                    (int) number(object(entry).get("width")), 84);
            List<?> expected = list(object(entry).get("positions"));
            assertEquals(expected.size(), places.length);
            for (int i = 0; i < places.length; i++) {
                assertEquals(numbers(expected.get(i))[0], places[i][0], 0);
                assertEquals(numbers(expected.get(i))[1], places[i][1], 0);
            }
        }
    }

    @Test
    public void patchesAreNormalisedAlike() throws IOException {
        Map<String, Object> vectors = object(Sample.read("without_model").get("normalised"));
        Map<String, Object> recipe = object(vectors.get("image"));
        ImageProcessor image = Sample.image(recipe);
        boolean[] mask = Sample.mask(recipe, image);
        for (FocusModel model : models().values()) {
            for (Object entry : list(vectors.get("patches"))) {
                Map<String, Object> expected = object(entry);
                if (!expected.get("normalisation").equals(model.normalisation)) {
                    continue;
                }
                double[] values = new double[84 * 84];
                for (int i = 0; i < values.length; i++) {
                    values[i] = image.get(i);
                }
                float[] to = new float[values.length];
                boolean masked = expected.get("masked").equals(true);
                boolean counts = model.normalise(values, masked ? mask : null, 65535, to, 0);
                assertEquals(expected.get("counts"), counts);
                double[] some = numbers(expected.get("every_97th"));
                for (int i = 0; i < some.length && counts; i++) {
                    assertEquals(some[i], to[97 * i], 1e-6 * Math.max(1, Math.abs(some[i])));
                }
            }
        }
    }

    @Test
    public void saturationIsToldAlike() throws IOException {
        for (Object entry : list(Sample.read("without_model").get("saturated"))) {
            int[] counts = new int[(int) number(object(entry).get("maximum")) + 1];
            Map<String, Object> given = object(object(entry).get("counts"));
            for (Map.Entry<String, Object> value : given.entrySet()) {
                counts[Integer.parseInt(value.getKey())] = (int) number(value.getValue());
            }
            assertEquals(
                    entry.toString(), number(object(entry).get("saturated")),
                    Plane.saturated(counts), 0);
        }
    }

    @Test
    public void smallNumbersAgree() throws IOException {
        Map<String, Object> vectors = Sample.read("without_model");
        for (Map.Entry<String, Object> entry : object(vectors.get("sure_by_chance")).entrySet()) {
            int patches = Integer.parseInt(entry.getKey());
            assertEquals(
                    number(entry.getValue()), MicroscopeFocus.sureByChance(patches), 0);
        }
        for (Object entry : list(vectors.get("distributions"))) {
            double[] p = numbers(object(entry).get("p"));
            assertEquals(
                    number(object(entry).get("certainty")), Certainty.certainty(p), 1e-6);
            assertEquals(number(object(entry).get("level")), Certainty.level(p), 0);
            assertEquals(
                    number(object(entry).get("expected_level")), Certainty.expectedLevel(p), 1e-6);
        }
        for (Object entry : list(vectors.get("judged_levels"))) {
            Map<String, Object> plane = object(entry);
            double judged = FocusResult.judgedLevel(
                    (String) plane.get("status"), number(plane.get("expected_level")));
            assertEquals(entry.toString(), number(plane.get("judged_level")), judged, 0);
        }
        for (Object entry : list(vectors.get("numbers"))) {
            double value = number(object(entry).get("value"));
            assertEquals(object(entry).get("6"), Table.general(value, 6));
            assertEquals(object(entry).get("3"), Table.general(value, 3));
        }
        for (Object entry : list(vectors.get("defocus"))) {
            Optics optics = Sample.optics(object(entry).get("optics"));
            double blur = number(object(entry).get("blur_diameter_px"));
            double expected = number(object(entry).get("defocus_um"));
            assertEquals(entry.toString(), expected, optics.defocusUm(blur), COARSE * expected);
        }
    }

    @Test
    public void coloursAgree() throws IOException {
        for (Object entry : list(Sample.read("without_model").get("colours"))) {
            double level = number(object(entry).get("level"));
            double certainty = number(object(entry).get("certainty"));
            double[] rgb = numbers(object(entry).get("rgb"));
            Color colour = Overlays.colour(level, certainty, 11);
            assertEquals(rgb[0], colour.getRed(), 1);
            assertEquals(rgb[1], colour.getGreen(), 1);
            assertEquals(rgb[2], colour.getBlue(), 1);
        }
    }
}
