package quality.microscope.focus;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertNotSame;
import static org.junit.Assert.assertSame;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;
import static org.junit.Assume.assumeTrue;

import java.io.ByteArrayOutputStream;
import java.io.File;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.util.Arrays;
import java.util.zip.ZipEntry;
import java.util.zip.ZipOutputStream;
import org.junit.Before;
import org.junit.Rule;
import org.junit.Test;
import org.junit.rules.TemporaryFolder;

/** Models are found, loaded once, and refused with what is wrong with them. */
public class ModelTest {
    @Rule public TemporaryFolder temporary = new TemporaryFolder();

    private Path folder;

    @Before
    public void copy() throws IOException {
        folder = temporary.newFolder("model").toPath();
        for (String name : new String[] {"model.json", "weights.npz"}) {
            Files.copy(new File(Sample.vectors(), "layers/" + name).toPath(), folder.resolve(name));
        }
    }

    private String description() throws IOException {
        return new String(Files.readAllBytes(folder.resolve("model.json")), StandardCharsets.UTF_8);
    }

    private void describe(String text) throws IOException {
        Files.write(folder.resolve("model.json"), text.getBytes(StandardCharsets.UTF_8));
    }

    private void change(String from, String to) throws IOException {
        String text = description();
        assertTrue(from, text.contains(from));
        describe(text.replace(from, to));
    }

    /** Writes other weights, of which the description states the right checksum. */
    private void weigh(byte[] content) throws Exception {
        StringBuilder sha256 = new StringBuilder();
        for (byte b : MessageDigest.getInstance("SHA-256").digest(content)) {
            sha256.append(String.format("%02x", b));
        }
        Files.write(folder.resolve("weights.npz"), content);
        describe(description().replaceFirst(
                "\"sha256\": \"[0-9a-f]*\"", "\"sha256\": \"" + sha256 + "\""));
    }

    private void assertRefused(String... words) {
        FocusException error = assertThrows(
                FocusException.class, () -> FocusModel.load(folder.toString()));
        for (String word : words) {
            assertTrue(error.getMessage(), error.getMessage().contains(word));
        }
        assertTrue(error.getMessage(), error.getMessage().startsWith(folder.toString()));
    }

    @Test
    public void thePluginHasTheDefaultModel() {
        FocusModel model = FocusModel.standard();
        assertEquals("compact", model.name);
        assertEquals(84, model.patchSize);
        assertEquals(11, model.levels);
        assertSame(model, FocusModel.standard());
        assertSame(model, FocusModel.load(""));
    }

    @Test
    public void aFolderIsLoadedOnceUntilItChanges() throws IOException {
        FocusModel model = FocusModel.load(folder.toString());
        assertSame(model, FocusModel.load(folder.toString()));
        change("\"name\": \"layers\"", "\"name\": \"changed\"");
        FocusModel changed = FocusModel.load(folder.toString());
        assertNotSame(model, changed);
        assertEquals("changed", changed.name);
    }

    @Test
    public void anExportedFileIsTheSameModel() throws IOException {
        File file = temporary.newFile("exported.zip");
        try (ZipOutputStream zip = new ZipOutputStream(Files.newOutputStream(file.toPath()))) {
            for (String name : new String[] {"model.json", "weights.npz"}) {
                zip.putNextEntry(new ZipEntry(name));
                zip.write(Files.readAllBytes(folder.resolve(name)));
            }
        }
        FocusResult expected = MicroscopeFocus.measure(
                Sample.noise(200, 180), FocusSettings.of(FocusModel.load(folder.toString())));
        FocusResult found = MicroscopeFocus.measure(
                Sample.noise(200, 180), FocusSettings.standard().model(file.getPath()));
        assertTrue(Arrays.deepEquals(expected.patchProbabilities, found.patchProbabilities));
    }

    /** The library's tests hand over what its command has written. */
    @Test
    public void theLibrarysExportedFileIsRead() {
        String path = System.getProperty("exported.model");
        assumeTrue("No exported model was named.", path != null);
        FocusModel model = FocusModel.load(path);
        assertEquals("compact", model.name);
        FocusResult expected = MicroscopeFocus.measure(Sample.noise(200, 180));
        FocusResult found =
                MicroscopeFocus.measure(Sample.noise(200, 180), FocusSettings.of(model));
        assertTrue(Arrays.deepEquals(expected.patchProbabilities, found.patchProbabilities));
    }

    @Test
    public void missingFilesAreNamed() throws IOException {
        Files.delete(folder.resolve("weights.npz"));
        assertRefused("weights.npz is missing");
        Files.delete(folder.resolve("model.json"));
        assertRefused("model.json is missing");
        Files.delete(folder);
        FocusException error = assertThrows(
                FocusException.class, () -> FocusModel.load(folder.toString()));
        assertEquals(
                "There is no model folder or exported model " + folder + ".", error.getMessage());
    }

    @Test
    public void anotherFileIsNoModel() throws IOException {
        folder = temporary.newFile("notes.txt").toPath();
        assertRefused("is no exported model", "export-fiji");
    }

    @Test
    public void aChangedWeightIsFound() throws IOException {
        byte[] content = Files.readAllBytes(folder.resolve("weights.npz"));
        content[content.length / 2] ^= 1;
        Files.write(folder.resolve("weights.npz"), content);
        assertRefused("weights.npz has the wrong checksum");
    }

