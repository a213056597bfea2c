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
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.util.ArrayList;
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
    private static Map<String, FocusModel> models() throws IOException {
        Map<String, FocusModel> models = new LinkedHashMap<>();
        for (File folder : folders("focus")) {
            models.put(folder.getName(), FocusModel.load(folder.getPath()));
        }
        assertTrue(models.containsKey("compact"));
        File layers = new File(Sample.vectors(), "layers");
        models.put("layers", FocusModel.load(layers.getPath()));
        return models;
    }

    /** Gives the raters in {@code pretrained} and the small one beside the vectors. */
    private static Map<String, RatingModel> raters() throws IOException {
        Map<String, RatingModel> models = new LinkedHashMap<>();
        for (File folder : folders("rating")) {
            models.put(folder.getName(), RatingModel.load(folder.getPath()));
        }
        assertTrue(models.containsKey("em"));
        File rater = new File(Sample.vectors(), "rater");
        models.put("rater", RatingModel.load(rater.getPath()));
        return models;
    }

    /** Gives the models in {@code pretrained} of a task. */
    private static List<File> folders(String task) throws IOException {
        List<File> folders = new ArrayList<>();
        for (File folder : new File(Sample.ROOT, "pretrained").listFiles()) {
            File description = new File(folder, "model.json");
            if (description.isFile()) {
                byte[] text = Files.readAllBytes(description.toPath());
                Object values = Json.parse(new String(text, StandardCharsets.UTF_8));
                Object found = object(values).get("task");
                if (task.equals(found == null ? "focus" : found)) {
                    folders.add(folder);
                }
            }
        }
        return folders;
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

    @Test
    public void imagesAreRatedAlike() throws IOException {
        for (Map.Entry<String, RatingModel> model : raters().entrySet()) {
            for (Object entry : list(Sample.read(model.getKey()).get("cases"))) {
                Map<String, Object> recipe = object(object(entry).get("image"));
                ImageProcessor image = Sample.image(recipe);
                RatingResult result = MicroscopeRating.rate(
                        image, Sample.ratingSettings(model.getValue(), recipe, image));
                assertEquals(0, result.places);
                compare(model.getKey() + " " + recipe, result, object(object(entry).get("result")));
            }
        }
    }

    /** The library draws its patches at random: here they are its own. */
    @Test
    public void samplesAreRatedAlike() throws IOException {
        for (Map.Entry<String, RatingModel> model : raters().entrySet()) {
            for (Object entry : list(Sample.read(model.getKey()).get("sampled"))) {
                Map<String, Object> recipe = object(object(entry).get("image"));
                Map<String, Object> expected = object(object(entry).get("result"));
                List<?> patches = list(expected.get("patch_positions"));
                int[][] positions = new int[patches.size()][];
                for (int i = 0; i < positions.length; i++) {
                    double[] patch = numbers(patches.get(i));
                    positions[i] = new int[] {(int) patch[0], (int) patch[1]};
                }
                ImageProcessor image = Sample.image(recipe);
                RatingResult result = MicroscopeRating.rateAt(
                        image, Sample.ratingSettings(model.getValue(), recipe, image), positions);
                assertEquals(positions.length / 6, result.places);
                compare(model.getKey() + " " + recipe, result, expected);
            }
        }
    }

    private static void compare(String name, RatingResult result, Map<String, Object> expected) {
        Map<String, Object> row = result.toRow();
        for (Map.Entry<String, Object> column : row.entrySet()) {
            assertTrue(column.getKey(), expected.containsKey(column.getKey()));
            Object value = expected.get(column.getKey());
            String what = name + " " + column.getKey();
            if (value instanceof String) {
                assertEquals(what, value, column.getValue());
            } else {
                double found = ((Number) column.getValue()).doubleValue();
                double close = CLOSE * Math.max(1, number(value));
                if (column.getKey().equals("angle_deg")) {
                    // The rounder, the less it means.
                    close = 90 * CLOSE / Math.log(result.components.elongation);
                }
                assertEquals(what, number(value), found, close);
            }
        }
        assertArrayEquals(name, numbers(expected.get("outputs")), result.outputs, CLOSE);
        assertArrayEquals(name, numbers(expected.get("spreads")), result.spreads, CLOSE);
        assertEquals(name, number(expected.get("patch_size_px")), result.patchSizePx, 0);
        List<?> places = list(expected.get("patch_positions"));
        assertEquals(name, places.size(), result.patchPositions.length);
        for (int i = 0; i < places.size(); i++) {
            assertEquals(name, numbers(places.get(i))[0], result.patchPositions[i][0], 0);
            assertEquals(name, numbers(places.get(i))[1], result.patchPositions[i][1], 0);
            assertArrayEquals(
                    name, numbers(list(expected.get("patch_outputs")).get(i)),
                    result.patchOutputs[i], CLOSE);
            assertArrayEquals(
                    name, numbers(list(expected.get("patch_spreads")).get(i)),
                    result.patchSpreads[i], CLOSE);
        }
        assertArrayEquals(name, numbers(expected.get("patch_scores")), result.patchScores, CLOSE);
        assertArrayEquals(
                name, numbers(expected.get("patch_score_spreads")), result.patchScoreSpreads,
                CLOSE);
    }

    private static double[] patch(Map<String, Object> vector) {
        ImageProcessor image = Sample.image(object(vector.get("image")));
        int side = (int) number(vector.get("side"));
        double[] values = new double[side * side];
        for (int i = 0; i < values.length; i++) {
            values[i] = image.getf(i % side, i / side);
        }
        return values;
    }

    @Test
    public void patchesAreDescribedAlike() throws IOException {
        for (Object entry : list(Sample.read("without_rater").get("descriptors"))) {
            double[] values = patch(object(entry));
            float[] normalised = new float[values.length];
            assertTrue(Normalisation.scale(values, false, 1, normalised, 0));
            double[] found = new double[Descriptors.NUMBER];
            new Descriptors((int) Math.sqrt(values.length)).of(normalised, found);
            double[] expected = numbers(object(entry).get("descriptors"));
            assertArrayEquals(object(entry).get("image").toString(), expected, found, CLOSE);
        }
    }

    @Test
    public void blankPatchesAreToldAlike() throws IOException {
        for (Object entry : list(Sample.read("without_rater").get("blank"))) {
            double[] values = patch(object(entry));
            BlankPatches patches = BlankPatches.of((int) Math.sqrt(values.length));
            boolean whole = !"float32".equals(object(object(entry).get("image")).get("type"));
            assertEquals(
                    object(entry).get("image").toString(), object(entry).get("is_blank"),
                    patches.isBlank(values, whole));
        }
    }

    @Test
    public void componentsAreToldAlike() throws IOException {
        for (Object entry : list(Sample.read("without_rater").get("components"))) {
            Map<String, Object> expected = object(entry);
            double[] outputs = numbers(expected.get("outputs"));
            Components found = Components.of(outputs);
            Map<String, Object> row = new LinkedHashMap<>();
            found.putInto(row);
            row.put("score", Components.scoreOf(outputs));
            for (Map.Entry<String, Object> component : row.entrySet()) {
                double value = number(expected.get(component.getKey()));
                assertEquals(
                        entry + " " + component.getKey(), value, (Double) component.getValue(),
                        1e-6 * Math.max(1, Math.abs(value)));
            }
            assertEquals(entry.toString(), expected.get("cause"), found.cause());
            assertEquals(
                    entry.toString(), expected.get("action"), Components.action(found.cause()));
        }
    }

    @Test
    public void samplesAreSummedUpAlike() throws IOException {
        Map<String, Object> vectors = Sample.read("without_rater");
        for (Object entry : list(vectors.get("strata"))) {
            Map<String, Object> expected = object(entry);
            int[][] found = MicroscopeRating.strata(
                    (int) number(expected.get("height")), (int) number(expected.get("width")),
                    (int) number(expected.get("number")));
            List<?> strata = list(expected.get("strata"));
            assertEquals(entry.toString(), strata.size(), found.length);
            for (int i = 0; i < found.length; i++) {
                for (int k = 0; k < 4; k++) {
                    assertEquals(entry.toString(), numbers(strata.get(i))[k], found[i][k], 0);
                }
            }
        }
        Map<String, Object> expected = object(vectors.get("means"));
        double[] given = numbers(expected.get("strata"));
        int[] strata = new int[given.length];
        for (int i = 0; i < strata.length; i++) {
            strata[i] = (int) given[i];
        }
        double[] means = RatingResult.meansOfStrata(numbers(expected.get("scores")), strata);
        assertArrayEquals(numbers(expected.get("means")), means, 1e-6);
        assertEquals(
                number(expected.get("variance_of_mean")), RatingResult.varianceOfMean(means), 1e-6);
    }

    @Test
    public void coloursOfScoresAgree() throws IOException {
        for (Object entry : list(Sample.read("without_rater").get("colours"))) {
            Color colour = Overlays.colourOfScore(number(object(entry).get("score")));
            double[] rgb = numbers(object(entry).get("rgb"));
            assertEquals(rgb[0], colour.getRed(), 1);
            assertEquals(rgb[1], colour.getGreen(), 1);
            assertEquals(rgb[2], colour.getBlue(), 1);
        }
    }
}
