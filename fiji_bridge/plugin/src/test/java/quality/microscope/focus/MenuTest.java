package quality.microscope.focus;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertThrows;

import ij.IJ;
import ij.ImagePlus;
import ij.Menus;
import ij.WindowManager;
import ij.macro.Interpreter;
import ij.measure.ResultsTable;
import ij.process.ByteProcessor;
import java.awt.HeadlessException;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.After;
import org.junit.Before;
import org.junit.Rule;
import org.junit.rules.TemporaryFolder;

/** An ImageJ without a screen that has the menu entries, and runs them as macros do. */
public abstract class MenuTest {
    @Rule public TemporaryFolder temporary = new TemporaryFolder();

    @Before
    public void install() throws IOException {
        // ImageJ alone has no menus without a screen; its table of commands is all that is needed.
        if (Menus.getCommands() == null) {
            assertThrows(
                    HeadlessException.class,
                    () -> IJ.run(new ImagePlus("", new ByteProcessor(1, 1)), "Invert", ""));
        }
        Pattern entry = Pattern.compile("Plugins>Microscope Quality, \"(.*)\", (.*)");
        try (BufferedReader config = new BufferedReader(new InputStreamReader(
                getClass().getResourceAsStream("/plugins.config"), StandardCharsets.UTF_8))) {
            int entries = 0;
            for (String line = config.readLine(); line != null; line = config.readLine()) {
                Matcher found = entry.matcher(line);
                if (found.matches()) {
                    @SuppressWarnings("unchecked")
                    java.util.Hashtable<String, String> commands = Menus.getCommands();
                    commands.put(found.group(1), found.group(2));
                    entries++;
                }
            }
            assertEquals(6, entries);
        }
        ResultsTable.getResultsTable().reset();
    }

    @After
    public void clear() {
        WindowManager.setTempCurrentImage(null);
        WindowManager.closeAllWindows();
    }

    static ResultsTable results() {
        return ResultsTable.getResultsTable();
    }

    /** Runs a command on an image, as a macro does. */
    static void run(ImagePlus image, String command, String options) {
        WindowManager.setTempCurrentImage(image);
        String code = "run(\"" + command + "\", \"" + options.replace("\\", "\\\\") + "\");";
        String result = IJ.runMacro(code);
        assertFalse(options, "[aborted]".equals(result));
    }

    /** Runs a command that fails, and gives its message. */
    static String fail(ImagePlus image, String command, String options) {
        WindowManager.setTempCurrentImage(image);
        Interpreter interpreter = new Interpreter();
        interpreter.setIgnoreErrors(true);
        interpreter.run(
                "run(\"" + command + "\", \"" + options + "\"); run(\"Measure Focus...\", \"\");");
        assertEquals("The macro went on after " + options, 0, results().size());
        return interpreter.getErrorMessage();
    }
}