    @Test
    public void brokenDescriptionsAreTold() throws IOException {
        String whole = description();
        describe(whole.substring(0, 200));
        assertRefused("model.json is no JSON");
        describe("[1, 2]");
        assertRefused("model.json must be an object");
        String[][] changes = {
            {"\"schema_version\": 2", "\"schema_version\": 3", "Schema version 3"},
            {"\"task\": \"focus\"", "\"task\": \"rating\"", "the task 'rating', not of focus"},
            {"\"task\": \"focus\",", "", "The description lacks task."},
            {"\"focus\": {", "\"sharpness\": {", "lacks focus and has the unknown entries"},
            {"\"patch_size\": 84", "\"patch_size\": 84.5", "patch_size must be an integer"},
            {"\"patch_size\": 84", "\"patch_size\": true", "patch_size must be a number"},
            {"\"levels\": 5", "\"levels\": 6", "but the description states 6 levels"},
            {"\"sure_certainty\": 0.2", "\"sure_certainty\": 2", "sure_certainty must be"},
            {"\"type_range\"", "\"none\"", "Normalisation 'none' is unknown"},
            {"\"levels\"", "\"ranks\"", "lacks levels and has the unknown entries ranks"},
            {"\"na\": 0.5", "\"na\": 1.5", "na must be below the refractive index"},
            {"\"max_pool\"", "\"mean_pool\"", "unknown kind 'mean_pool'"},
            {"\"kind\": \"flatten\"", "\"kind\": \"flatten\", \"by\": 1", "must have the entries"},
            {"\"linear\"", "\"tanh\"", "unknown activation 'tanh'"},
            {"\"size\": 2\n", "\"size\": 0\n", "size must be a count"},
            {"\"size\": 2\n", "\"size\": 99\n", "does not fit into 42 x 42"},
            {"\"filters\": 5", "\"filters\": 6", "'conv1/kernel' have the shape [5, 5, 1, 5]"},
            {"\"name\": \"conv2\"", "\"name\": \"conv1\"", "Two layers have the name 'conv1'"},
            {"\"name\": \"conv2\"", "\"name\": \"conv9\"", "The weights lack 'conv9/kernel'"},
        };
        for (String[] change : changes) {
            describe(whole);
            change(change[0], change[1]);
            assertRefused(change[2]);
        }
    }

    /** All models were of focus at first, and what belongs to it stood among the other entries. */
    @Test
    public void theFirstSchemaIsOfFocus() throws IOException {
        FocusModel expected = FocusModel.load(folder.toString());
        String text = description().replace("\"schema_version\": 2", "\"schema_version\": 1");
        describe(text.replace("\"task\": \"focus\",", "")
                .replaceFirst("(?s)\"focus\": \\{(.*?\\}.*?)\\}", "$1"));
        FocusModel found = FocusModel.load(folder.toString());
        assertNotSame(expected, found);
        assertEquals(expected.levels, found.levels);
        assertEquals(expected.sureCertainty, found.sureCertainty, 0);
        assertEquals(expected.optics.na, found.optics.na, 0);
        change("\"levels\": 5", "\"levels\": 6");
        assertRefused("but the description states 6 levels");
    }

    private static byte[] archive(String name, byte[] content) throws IOException {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        try (ZipOutputStream zip = new ZipOutputStream(bytes)) {
            zip.putNextEntry(new ZipEntry(name));
            zip.write(content);
        }
        return bytes.toByteArray();
    }

    private static byte[] array(String header, int bytes) throws IOException {
        ByteArrayOutputStream content = new ByteArrayOutputStream();
        try (OutputStream stream = content) {
            stream.write(new byte[] {(byte) 0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0});
            stream.write(header.length());
            stream.write(0);
            stream.write(header.getBytes(StandardCharsets.US_ASCII));
            stream.write(new byte[bytes]);
        }
        return content.toByteArray();
    }

    @Test
    public void brokenArraysAreTold() throws Exception {
        String floats = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }\n";
        byte[] whole = array(floats, 24);
        weigh("no archive".getBytes(StandardCharsets.US_ASCII));
        assertRefused("weights.npz is no archive");
        weigh(archive("notes.txt", whole));
        assertRefused("notes.txt, which is no array");
        weigh(archive("a.npy", Arrays.copyOf(whole, 9)));
        assertRefused("'a' are cut short");
        weigh(archive("a.npy", Arrays.copyOf(whole, 40)));
        assertRefused("'a' are cut short");
        weigh(archive("a.npy", Arrays.copyOf(whole, whole.length - 1)));
        assertRefused("have the shape [2, 3], but 23 bytes");
        weigh(archive("a.npy", array(floats.replace("<f4", "|O"), 24)));
        assertRefused("must be rows of little-endian 32-bit floats");
        weigh(archive("a.npy", array(floats.replace("(2, 3)", "(99999999999,)"), 24)));
        assertRefused("weights.npz is damaged");
        weigh(archive("a.npy", whole));
        assertRefused("The weights lack 'conv1/kernel'");
        byte[] infinite = whole.clone();
        infinite[whole.length - 1] = 0x7f;
        infinite[whole.length - 2] = (byte) 0x80;
        weigh(archive("a.npy", infinite));
        assertRefused("'a' must be finite");
        byte[] cut = archive("a.npy", whole);
        weigh(Arrays.copyOf(cut, 60));
        assertRefused("weights.npz is damaged");
    }
}
